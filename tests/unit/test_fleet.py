"""What the fleet service makes of what it hears: records, rollups, views, and what it refuses."""

import json
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core.states import PathState
from steerd.fleet.drains import Drains
from steerd.fleet.heard import GATEWAYS_MAX, Gateway, Heard, PathSeen, Presence
from steerd.fleet.inventory import Inventory, InventoryError, read
from steerd.fleet.rollup import LEAST, rolled_up
from steerd.fleet.view import ROWS_MAX, Search, page, rows, view
from steerd.share.messages import JSON, RefusedError
from steerd.share.reports import EPOCH_AHEAD
from steerd.share.signing import WantedState, generate, public_text, sign, signers
from steerd.share.topics import FleetTopics, Said

NOW = 1_000.0
WALL = 1_800_000_000.0
TOPICS = FleetTopics("acme", "middle", ["eu"])
ROOT = "steer/v1/acme"
STATE = {"v": 1, "gw": "gw1", "epoch": 1, "online": True, "version": ""}
REPORT = {"v": 1, "pop": "fra1", "epoch": 1, "seq": 1, "accepting": True}


class World:
    """A `Heard` with a clock that stands still, and what it refused."""

    def __init__(self, *inventory: str) -> None:
        self.refused: list[tuple[str, str]] = []
        self.now = NOW
        self.inventory = Inventory(frozenset(("eu", name) for name in inventory))
        self.heard = Heard(
            lambda: self.inventory,
            lambda source, reason, _: self.refused.append((source, reason)),
            lambda: self.now,
            lambda: WALL,
        )

    def say(self, topic: str, retained: bool = False, **message: object) -> None:
        said = TOPICS.said(f"{ROOT}/{topic}")
        assert said is not None
        payload = json.dumps(message).encode() if message else b""
        self.heard.take(said, topic, payload, JSON, retained=retained)

    def state(self, gw: str, online: bool = True, epoch: int = 1, **more: object) -> None:
        self.say(f"gw/eu/{gw}/state", v=1, gw=gw, epoch=epoch, online=online, version="0.2", **more)

    def score(self, gw: str, pop: str = "fra1", seq: int = 1, rtt_us: int | None = 10_000, epoch: int = 1) -> None:
        path = {"pop": pop, "path": f"{pop}/wg0", "state": "up", "rtt_us": rtt_us, "jitter_us": 1, "loss_ppm": 0}
        self.say(
            f"gw/eu/{gw}/score", v=1, gw=gw, epoch=epoch, seq=seq, ts_ms=1, policies={"default": f"{pop}/wg0"},
            paths=[{**path, "n": 3, "age_ms": 5}],
        )  # fmt: skip

    def pops(self):
        return {one.name: one for one in view(self.heard, Drains({}, lambda: WALL), self.now, 30.0).pops}


def test_topics_that_are_nobodys_are_passed_over():
    for topic in (
        "",
        "x",
        f"{ROOT}/gw/eu/gw1",
        f"{ROOT}/gw/eu/gw1/other",
        f"{ROOT}/pop/a/b/state",
        f"{ROOT}/ctl/pop/x",
    ):
        assert TOPICS.said(topic) is None
    assert TOPICS.said(f"{ROOT}/ctl/region/eu/pop/fra1") == Said("ctl", "fra1", "pop", "region/eu")


def test_a_gateway_is_online_then_stale_and_offline_by_its_will():
    world = World()
    world.state("gw1")
    world.score("gw1")
    gateway = world.heard.gateways["eu", "gw1"]
    assert gateway.presence(NOW + 30, 30.0) is Presence.ONLINE
    assert gateway.presence(NOW + 31, 30.0) is Presence.STALE
    world.state("gw1", online=False, reason="stopped")
    assert gateway.presence(NOW, 30.0) is Presence.OFFLINE
    assert gateway.reason == "stopped"


def test_one_that_never_said_a_score_is_stale():
    world = World()
    world.state("gw1")
    assert world.heard.gateways["eu", "gw1"].presence(NOW, 30.0) is Presence.STALE


def test_the_will_of_an_earlier_run_takes_nobody_offline():
    world = World()
    world.state("gw1", epoch=9)
    world.state("gw1", epoch=8, online=False)
    assert world.heard.gateways["eu", "gw1"].online
    assert world.refused == [("gateway", "stale epoch")]


def test_an_empty_message_forgets_a_gateway_and_a_pop():
    world = World()
    world.state("gw1")
    world.say("pop/fra1/state", v=1, pop="fra1", epoch=1, seq=1, accepting=True)
    world.say("gw/eu/gw1/state")
    world.say("pop/fra1/state")
    assert not world.heard.gateways
    assert not world.heard.pops


@pytest.mark.parametrize(
    ("topic", "message", "reason"),
    [
        ("gw/eu/gw1/state", {**STATE, "gw": "gw2"}, "another gateway's topic"),
        ("gw/eu/gw1/state", {**STATE, "epoch": int(WALL + EPOCH_AHEAD) + 1}, "future epoch"),
        ("gw/eu/gw1/state", {"x": 1}, "malformed"),
        ("gw/eu/gw1/score", {"v": 2}, "malformed"),
        ("pop/fra1/state", {**REPORT, "pop": "ams1"}, "another PoP's topic"),
        ("pop/fra1/state", {**REPORT, "load_ppm": -1}, "malformed"),
    ],
)
def test_what_cannot_be_true_is_refused_and_changes_nothing(topic, message, reason):
    world = World()
    world.say(topic, **message)
    assert [why for _, why in world.refused] == [reason]
    assert not world.heard.gateways
    assert not world.heard.pops


def test_an_older_score_is_refused_and_a_new_run_is_not():
    world = World()
    world.score("gw1", "fra1", seq=5)
    world.score("gw1", "ams1", seq=4)
    assert world.refused == [("gateway", "stale seq")]
    assert world.pops()["fra1"].name == "fra1"
    world.score("gw1", "ams1", seq=1, epoch=2)
    assert world.heard.gateways["eu", "gw1"].choices == {"default": "ams1/wg0"}


def test_no_more_gateways_are_kept_than_there_may_be():
    world = World()
    world.heard.gateways = dict.fromkeys(
        ((str(number), "x") for number in range(GATEWAYS_MAX)), Gateway("r", "x", True)
    )
    world.state("gw1")
    assert world.refused == [("gateway", "too many gateways")]


def test_a_switch_that_comes_twice_counts_once():
    world = World()
    event = {
        "v": 1,
        "gw": "gw1",
        "epoch": 1,
        "seq": 3,
        "ts_ms": 1,
        "event_id": "e",
        "policy": "default",
        "reason": "down",
    }
    for _ in range(2):
        world.say("gw/eu/gw1/event", **event, **{"from": "fra1/wg0"}, to="ams1/wg0", gain_us=None)
    assert world.heard.switches == {"down": 1}
    moved = world.heard.gateways["eu", "gw1"].moved
    assert moved is not None
    assert (moved.old, moved.new) == ("fra1/wg0", "ams1/wg0")


def test_only_gateways_that_are_online_count_as_users():
    world = World()
    for name in ("gw1", "gw2", "gw3"):
        world.state(name)
        world.score(name)
    world.state("gw2", online=False)
    pop = world.pops()["fra1"]
    assert (pop.users, dict(pop.by_policy), dict(pop.states)) == (2, {"default": 2}, {PathState.UP: 2})
    assert pop.rtt == 10.0


def test_a_path_without_an_rtt_has_none():
    world = World()
    world.state("gw1")
    world.score("gw1", rtt_us=None)
    assert world.pops()["fra1"].rtt is None


def test_gateways_are_searched_by_name_region_pop_and_presence_and_paged():
    world = World("gw000")
    for number in range(ROWS_MAX + 5):
        name = f"gw{number:03d}"
        world.state(name)
        world.score(name, "fra1" if number % 2 else "ams1")

    def found(**words: object):
        return rows(world.heard, Search(**words), world.now, 30.0)  # type: ignore[arg-type]

    assert (found()["total"], len(found()["rows"])) == (ROWS_MAX + 5, ROWS_MAX)
    assert len(found(start=ROWS_MAX)["rows"]) == 5
    assert found(text="GW003")["total"] == 1
    assert found(pop="fra1")["total"] == (ROWS_MAX + 5) // 2
    assert found(pop="fra")["total"] == 0
    assert found(region="us")["total"] == 0
    assert found(presence="offline")["total"] == 0
    assert [row["known"] for row in found(text="gw00")["rows"]] == [True] + [False] * 9
    json.dumps(page(view(world.heard, Drains({}, lambda: WALL), world.now, 30.0)))


# Rollups


def gateway(number: int, *paths: PathSeen, known: bool = True, at: float | None = NOW) -> Gateway:
    return Gateway("eu", f"gw{number}", known, online=True, scored_at=at, paths=paths)


def up(rtt: float | None, pop: str = "fra1", state: PathState = PathState.UP) -> PathSeen:
    return PathSeen(pop, state, rtt, 0.01)


def test_fewer_than_five_gateways_make_no_rollup():
    assert rolled_up([gateway(one, up(10.0)) for one in range(LEAST - 1)], NOW, 30.0) == []
    (one,) = rolled_up([gateway(one, up(10.0 + one)) for one in range(LEAST)], NOW, 30.0)
    assert (one.pop, one.median_rtt_us, one.mad_us, one.loss_ppm, one.gateways) == (
        "fra1",
        12_000,
        1_000,
        10_000,
        LEAST,
    )


def test_strangers_the_stale_and_dead_paths_are_not_counted():
    five = [gateway(one, up(10.0)) for one in range(5)]
    more = [gateway(6, up(1.0), known=False), gateway(7, up(1.0), at=NOW - 31), gateway(8, up(1.0), at=None)]
    more += [gateway(9, up(1.0, state=PathState.DOWN)), gateway(10, up(None))]
    assert rolled_up(five + more, NOW, 30.0) == rolled_up(five, NOW, 30.0)


def test_of_two_paths_of_a_gateway_the_better_one_counts_once():
    (one,) = rolled_up([gateway(one, up(10.0), up(30.0)) for one in range(5)], NOW, 30.0)
    assert (one.median_rtt_us, one.gateways) == (10_000, 5)


@given(st.integers(0, 2**32), st.integers(6, 60), st.floats(0.0, 1000.0))
def test_a_third_of_liars_moves_no_median_out_of_what_the_honest_measured(seed, count, lie):
    draw = Random(seed)
    honest = [draw.gauss(40.0, 4.0) for _ in range(count - count // 3)]
    said = honest + [lie] * (count // 3)
    (one,) = rolled_up([gateway(number, up(max(0.0, rtt))) for number, rtt in enumerate(said)], NOW, 30.0)
    assert min(honest) <= one.median_rtt_us / 1000 + 0.001
    assert one.median_rtt_us / 1000 - 0.001 <= max(honest)


def test_a_third_of_liars_shifts_the_hints_by_less_than_5_ms_in_the_median():
    """Gateways of one region that measure a PoP with a standard deviation of 6 ms; liars all say 0, or all 1 s."""
    shifts = []
    for seed in range(200):
        draw = Random(seed)
        honest = [draw.gauss(40.0, 6.0) for _ in range(30)]
        lie = 0.0 if seed % 2 else 1000.0
        (clean,) = rolled_up([gateway(number, up(rtt)) for number, rtt in enumerate(honest)], NOW, 30.0)
        (lied,) = rolled_up(
            [gateway(number, up(lie if number % 3 == 0 else rtt)) for number, rtt in enumerate(honest)], NOW, 30.0
        )
        shifts.append(abs(lied.median_rtt_us - clean.median_rtt_us) / 1000)
    assert median(shifts) < 5.0
    assert max(shifts) < 12.0


# Drains


def test_a_signed_drain_is_shown_until_it_ends_and_no_other():
    key, other, wall = generate(), generate(), [WALL]
    drains = Drains(signers({public_text(key.verify_key): "alice"}), lambda: wall[0])

    def order(by=key, counter: int = 1, drained: bool = True, pop: str = "fra1") -> bytes:
        ms = int(WALL * 1000)
        wanted = WantedState(
            tenant="acme", to="all", pop=pop, drained=drained, counter=counter, nbf_ms=ms, exp_ms=ms + 60_000
        )
        return sign(by, wanted)

    said = Said("ctl", "fra1", "pop", "all")
    for payload, reason in ((order(by=other), "unknown key"), (order(pop="ams1"), "wrong topic"), (b"{}", "malformed")):
        with pytest.raises(RefusedError, match=reason):
            drains.take(said, payload)
    assert drains.of("fra1") == []
    drains.take(said, order(counter=5))
    assert drains.of("fra1") == ["all"]
    with pytest.raises(RefusedError, match="replayed"):
        drains.take(said, order(counter=4, drained=False))
    wall[0] += 61
    assert drains.of("fra1") == []
    wall[0] -= 61
    drains.take(said, b"")
    assert drains.of("fra1") == []


# The inventory


def test_an_inventory_lists_gateways_by_region(tmp_path):
    file = tmp_path / "inventory"
    file.write_text("# ours\n eu/gw1 # the first\n\nus/gw2\n")
    found = read(file)
    assert len(found) == 2
    assert found.knows("eu", "gw1")
    assert not found.knows("us", "gw1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"# nobody\n", "is empty"),
        (b"eu/gw1\ngw2\n", "line 2: 'gw2' must be REGION/NAME"),
        (b"eu/gw1/x\n", "line 1: 'eu/gw1/x' must be REGION/NAME"),
        (b"eu/g w\n", "line 1"),
        (b"\xff\xfe", "must be UTF-8 text"),
    ],
)
def test_a_wrong_inventory_names_the_place(tmp_path, text, words):
    file = tmp_path / "inventory"
    file.write_bytes(text)
    with pytest.raises(InventoryError, match=words):
        read(file)
