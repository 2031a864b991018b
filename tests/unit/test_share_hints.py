"""A region's rollup: which PoPs it hints at, what is refused, when it ends; and that it moves nobody."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from steerd.core.events import Hints
from steerd.core.policy.cadences import HINTED
from steerd.core.settings import Settings
from steerd.share.hints import LASTS, Rollups
from steerd.share.messages import JSON
from steerd.share.topics import Topics
from tests.unit.driven import Driven


class Heard:
    """A `Rollups`, what it told, what it refused."""

    def __init__(self) -> None:
        self.told: list[Hints] = []
        self.refused: list[tuple[str, str]] = []
        self.now = 0.0
        topics = Topics("acme", "eu", "gw1")
        self.rollups = Rollups(
            topics, "eu", self.told.append, lambda source, reason, _: self.refused.append((source, reason)),
            lambda: self.now,
        )  # fmt: skip

    def say(self, *pops: tuple[str, int, int], region: str = "eu", seq: int = 1) -> None:
        paths = [
            {"pop": pop, "median_rtt_us": rtt, "mad_us": 1, "loss_ppm": loss, "gateways": 5} for pop, rtt, loss in pops
        ]
        message = {"v": 1, "region": region, "epoch": 1, "seq": seq, "paths": paths}
        self.rollups.take(json.dumps(message).encode(), JSON)


def test_the_nearest_pops_are_hinted_at_first_and_lossy_ones_are_not():
    heard = Heard()
    heard.say(("ams1", 20_000, 0), ("fra1", 10_000, 0), ("lon1", 1_000, 100_000))
    assert heard.told == [Hints(("fra1", "ams1"))]
    heard.say(("ams1", 20_000, 0), ("fra1", 10_000, 0), seq=2)
    assert len(heard.told) == 1  # nothing new


def test_another_regions_an_older_and_a_wrong_one_are_refused():
    heard = Heard()
    heard.say(("fra1", 1, 0), region="us")
    heard.say(("fra1", 1, 0), seq=5)
    heard.say(("ams1", 1, 0), seq=4)
    for payload in (b"{", b'{"v":1,"region":"eu","epoch":1,"seq":9,"paths":[{"pop":"a","median_rtt_us":-1}]}'):
        heard.rollups.take(payload, JSON)
    heard.rollups.take(b"{}", "text/plain")
    assert [reason for _, reason in heard.refused] == [
        "another region's topic", "stale", "malformed", "malformed", "content type",
    ]  # fmt: skip
    assert heard.told == [Hints(("fra1",))]


def test_hints_end_when_nobody_gives_them_any_more():
    heard = Heard()
    heard.say(("fra1", 1, 0))
    heard.now = LASTS
    heard.rollups.look()
    assert heard.told == [Hints(("fra1",))]
    heard.now += 1.0
    heard.rollups.look()
    heard.rollups.look()
    assert heard.told == [Hints(("fra1",)), Hints()]
    heard.say(("fra1", 1, 0), seq=2)
    heard.rollups.take(b"", JSON)
    assert heard.told[2:] == [Hints(("fra1",)), Hints()]


# In the core

NAMES = [f"pop{number:02}/w" for number in range(40)]


def driven() -> Driven:
    """40 PoPs of 30 ms, but the first, which is 10 ms away, and is used."""
    delays = {name: (lambda _, rtt=30.0 if place else 10.0: rtt) for place, name in enumerate(NAMES)}
    return Driven(delays, settings=Settings(max_active=4, scout_interval=30.0)).run(10)


def every(made: Driven, name: str) -> float | None:
    return {path.path: path.every for path in made.view().paths}[name]


def test_scouts_that_the_region_finds_near_are_looked_at_more_often_and_no_more_than_there_may_be_candidates():
    made = driven()
    made.feed(Hints(("nobody", *(f"pop{number}" for number in range(20, 30)))))
    hinted = [name for name in NAMES if every(made, name) == 30.0 / HINTED]
    assert hinted == NAMES[20:24]
    made.feed(Hints())
    assert every(made, NAMES[20]) == 30.0


@settings(max_examples=20)
@given(st.lists(st.sampled_from([name.partition("/")[0] for name in NAMES]), max_size=40))
def test_whatever_the_region_says_no_choice_changes_where_there_is_evidence_of_our_own(pops):
    made = driven()
    before = len(made.switches)
    made.feed(Hints(tuple(pops)))
    made.run(25)
    assert len(made.switches) == before
