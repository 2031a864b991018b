"""The panel: rules on paper, and who is followed. The price is 100 ms*s, a switch there and one back 200."""

from random import Random

import pytest

from steerd.core.policy.policy import rule_of as make
from steerd.core.rules.confidence import Confidence
from steerd.core.rules.panel import HOLD, Panel, members
from steerd.core.rules.threshold import Threshold
from steerd.core.settings import PanelSettings, RegretSettings, Settings, ThresholdSettings
from tests.unit.beliefs import World

PRICE = 100.0
NAMES = ["quick", "work-function", "last-sample", "patient"]


def panel(only="", *, price=PRICE, ignore=2.0):
    return make(Settings(rule=PanelSettings(price, only), ignore_below=ignore))


class Alone:
    """A panel of quick alone; what it has learned of a and b can be seen."""

    def __init__(self, **costs):
        self.member = Confidence("quick", half_life=2.0, errors=2.0, margin=3.0)
        self.world = World(Panel([self.member], PRICE, 2.0), **costs)

    @property
    def gain(self):
        """By how much the mean of a is above that of b, once the panel was asked for what it thinks of them."""
        self.world.rule.outlook(self.world.shown, self.world.place(self.world.here))
        return self.member.margin(0, 1)["gain"]


def noise(sd, seed=1):
    draw = Random(seed)
    return lambda: draw.gauss(40.0, sd)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (PanelSettings(), NAMES), (PanelSettings(only="patient"), ["patient"]), (PanelSettings(only="x"), []),
        (RegretSettings(), ["work-function"]),
    ],
)  # fmt: skip
def test_settings_say_which_rules_run(rule, names):
    if names:
        assert list(make(Settings(rule=rule)).standing(0.0).costs) == names
    else:
        with pytest.raises((IndexError, ValueError)):
            make(Settings(rule=rule)).standing(0.0)


def test_threshold_is_no_panel():
    assert isinstance(make(Settings(rule=ThresholdSettings())), Threshold)


@pytest.mark.parametrize(("gain", "within"), [(40.0, 3), (20.0, 5), (10.0, 8)])
def test_what_is_clearly_better_is_followed_soon(gain, within):
    world = World(panel(), a=20.0, b=28.0)
    assert world.rounds(60) == []
    world.hear(a=28.0 + gain)
    ((when, verdict),) = world.rounds(60)
    assert when <= within
    assert (verdict.to, verdict.rule) == ("b", "quick")
    assert verdict.margin["price"] == PRICE
    assert verdict.margin["gain"] > verdict.margin["needed"] > 3.0


@pytest.mark.parametrize("ignore", [2.0, 5.0])
@pytest.mark.parametrize("only", ["", *NAMES])
def test_for_what_is_ignored_nothing_ever_moves(only, ignore):
    world = World(panel(only, ignore=ignore), a=20.0 + ignore, b=20.0)
    assert world.rounds(3000) == []
    assert set(world.costs().values()) == {0.0}  # and on paper nobody paid for a switch
    world.hear(a=20.0 + ignore + 3.1)
    assert world.rounds(200)


@pytest.mark.parametrize("only", NAMES)
def test_the_last_samples_must_differ_by_more_than_is_ignored_too(only):
    """Whatever was learned before: at the moment it would gain nothing."""
    world = World(panel(only), a=60.0, b=20.0)
    world.known["b"]["open"] = False
    world.show()
    world.rounds(100)  # all want to move, and may not
    world.show(b={"open": True})
    assert world.look(a=22.0, b=20.0) is None
    moves = [world.look(a=22.1, b=20.0), world.look(a=60.0, b=20.0)]
    assert next(one for one in moves if one is not None).to == "b"


def little(only):
    """All want to go to b, which would gain 2 ms at the moment; c would gain more, and is closed."""
    world = World(panel(only), a=60.0, b=20.0, c=10.0)
    world.show(b={"open": False}, c={"open": False})
    world.rounds(100)
    world.show(b={"open": True})
    return world


def test_by_as_much_must_the_one_that_is_moved_to_differ():
    for only in ("quick", "patient"):
        world = little(only)
        assert world.look(a=22.5, b=20.5, c=10.0) is None
        assert world.look(a=22.6, b=20.5, c=10.0).to == "b"


def test_nor_does_anybody_move_on_paper_for_less():
    world = little("")
    world.look(a=22.5, b=20.5, c=10.0)
    assert set(world.costs().values()) == {0.0}


@pytest.mark.parametrize("only", ["", *NAMES])
def test_no_path_is_moved_to_before_five_news_of_it(only):
    world = World(panel(only), a=300.0)
    world.add("b", 20.0)
    ((when, _),) = world.rounds(60)
    assert when >= 5


@pytest.mark.parametrize("only", ["", *NAMES])
def test_nobody_moves_to_a_path_that_is_closed_or_not_up(only):
    world = World(panel(only), a=300.0, b=30.0, c=20.0)
    world.show(b={"open": False})
    world.belief("c").path.up = False
    assert world.rounds(60) == []
    world.belief("c").path.up = True
    assert world.rounds(60)[0][1].to == "c"


def test_a_path_that_is_cheaper_and_new_does_not_win_by_being_new():
    """To the work function it enters at the cap: it has to make good a price first."""
    world = World(panel("work-function"), a=24.0, c=90.0)
    world.rounds(50)
    world.add("b", 20.0)
    ((when, _),) = world.rounds(100)
    assert when == 50  # 25 to be level with a, 25 until a is at the cap


def test_void_time_counts_for_nothing():
    world = World(panel(), a=60.0, b=20.0)
    assert world.rounds(100, dt=0.0) == []
    assert set(world.costs().values()) == {0.0}
    assert world.rounds(100)


def test_one_candidate_has_nobody_to_compare_with():
    world = World(panel(), a=60.0)
    assert world.rounds(100) == []


# What is evidence


@pytest.mark.parametrize("only", ["quick", "patient"])
def test_a_held_sample_moves_no_mean(only):
    """A lone spike of a path that is not heard again is no reason to leave it, however long it stands there."""
    world = World(panel(only), a=20.0, b=25.0)
    world.rounds(60)
    world.hear(a=80.0)
    assert world.look(b=25.0) is None
    seen = world.rule.outlook(world.shown, 0)
    for _ in range(30):
        assert world.look(b=25.0) is None
    assert world.rule.outlook(world.shown, 0) == seen
    assert world.rounds(10, a=80.0, b=25.0)  # the same again, and heard


def test_a_held_sample_is_paid_in_each_round():
    world = World(panel("work-function"), a=20.0, b=25.0)
    world.look(a=30.0, b=25.0)
    (when, verdict) = next((n, one) for n in range(2, 99) if (one := world.look(b=25.0)) is not None)
    assert (when, verdict.margin["regret"]) == (20, PRICE)


@pytest.mark.parametrize(("rounds", "weight"), [(1, 1 - 2**-0.5), (4, 0.75), (10, 1 - 2**-5)])
def test_a_sample_weighs_for_the_time_since_the_one_before(rounds, weight):
    quick = Alone(a=20.0, b=25.0)
    world = quick.world
    world.look(a=20.0, b=25.0)
    for _ in range(rounds - 1):
        world.look()
    world.look(a=24.0)
    assert quick.gain == pytest.approx(4.0 * weight - 5.0)


def test_a_sample_weighs_for_a_round_at_least():
    """Two in one round are looked at once."""
    quick = Alone(a=20.0, b=25.0)
    world = quick.world
    world.look(a=20.0, b=25.0)
    world.hear(a=24.0)
    world.hear(a=24.0)
    world.rule.observe(world.shown, 0, 1.0, 2.0)
    assert quick.gain == pytest.approx(4.0 * (1 - 2**-0.5) - 5.0)


def test_what_does_not_depend_on_probes_counts_at_once():
    """A black hole, the load of a PoP: what was learned moves with it, and nothing has to be learned again."""
    world = World(panel("quick"), a=20.0, b=25.0)
    world.rounds(60)
    belief = world.belief("a")
    belief.fixed, belief.cost, belief.last = 100.0, 120.0, 120.0
    world.show()
    assert world.rounds(5)[0][0] == 1
    belief.fixed, belief.cost, belief.last = 0.0, 20.0, 20.0
    world.show()
    assert world.rounds(60) == []


def test_both_dearer_by_the_same_is_no_reason_to_move():
    quick = Alone(a=20.0, b=25.0)
    world = quick.world
    world.rounds(60)
    for name in "ab":
        belief = world.belief(name)
        belief.fixed, belief.cost, belief.last = 40.0, belief.cost + 40.0, belief.cost + 40.0
    world.show()
    assert world.rounds(300) == []
    assert quick.gain == pytest.approx(-5.0)


# Doubt


@pytest.mark.parametrize(("relapses", "moves"), [(0.0, True), (1.0, True), (2.4, True), (2.6, False), (4.0, False)])
def test_a_path_that_was_down_lately_costs_a_price_in_33_s_more_for_each_relapse(relapses, moves):
    """Of 12.5 ms that b is cheaper the last sample's rule asks for 5: 7.5 are left for doubt, 3.03 each."""
    world = World(panel("last-sample"), a=32.5, b=20.0)
    world.show(b={"relapses": relapses})
    assert bool(world.rounds(60)) is moves
    assert pytest.approx(3.03, abs=0.01) == PRICE / HOLD


def test_doubt_that_fades_gives_way():
    world = World(panel(), a=26.0, b=20.0)
    world.show(b={"relapses": 2.0})
    assert world.rounds(10) == []
    for left in (1.5, 1.0, 0.5):
        world.show(b={"relapses": left})
        assert world.rounds(2) == []
    world.show(b={"relapses": 0.0})
    assert world.rounds(20)[0][1].to == "b"


# Noise


@pytest.mark.parametrize(
    ("sd", "hz", "most"), [(3, 0.2, 2), (3, 1, 3), (3, 5, 2), (10, 0.2, 4), (10, 1, 4), (10, 5, 3)]
)
def test_equal_noise_moves_it_a_few_times_an_hour_at_most(sd, hz, most):
    draw, hours = noise(sd), 3
    world = World(panel(), a=40.0, b=40.0, c=40.0)
    moves = 0
    for _ in range(int(hours * 3600 * hz)):
        verdict = world.look(1.0 / hz, a=draw(), b=draw(), c=draw())
        if verdict is not None:
            world.here = verdict.to
            moves += 1
    assert moves <= most * hours


def test_a_step_of_20_ms_over_noise_of_10_is_left_within_9_s():
    """The median of many."""
    waits = []
    for seed in range(60):
        draw = noise(10, seed)
        world = World(panel(), a=40.0, b=40.0)
        for _ in range(120):
            world.look(a=draw(), b=draw() + 5.0)
        waits.append(next(n for n in range(1, 999) if world.look(a=draw() + 20.0, b=draw()) is not None))
    assert sorted(waits)[30] <= 9


def test_no_member_moves_for_what_is_ignored_even_where_its_margin_is_less():
    """At a price of 20 ms*s quick would ask for 0.6 ms alone."""
    for one in members(20.0, 2.0):
        if one.name != "work-function":
            one.take([None, None], [21.9, 20.0], [0.0, 0.0])
            assert one.margin(0, 1)["needed"] >= 2.0


@pytest.mark.parametrize("name", ["quick", "patient", "work-function"])
def test_what_has_moved_for_a_while_is_known_at_once(name):
    """Nobody waits for samples of what has been so for seconds: 30 ms more for 4 s are more than a price."""
    for by, moves in ((30.0, True), (0.0, False), (-30.0, False)):
        world = World(panel(name), a=40.0, b=40.0)
        world.rounds(60, a=40.0, b=40.0)
        world.belief("a").last = 40.0 + by
        world.rule.moved(world.belief("a").path, by, 4.0)
        verdict = world.look(a=40.0 + by, b=40.0)
        assert (verdict is not None) == moves, by


def test_what_moved_before_a_rule_was_asked_changes_nothing():
    fresh = panel()
    fresh.moved(World(panel(), a=40.0).belief("a").path, 30.0, 4.0)
    assert World(fresh, a=40.0, b=40.0).look(a=40.0, b=40.0) is None


def test_nobody_is_charged_for_a_path_that_is_no_candidate():
    world = World(panel("work-function"), a=40.0, b=40.0)
    world.rounds(10, a=40.0, b=40.0)
    world.rounds(2, a=60.0, b=40.0)  # 40 of the 100 ms*s, and as much with the two looks
    world.rule.moved(World(panel(), a=1.0).belief("a").path, 30.0, 4.0)
    assert world.look(a=60.0, b=40.0) is None
    world.rule.moved(world.belief("a").path, 0.5, 4.0)
    assert world.look(a=60.0, b=40.0) is not None
