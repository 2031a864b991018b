"""Messages and topics: what goes out, and what is refused of what comes in."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core.cost.pop_load import FRESH
from steerd.core.effects import Switched
from steerd.core.events import BackboneLink, BackboneLinks, PopState
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, PolicyState, Reason
from steerd.core.views import PathView, PolicyView, View
from steerd.share import messages
from steerd.share.messages import JSON, ZLIB, GatewayState, PopReport, RefusedError, decode, encode
from steerd.share.refusals import SAID_EVERY, Refusals
from steerd.share.reports import REASONS, Reports
from steerd.share.topics import Topics

TOPICS = Topics("acme", "eu", "gw1")
A, B = PathId("fra1/wg0"), PathId("ams1/wg0")


def path_view(path: PathId, **known) -> PathView:
    values = {"rtt": 30.0004, "jitter": 0.5, "loss": 0.0123456, "age": 0.25, **known}
    return PathView(
        path=path, pop=path.partition("/")[0], uplink="u", state=PathState.UP, reason="", since=1.0, sd=1.0, n=9,
        every=1.0, patience=0.1, hold=0.0, **values,
    )  # fmt: skip


def view(*paths: PathView, choice: PathId | None = A) -> View:
    policy = PolicyView(
        policy=PolicyId("default"), state=PolicyState.STEERING, choice=choice, runner_up=None, wanted=choice,
        error=None, since=1.0, pin=None, pin_hard=False, pin_for=None, candidates=(), last=None, outlook="",
    )  # fmt: skip
    return View(now=1.0, epoch=7, paths=paths, policies=(policy,), drains=(), declined={})


def sent(message: messages.Message) -> dict:
    payload, kind = encode(message)
    return json.loads(zlib.decompress(payload) if kind == ZLIB else payload)


def test_topics():
    assert TOPICS.state == "steer/v1/acme/gw/eu/gw1/state"
    assert TOPICS.score == "steer/v1/acme/gw/eu/gw1/score"
    assert TOPICS.event == "steer/v1/acme/gw/eu/gw1/event"
    assert TOPICS.pop_states == "steer/v1/acme/pop/+/state"


@pytest.mark.parametrize(
    ("topic", "pop"),
    [
        ("steer/v1/acme/pop/fra1/state", "fra1"),
        ("steer/v1/other/pop/fra1/state", None),
        ("steer/v1/acme/pop/fra1/states", None),
        ("steer/v1/acme/pop/a/b/state", None),
        ("steer/v1/acme/gw/fra1/state", None),
        ("/state", None),
    ],
)
def test_whose_state_a_topic_carries(topic, pop):
    assert TOPICS.pop(topic) == pop


def test_state():
    assert sent(GatewayState(gw="gw1", epoch=7, online=True, version="0.1.0")) == {
        "v": 1, "gw": "gw1", "epoch": 7, "online": True, "version": "0.1.0",
    }  # fmt: skip
    assert sent(GatewayState(gw="gw1", epoch=7, online=False, version="x", reason="stopped"))["reason"] == "stopped"


def test_score():
    unknown = path_view(B, rtt=None, jitter=None, age=None, loss=0.0)
    assert sent(messages.score(view(path_view(A), unknown), gateway="gw1", seq=3, ts_ms=1234)) == {
        "v": 1, "gw": "gw1", "epoch": 7, "seq": 3, "ts_ms": 1234, "policies": {"default": A},
        "paths": [
            {
                "pop": "fra1", "path": A, "state": "up", "rtt_us": 30000, "jitter_us": 500, "loss_ppm": 12346, "n": 9,
                "age_ms": 250,
            },
            {
                "pop": "ams1", "path": B, "state": "up", "rtt_us": None, "jitter_us": None, "loss_ppm": 0, "n": 9,
                "age_ms": None,
            },
        ],
    }  # fmt: skip
    assert sent(messages.score(view(choice=None), gateway="gw1", seq=3, ts_ms=1))["policies"] == {"default": None}


def test_event():
    evidence = {A: {"total": 30.5}, B: {"total": 42.75}}
    one = Switched("7-3", PolicyId("default"), B, A, Reason.BETTER, 1.0, "regret", evidence, {}, {})
    assert sent(messages.switch_event(one, gateway="gw1", epoch=7, seq=4, ts_ms=5)) == {
        "v": 1, "gw": "gw1", "epoch": 7, "seq": 4, "ts_ms": 5, "event_id": "7-3", "policy": "default", "from": B,
        "to": A, "reason": "better", "gain_us": 12250,
    }  # fmt: skip
    first = sent(messages.switch_event(one._replace(old=None, evidence={}), gateway="gw1", epoch=7, seq=4, ts_ms=5))
    assert (first["from"], first["gain_us"]) == (None, None)


def test_fifty_pops_are_compressed():
    paths = [path_view(PathId(f"pop{n}/wg{n}"), rtt=10.0 + n * 1.237) for n in range(50)]
    payload, kind = encode(messages.score(view(*paths), gateway="gw1", seq=3, ts_ms=1))
    assert kind == ZLIB
    assert len(payload) < 1500
    assert encode(GatewayState(gw="g", epoch=1, online=True, version="1"))[1] == JSON


WALL = 1_800_000_000
REPORT = {"v": 1, "pop": "fra1", "epoch": 5, "seq": 2, "accepting": True}


def payload(**changes) -> bytes:
    return json.dumps({**REPORT, **changes}).encode()


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"nonsense", None, "malformed"),
        (b"\xff\xfe", JSON, "malformed"),
        (payload(v=2), JSON, "malformed"),
        (payload(epoch=-1), JSON, "malformed"),
        (payload(epoch=2**60), JSON, "malformed"),
        (payload(seq="2"), JSON, "malformed"),
        (payload(accepting=1), JSON, "malformed"),
        (payload(load_ppm=1_000_001), JSON, "malformed"),
        (payload(age_ms=-1), JSON, "malformed"),
        (payload(pop="p" * 64), JSON, "malformed"),
        (payload(pop="fra1/x"), JSON, "malformed"),
        (payload(links=[{"to": "ams1", "rtt_us": -1, "loss_ppm": 0}]), JSON, "malformed"),
        (payload(links=[{"to": "ams1", "rtt_us": 10**10, "loss_ppm": 0}]), JSON, "malformed"),
        (payload(links=[{"to": "ams1", "rtt_us": 1, "loss_ppm": 1_000_001}]), JSON, "malformed"),
        (payload().replace(b"true", b'true,"links":[{"to":"ams1","rtt_us":NaN,"loss_ppm":0}]'), JSON, "malformed"),
        (payload(links=[{"to": "a", "rtt_us": 1, "loss_ppm": 0}] * 1100), JSON, "malformed"),
        (payload(links=[{"to": "a", "rtt_us": 1, "loss_ppm": 0}] * 10_000), JSON, "too large"),
        (payload(interval_ms=0), JSON, "malformed"),
        (payload(), "text/plain", "content type"),
        (payload(), ZLIB, "malformed"),
        (zlib.compress(payload())[:-3], ZLIB, "malformed"),
        (zlib.compress(payload()) + b"more", ZLIB, "malformed"),
        (zlib.compress(b" " * (messages.INFLATED_MAX + 1)), ZLIB, "too large"),
        (zlib.compress(b"0" * 50_000_000), ZLIB, "too large"),
        (b" " * (messages.INFLATED_MAX + 1), JSON, "too large"),
        (b"[" * 60_000, JSON, "malformed"),
    ],
)
def test_what_is_no_report(data, kind, reason):
    with pytest.raises(RefusedError) as caught:
        decode(PopReport, data, kind)
    assert caught.value.reason == reason


def test_what_is_one():
    assert decode(PopReport, payload(capacity=5, links=[], new={"x": 1}), JSON).load_ppm is None
    assert decode(PopReport, zlib.compress(payload(load_ppm=5)), ZLIB).load_ppm == 5


@given(st.binary(max_size=200), st.sampled_from([None, JSON, ZLIB, "x"]))
def test_whatever_comes_in_only_refusals_come_out(data, kind):
    try:
        decode(PopReport, data, kind)
    except RefusedError as refused:
        assert refused.reason in {"malformed", "too large", "content type"}  # noqa: PT017


class Heard:
    def __init__(self) -> None:
        self.states: list[PopState] = []
        self.refused: list[tuple[str, str]] = []
        self.wall = WALL
        self.reports = Reports(
            TOPICS,
            {"fra1", "ams1"},
            self.states.append,
            lambda source, reason, _: self.refused.append((source, reason)),
            lambda: self.wall,
        )

    def take(self, topic_of: str = "fra1", **changes) -> None:
        self.reports.take(f"steer/v1/acme/pop/{topic_of}/state", payload(**changes), JSON)


def test_only_what_is_newer_is_taken():
    heard = Heard()
    heard.take()
    heard.take(accepting=False, seq=3, load_ppm=250_000)
    heard.take(seq=3)  # delivered again: neither news nor an offence
    heard.take(seq=2)
    heard.take(epoch=4, seq=9)
    heard.take(epoch=6, seq=0)
    assert heard.states == [PopState("fra1", True), PopState("fra1", False, 0.25), PopState("fra1", True)]
    assert heard.refused == [("pop", "stale seq"), ("pop", "stale epoch")]
    assert {reason for _, reason in heard.refused} <= set(REASONS)


def test_how_old_a_load_is_comes_from_its_sender_and_from_lying_at_the_broker():
    heard = Heard()
    heard.take(load_ppm=500_000, age_ms=1500)
    topic = "steer/v1/acme/pop/fra1/state"
    heard.reports.take(topic, payload(seq=3, load_ppm=500_000, age_ms=1500), JSON, retained=True)
    heard.reports.take(topic, payload(seq=4), JSON, retained=True)
    assert [one.age for one in heard.states] == [1.5, 1.5 + FRESH, 0.0]


def test_an_epoch_far_ahead_of_our_clock_is_refused_and_silences_nobody():
    heard = Heard()
    heard.take(epoch=4_000_000_000, accepting=False)
    heard.take(epoch=WALL + 86_401, accepting=False)
    assert (heard.states, heard.refused) == ([], [("pop", "future epoch")] * 2)
    heard.take(epoch=1_700_000_000)
    heard.wall += 60
    heard.reports.look()
    assert heard.states == [PopState("fra1", True)]


def test_what_was_ahead_of_a_clock_that_was_wrong_is_taken_when_it_is_set():
    heard = Heard()
    heard.wall = 0  # before NTP
    heard.take(epoch=WALL, seq=1, accepting=False, load_ppm=900_000)
    heard.take("ams1", pop="ams1", epoch=2 * WALL)
    heard.reports.look()
    assert heard.states == []
    heard.wall = WALL
    heard.reports.look()
    heard.reports.look()
    assert heard.states == [PopState("fra1", False)]
    heard.take(epoch=WALL, seq=1, accepting=False)
    heard.take(epoch=WALL, seq=2)
    assert heard.states[1:] == [PopState("fra1", True)]


def test_what_is_cleared_at_the_broker_is_said_no_more():
    heard = Heard()
    heard.take(accepting=False)
    heard.reports.take("steer/v1/acme/pop/fra1/state", b"", None)
    heard.take(accepting=False)  # what was said before is not said again
    assert heard.states == [PopState("fra1", False), PopState("fra1", True)]


@pytest.mark.parametrize(
    "kind",
    [None, "", " ", "application/json", "application/json; charset=utf-8", "Application/JSON ;Charset=UTF-8", ";q=1"],
)
def test_parameters_and_case_of_a_content_type_do_not_matter_and_none_at_all_means_json(kind):
    assert decode(PopReport, payload(), kind).pop == "fra1"
    assert decode(PopReport, b"\xef\xbb\xbf" + payload(), kind).pop == "fra1"


def test_parameters_and_case_do_not_matter_to_what_is_compressed():
    assert decode(PopReport, zlib.compress(payload()), "Application/JSON+zlib; level=9").pop == "fra1"


def test_a_report_may_carry_all_that_its_topic_is_for():
    heard = Heard()
    links = [{"to": "ams1", "rtt_us": 7000, "loss_ppm": 0}, {"to": "db", "rtt_us": 24_500, "loss_ppm": 10_000}]
    heard.take(capacity=10**9, links=links, interval_ms=2000, news="to come")
    said = BackboneLinks((BackboneLink("ams1", 7.0, 0.0), BackboneLink("db", 24.5, 0.01)), 2.0)
    assert heard.states == [PopState("fra1", True, backbone=said)]


def test_links_that_lay_at_the_broker_begin_to_fade_and_those_ahead_of_our_clock_are_not_taken():
    heard = Heard()
    link = {"to": "db", "rtt_us": 24_500, "loss_ppm": 0}
    topic = "steer/v1/acme/pop/fra1/state"
    heard.reports.take(topic, payload(links=[link], interval_ms=2000), JSON, retained=True)
    assert heard.states[0].backbone == BackboneLinks((BackboneLink("db", 24.5, 0.0),), 2.0, 3 * 2.0)
    heard.wall = 0
    heard.take(epoch=WALL, links=[link])
    heard.wall = WALL
    heard.reports.look()
    assert heard.states[1:] == [PopState("fra1", True)]


@pytest.mark.parametrize(
    ("to", "reason"), [(["db", "ams1", "db"], "duplicate link"), (["db", "fra1"], "link to itself")]
)
def test_links_that_contradict_themselves_are_refused_and_the_rest_is_heard(to, reason):
    heard = Heard()
    heard.take(accepting=False, links=[{"to": one, "rtt_us": 1, "loss_ppm": 0} for one in to])
    assert heard.states == [PopState("fra1", False)]
    assert heard.refused == [("pop", reason)]
    assert reason in REASONS


def test_each_reason_is_told_now_and_then_and_always_counted(caplog):
    counted, clock = [], [0.0]
    refuse = Refusals(lambda *which: counted.append(which), lambda: clock[0])
    for _ in range(3):
        refuse("pop", "malformed", "a\x1b[2Jb")
    refuse("pop", "too large", "c" * 1000)
    clock[0] = SAID_EVERY
    refuse("pop", "malformed", "d")
    refuse("pop", "malformed", "e")
    assert counted == [("pop", "malformed")] * 3 + [("pop", "too large")] + [("pop", "malformed")] * 2
    assert caplog.messages == [
        "MQTT: refused from pop, malformed: a\\x1b[2Jb",
        f"MQTT: refused from pop, too large: {'c' * 200}",
        "MQTT: refused from pop, malformed: d (and 2 more)",
    ]


def test_only_known_pops_are_heard_and_only_on_their_own_topic():
    heard = Heard()
    heard.take("nyc1", pop="nyc1")
    heard.take("ams1", pop="fra1")
    heard.reports.take("steer/v1/acme/pop/fra1/state", b"", None)
    assert heard.states == []
    assert heard.refused == [("pop", "unknown PoP"), ("pop", "another PoP's topic")]
    heard.reports.pops = frozenset({"nyc1"})
    heard.take("nyc1", pop="nyc1")
    assert heard.states == [PopState("nyc1", True)]
