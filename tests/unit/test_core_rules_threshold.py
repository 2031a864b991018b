"""Better by a margin, for a time."""

import pytest

from steerd.core.rules.threshold import Threshold
from steerd.core.settings import ThresholdSettings
from tests.unit.beliefs import World


def threshold(margin=0.1, margin_ms=3.0, hold=10.0, *, ignore=2.0):
    return Threshold(ThresholdSettings(margin, margin_ms, hold), ignore)


def test_it_asks_for_margin_and_time():
    assert World(threshold(), a=100.0, b=91.0).rounds(100) == []
    ((when, verdict),) = World(threshold(), a=100.0, b=89.0).rounds(100)
    assert (when, verdict.to, verdict.rule) == (10, "b", "threshold")
    assert verdict.margin == {"gain": 11.0, "needed": 10.0, "held": 10.0, "hold": 10.0}


@pytest.mark.parametrize(
    ("cost", "margin", "margin_ms", "ignore", "needed"),
    [(100.0, 0.1, 3.0, 2.0, 10.0), (20.0, 0.1, 3.0, 2.0, 3.0), (10.0, 0.1, 0.5, 2.0, 2.0)],
)
def test_the_largest_of_three_margins_is_asked_for(cost, margin, margin_ms, ignore, needed):
    def moves(gain):
        return World(threshold(margin, margin_ms, 5.0, ignore=ignore), a=cost, b=cost - gain).rounds(20)

    assert not moves(needed)
    assert moves(needed + 0.01)


def test_it_starts_again_after_a_relapse():
    world = World(threshold(), a=100.0, b=50.0)
    assert world.rounds(8) == []
    assert world.look(a=100.0, b=99.0) is None
    assert world.rounds(20, a=100.0, b=50.0)[0][0] == 10


def test_it_starts_again_after_a_move():
    world = World(threshold(), a=100.0, b=50.0, c=100.0)
    world.rounds(8)
    world.here = "c"
    assert world.look() is None
    world.here = "a"
    assert world.rounds(20)[0][0] == 10


def test_of_several_that_held_the_cheapest_is_taken():
    assert World(threshold(), a=100.0, b=50.0, c=40.0, d=60.0).rounds(20)[0][1].to == "c"


def test_a_rival_that_has_not_held_yet_is_not_taken():
    world = World(threshold(), a=100.0, b=50.0)
    world.rounds(6)
    world.add("c", 20.0, since=0)
    when, verdict = world.rounds(20)[0]
    assert (when, verdict.to) == (4, "b")


@pytest.mark.parametrize("why", [{"open": False}, {"since": 100}, {"relapses": 0.5}])
def test_only_who_is_ready_and_not_doubted_is_moved_to(why):
    world = World(threshold(), a=100.0, b=20.0, c=30.0)
    world.show(b=why)
    world.belief("b").path.news = 104
    assert world.rounds(20, a=100.0, c=30.0)[0][1].to == "c"


def test_a_path_that_is_not_up_does_not_count_its_time():
    world = World(threshold(), a=100.0, b=20.0)
    world.rounds(8)
    world.belief("b").path.up = False
    world.look()
    world.belief("b").path.up = True
    assert world.rounds(20)[0][0] == 10


def test_it_says_for_how_long_it_held():
    world = World(threshold(), a=100.0, b=100.0)
    world.rounds(7)
    ((_, verdict),) = world.rounds(20, a=100.0, b=50.0)
    assert verdict.margin["held"] == 10.0


def test_the_outlook_names_the_cheapest_rival_and_what_is_missing():
    world = World(threshold(), a=100.0, b=94.0, c=99.0)
    assert world.rule.outlook(world.shown, 0) == "b, the cheapest rival, would have to become 4.0 ms cheaper"
    world.hear(b=90.0)
    assert world.rule.outlook(world.shown, 0) == "b, the cheapest rival, would have to become 0.0 ms cheaper"
    world.hear(b=80.0)
    assert world.rule.outlook(world.shown, 0) == "b is 20.0 ms cheaper: it has to stay so for 10 s"
    world.belief("b").path.up = False
    assert world.rule.outlook(world.shown, 0).startswith("c, the cheapest rival")
    world.show(c={"open": False})
    assert world.rule.outlook(world.shown, 0) == "no rival may be used now"
