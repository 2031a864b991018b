"""The metrics page, read by the official parser."""

import re
import time
from dataclasses import replace
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from steerd import __version__
from steerd.config.probe_settings import ProbePath, ProbeSettings, Target, TunnelSettings
from steerd.config.route_settings import OnStop, RouteSettings
from steerd.config.settings import Config, ExportSettings, MqttSettings
from steerd.core.effects import Declined, PathChanged, Switched
from steerd.core.engine import Engine
from steerd.core.events import Link, Outcome, PathMtu, Probed
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import PathState, PolicyState, Reason
from steerd.core.views import (
    CandidateView,
    Directions,
    DrainView,
    Finding,
    PathView,
    PolicyView,
    ProbingView,
    TunnelView,
    View,
)
from steerd.status.snapshot import Snapshot
from steerd.status.stream import Stream
from steerd.web.metrics import Metrics

A, B, C = PathId("fra1/wg0"), PathId("ams1/wg0"), PathId("nyc1/wg0")
P = PolicyId("default")


PROBING = ProbingView(
    method="udp",
    targets=("192.0.2.1", "fra1.example.net"),
    every=0.5,
    local_queue=0.0025,
    findings={Finding.LOCAL: "a firewall drops the probes"},
    directions=(None, Directions(0.25, None, None, 0.003)),
)

FAMILIES = [
    "steerd_build_info",
    "steerd_probes",
    "steerd_probe_rtt_seconds",
    "steerd_path_rtt_seconds",
    "steerd_path_jitter_seconds",
    "steerd_path_loss_ratio",
    "steerd_path_local_queue_seconds",
    "steerd_path_mtu_bytes",
    "steerd_path_scout",
    "steerd_path_last_reply_age_seconds",
    "steerd_policy_packets",
    "steerd_policy_pinned",
    "steerd_policy_astray",
    "steerd_policy_outage_seconds",
    "steerd_policy_last_switch_timestamp_seconds",
    "steerd_path_staying_connections",
    "steerd_pop_drained",
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_cpu_seconds",
    "process_open_fds",
    "process_max_fds",
    "steerd_policy_rule",
    "steerd_policy_rule_cost_switches",
    "steerd_wireguard_handshake_age_seconds",
    "steerd_wireguard_transfer_bytes",
    "steerd_path_finding",
    "steerd_uplink_bytes",
    "steerd_uplink_cap_bytes",
    "steerd_uplink_price_seconds",
    "steerd_path_probe_interval_seconds",
    "steerd_path_direction_loss_ratio",
    "steerd_path_direction_variation_seconds",
    "steerd_path_cost_seconds",
    "steerd_path_state",
    "steerd_policy_active",
    "steerd_policy_share_ratio",
    "steerd_policy_state",
    "steerd_switches",
    "steerd_switch_duration_seconds",
    "steerd_routes_installed",
    "steerd_guard_dropped_packets",
    "steerd_repairs",
    "steerd_observing",
    "steerd_hook_notices",
    "steerd_mqtt_messages",
    "steerd_refused",
    "steerd_config_last_reload_successful",
    "steerd_config_last_reload_success_timestamp_seconds",
    "steerd_loop_lag_seconds",
    "steerd_skipped_slots",
    "steerd_faults",
]


def config(*paths: PathId, policies: tuple[PolicySettings, ...] = (PolicySettings(P),)) -> Config:
    core = Settings(paths=tuple(PathSettings(path, path.rpartition("/")[0], "u") for path in paths), policies=policies)
    nowhere = Path("/nonexistent")
    return Config(
        source=nowhere,
        gateway="gw1",
        region="default",
        core=core,
        probe=ProbeSettings((DIRECTED,), 1.0),
        tunnel=TunnelSettings((), 0.0),
        route=RouteSettings(210, 4200, 4200, 1, 1, 0, (), OnStop.KEEP, (), ()),
        mqtt=None,
        export=ExportSettings("127.0.0.1", 0),
        control_socket=nowhere,
        store_path=nowhere,
        record=False,
    )


DIRECTED = ProbePath(A, "fra1", "wg0", 1, (Target(4, "192.0.2.1"),), 1.0, 1.0, method="udp", port=862)
EMPTY = View(now=0.0, epoch=1, paths=(), policies=(), drains=(), declined={})


def page(metrics: Metrics, view: View = EMPTY, **beside) -> dict[tuple, float]:
    """Every sample by name and sorted labels; a sample that comes twice is an error."""
    samples: dict[tuple, float] = {}
    for family in text_string_to_metric_families(metrics.render(Snapshot(view, **beside)).decode()):
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples


def one(samples: dict[tuple, float], name: str, **labels: str) -> float:
    return samples[(name, *sorted(labels.items()))]


def path_view(path: PathId, state: PathState = PathState.UP, **known: float) -> PathView:
    return PathView(
        path=path, pop=path.rpartition("/")[0], uplink="u", state=state, reason="", since=1.0,
        rtt=known.get("rtt"), sd=None, jitter=known.get("jitter"), loss=known.get("loss", 0.0), n=1, age=None,
        every=1.0, patience=0.1, hold=0.0,
    )  # fmt: skip


def policy_view(choice: PathId | None, candidates: tuple[CandidateView, ...] = ()) -> PolicyView:
    return PolicyView(
        policy=P, state=PolicyState.STEERING, choice=choice, runner_up=None, wanted=choice, error=None, since=1.0,
        pin=None, pin_hard=False, pin_for=None, candidates=candidates, last=None, outlook="",
    )  # fmt: skip


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(lambda: 1_800_000_000.5)
    made.configure(config(A, B, C, policies=(PolicySettings(P, forbidden=((C, "region"),)),)))
    return made


def test_packets_are_counted_by_where_they_went_if_they_are_counted(metrics):
    assert not any(key[0] == "steerd_policy_packets_total" for key in page(metrics))
    given = config(A, B, C, policies=(PolicySettings(P, forbidden=((C, "region"),)),))
    metrics.configure(replace(given, route=replace(given.route, count=True)))
    found = page(metrics, packet_totals={(P, 4, "astray", "wan"): 7, (P, 6, "nowhere", ""): 2})
    labels = {"policy": P, "family": "ipv4"}
    assert one(found, "steerd_policy_packets_total", **labels, where="astray", device="wan") == 7
    assert one(found, "steerd_policy_packets_total", **labels, where="astray", device="other") == 0
    assert one(found, "steerd_policy_packets_total", **labels, where="guard", device="") == 0
    assert one(found, "steerd_policy_packets_total", policy=P, family="ipv6", where="nowhere", device="") == 2


def test_every_family_of_the_contract_and_no_other(metrics):
    families = {family.name for family in text_string_to_metric_families(metrics.render(Snapshot(EMPTY)).decode())}
    assert families == set(FAMILIES)


def test_series_exist_with_zero_from_the_start(metrics):
    samples = page(metrics)
    assert one(samples, "steerd_build_info", version=__version__) == 1
    for outcome in Outcome:
        assert one(samples, "steerd_probes_total", pop="fra1", path=A, result=outcome.value) == 0
    assert one(samples, "steerd_probe_rtt_seconds_bucket", pop="fra1", path=A, le="+Inf") == 0
    for reason in Reason:
        assert one(samples, "steerd_switches_total", policy=P, reason=reason.value) == 0
    for family in ("ipv4", "ipv6"):
        assert one(samples, "steerd_routes_installed", policy=P, family=family) == 0
    for kind in ("rule", "nexthop", "group", "route", "nft"):
        assert one(samples, "steerd_repairs_total", object=kind) == 0
    assert one(samples, "steerd_policy_active", policy=P, pop="fra1", path=A) == 0
    assert one(samples, "steerd_policy_state", policy=P, state="none") == 1
    assert one(samples, "steerd_skipped_slots_total") == one(samples, "steerd_policy_pinned", policy=P) == 0
    assert one(samples, "steerd_pop_drained", pop="fra1") == 0
    assert isnan(one(samples, "steerd_policy_last_switch_timestamp_seconds", policy=P))
    assert one(samples, "steerd_mqtt_messages_total", direction="in") == 0
    assert isnan(one(samples, "steerd_path_rtt_seconds", pop="fra1", path=A))  # not known is not zero


def test_whether_the_broker_is_there_is_told_by_those_who_have_one(metrics):
    given = config(A, B)
    broker = MqttSettings("127.0.0.1", 1883, False, "acme", "gw1", "eu", None, None, None, None, None, 10.0)
    for mqtt, there in ((None, False), (broker, True), (broker, True), (None, False)):
        metrics.configure(replace(given, mqtt=mqtt))
        metrics.mqtt_connected(there)
        assert page(metrics).get(("steerd_mqtt_connected",)) == (1.0 if there else None)


def test_pins_drains_connections_that_stay_and_the_last_switch_are_told(metrics):
    pinned = replace(policy_view(A), pin="fra1")
    view = replace(EMPTY, policies=(pinned,), drains=(DrainView("ams1", "operator", None),))
    metrics.switched(Switched("1-1", P, None, A, Reason.START, 0.0, "first", {}, {}, {}))
    found = page(metrics, view, staying={A: 7})
    assert one(found, "steerd_policy_pinned", policy=P) == 1
    assert [one(found, "steerd_pop_drained", pop=pop) for pop in ("fra1", "ams1")] == [0, 1]
    assert one(found, "steerd_path_staying_connections", pop="fra1", path=A) == 7
    assert isnan(one(found, "steerd_path_staying_connections", pop="ams1", path=B))
    assert one(found, "steerd_policy_last_switch_timestamp_seconds", policy=P) == 1_800_000_000.5


def test_probes_are_counted_by_result_and_answers_measured(metrics):
    for rtt in (0.0005, 0.001, 0.012, 5.0):
        metrics.probed(Probed(A, Outcome.REPLY, 0.0, rtt))
    metrics.probed(Probed(A, Outcome.LATE, 0.0, 1.5))
    metrics.probed(Probed(A, Outcome.LOST, 0.0))
    metrics.probed(Probed(PathId("gone/x"), Outcome.LOST, 0.0))
    samples = page(metrics)
    labels = {"pop": "fra1", "path": A}
    assert one(samples, "steerd_probes_total", **labels, result="reply") == 4
    assert one(samples, "steerd_probes_total", **labels, result="lost") == 1
    buckets = {
        le: one(samples, "steerd_probe_rtt_seconds_bucket", **labels, le=le) for le in ("0.001", "0.01", "0.02", "2.0")
    }
    assert buckets == {"0.001": 2, "0.01": 2, "0.02": 3, "2.0": 4}
    assert one(samples, "steerd_probe_rtt_seconds_count", **labels) == 5
    assert one(samples, "steerd_probe_rtt_seconds_sum", **labels) == pytest.approx(6.5135)


def test_a_wireguard_tunnel_has_its_series_and_other_paths_have_none(metrics):
    tunnels = {A: TunnelView("key", 34.5, 1000, 2000), B: TunnelView("key", None, 0, 148, "no handshake yet")}
    samples = page(metrics, tunnels=tunnels)
    labels = {"pop": "fra1", "path": A}
    assert one(samples, "steerd_wireguard_handshake_age_seconds", **labels) == 34.5
    assert one(samples, "steerd_wireguard_transfer_bytes_total", **labels, direction="in") == 1000
    assert one(samples, "steerd_wireguard_transfer_bytes_total", **labels, direction="out") == 2000
    never = one(samples, "steerd_wireguard_handshake_age_seconds", pop="ams1", path=B)
    assert never != never  # noqa: PLR0124 (not a number)
    assert sum(name.startswith("steerd_wireguard_handshake") for name, *_ in samples) == 2
    assert not any(name.startswith("steerd_wireguard") for name, *_ in page(metrics))


def test_views_are_shown_in_base_units_and_one_hot(metrics):
    terms = {"rtt": 30.0, "jitter": 1.5, "loss": 2.0, "mtu": 100.0, "total": 133.5}
    view = View(
        now=1.0,
        epoch=1,
        paths=(
            replace(path_view(A, rtt=30.0, jitter=1.5, loss=0.01), size=PathMtu(A, 1380, 1420)),
            path_view(B, PathState.DOWN),
        ),
        policies=(policy_view(A, (CandidateView(A, terms, None, {}), CandidateView(C, {}, "region", {}))),),
        drains=(),
        declined={},
    )
    samples = page(metrics, view, installed={(P, 4): 200_000}, probing={A: PROBING})
    labels = {"pop": "fra1", "path": A}
    assert one(samples, "steerd_path_rtt_seconds", **labels) == 0.03
    assert one(samples, "steerd_path_jitter_seconds", **labels) == 0.0015
    assert one(samples, "steerd_path_loss_ratio", **labels) == 0.01
    assert one(samples, "steerd_path_local_queue_seconds", **labels) == 0.0025
    assert one(samples, "steerd_path_probe_interval_seconds", **labels) == 0.5
    assert one(samples, "steerd_path_finding", **labels, finding="local") == 1
    assert one(samples, "steerd_path_finding", **labels, finding="budget") == 0
    assert one(samples, "steerd_path_finding", pop="ams1", path=B, finding="local") == 0
    assert one(samples, "steerd_path_direction_loss_ratio", **labels, direction="out") == 0.25
    assert one(samples, "steerd_path_direction_variation_seconds", **labels, direction="back") == 0.003
    assert one(samples, "steerd_path_cost_seconds", policy=P, **labels, term="total") == 0.1335
    assert one(samples, "steerd_path_cost_seconds", policy=P, **labels, term="mtu") == 0.1
    assert one(samples, "steerd_path_mtu_bytes", **labels) == 1380
    assert isnan(one(samples, "steerd_path_mtu_bytes", pop="ams1", path=B))
    assert one(samples, "steerd_policy_active", policy=P, **labels) == 1
    assert one(samples, "steerd_policy_active", policy=P, pop="ams1", path=B) == 0
    assert one(samples, "steerd_routes_installed", policy=P, family="ipv4") == 200_000
    for pop, path, state in (("fra1", A, "up"), ("ams1", B, "down")):
        hot = [s for s in PathState if one(samples, "steerd_path_state", pop=pop, path=path, state=s.value)]
        assert hot == [state]
    assert [s for s in PolicyState if one(samples, "steerd_policy_state", policy=P, state=s.value)] == ["steering"]
    assert ("steerd_policy_active", ("path", C), ("policy", P), ("pop", "nyc1")) not in samples  # forbidden


def test_facts_and_everything_else_that_is_counted(metrics):
    switched = Switched("1-1", P, None, A, Reason.START, 0.0, "first", {}, {}, {})
    facts = Stream()
    metrics.follow(Stream(), facts)
    facts.tell(switched)
    facts.tell(switched._replace(policy=PolicyId("gone")))
    facts.tell(PathChanged(A, PathState.UP, PathState.DOWN, "", 0.0))
    facts.tell(Declined(Link(A, up=True), "unknown path"))
    metrics.refused("mqtt", "old epoch")
    metrics.refused("mqtt", "old epoch")
    metrics.repair("group")
    metrics.switch_duration(0.003)
    metrics.loop_lag(0.03)
    metrics.mqtt_message("out")
    metrics.reloaded(True, 1_700_000_000.0)
    metrics.reloaded(False, 1_800_000_000.0)
    page(metrics, skipped=2)
    samples = page(metrics, skipped=3)
    assert one(samples, "steerd_switches_total", policy=P, reason="start") == 1
    assert one(samples, "steerd_refused_total", source="engine", reason="unknown path") == 1
    assert one(samples, "steerd_refused_total", source="mqtt", reason="old epoch") == 2
    assert one(samples, "steerd_repairs_total", object="group") == 1
    assert one(samples, "steerd_switch_duration_seconds_bucket", le="0.005") == 1
    assert one(samples, "steerd_loop_lag_seconds_count") == 1
    assert one(samples, "steerd_mqtt_messages_total", direction="out") == 1
    assert one(samples, "steerd_skipped_slots_total") == 3
    assert one(samples, "steerd_config_last_reload_successful") == 0
    assert one(samples, "steerd_config_last_reload_success_timestamp_seconds") == 1_700_000_000


def test_reasons_are_bounded(metrics):
    for n in range(1000):
        metrics.refused("mqtt", f"made up {n}")
    reasons = [key for key in page(metrics) if key[0] == "steerd_refused_total"]
    assert len(reasons) <= 201


def test_series_come_and_go_with_the_configuration(metrics):
    metrics.probed(Probed(A, Outcome.REPLY, 0.0, 0.01))
    metrics.switched(Switched("1-1", P, None, A, Reason.START, 0.0, "first", {}, {}, {}))
    metrics.configure(config(A, C))
    samples = page(metrics)
    assert not [key for key in samples if ("path", B) in key]
    assert one(samples, "steerd_probes_total", pop="fra1", path=A, result="reply") == 1
    assert one(samples, "steerd_switches_total", policy=P, reason="start") == 1
    assert one(samples, "steerd_policy_active", policy=P, pop="nyc1", path=C) == 0  # no longer forbidden
    metrics.configure(config(policies=()))
    assert not [key for key in page(metrics) if {"path", "policy"} & {label[0] for label in key[1:]}]


def test_a_view_of_the_engine_is_rendered(metrics):
    settings_ = config(A, B).core
    engine = Engine(settings_, Memory(), now=0.0, epoch=1, draw=lambda: 0.5)
    for n in range(1, 20):
        for path, rtt in ((A, 0.03), (B, 0.04)):
            for effect in engine.feed(Probed(path, Outcome.REPLY, n - 0.1, rtt), n + 0.1):
                if isinstance(effect, Switched):
                    metrics.switched(effect)
    samples = page(metrics, engine.view(20.0))
    assert one(samples, "steerd_switches_total", policy=P, reason="start") == 1
    assert one(samples, "steerd_path_rtt_seconds", pop="fra1", path=A) == pytest.approx(0.03, abs=0.001)
    total = one(samples, "steerd_path_cost_seconds", policy=P, pop="fra1", path=A, term="total")
    parts = [
        one(samples, "steerd_path_cost_seconds", policy=P, pop="fra1", path=A, term=t)
        for t in ("rtt", "jitter", "loss")
    ]
    assert sum(parts) == pytest.approx(total)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), min_size=1, max_size=4, unique=True))
def test_whatever_the_names_the_page_parses(names):
    metrics = Metrics()
    paths = [PathId(f"{name}/{name}") for name in names]
    metrics.configure(config(*paths, policies=tuple(PolicySettings(PolicyId(name)) for name in names)))
    samples = page(metrics)
    found = {dict(key[1:])["path"] for key in samples if key[0] == "steerd_path_loss_ratio"}
    assert found == set(paths)


def test_no_line_is_malformed(metrics):
    for line in metrics.render(Snapshot(EMPTY)).decode().splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)*\})? (NaN|[-+0-9.e]+)', line), line


def test_two_thousand_paths_render_without_a_stall():
    metrics = Metrics()
    paths = [PathId(f"pop{n}/wg{n}") for n in range(2000)]
    metrics.configure(config(*paths))
    view = View(1.0, 1, tuple(path_view(path, rtt=1.0, jitter=0.1) for path in paths), (), (), {})
    metrics.render(Snapshot(view))
    begun = time.process_time()
    metrics.render(Snapshot(view))
    assert time.process_time() - begun < 0.5
