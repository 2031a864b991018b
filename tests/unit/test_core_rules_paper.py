"""What each member of the panel would have cost, and who leads. The price is 100 ms*s: there and back 200."""

import pytest

from steerd.core.memory import Standing
from steerd.core.rules.panel import LEAD, MEMORY, Panel, members
from steerd.core.rules.work_function import WorkFunction
from tests.unit.beliefs import World

PRICE = 100.0
NAMES = ["quick", "work-function", "last-sample", "patient"]


def panel():
    return Panel(members(PRICE, 2.0), PRICE, 2.0)


def test_quick_leads_at_first_and_all_have_cost_nothing():
    world = World(panel(), a=20.0, b=30.0)
    assert world.rule.standing(5.0) == Standing("quick", 0.0, dict.fromkeys(NAMES, 0.0))
    world.look()
    assert world.rule.standing(7.0).leads_for == 6.0  # since the first round


def bursts(world, count):
    """Paths that take turns at being 12 ms slower for 4 s: who follows the last sample gains nothing by it, and who
    follows nobody pays half of it."""
    for number in range(count):
        high, low = ("a", "b") if number // 4 % 2 else ("b", "a")
        world.look(**{high: 52.0, low: 40.0})


def test_each_member_pays_its_place_and_its_switches():
    world = World(panel(), a=40.0, b=40.0)
    world.rounds(100, a=40.0, b=40.0)
    assert set(world.costs().values()) == {0.0}
    world.look(a=60.0, b=40.0)  # 20 ms*s each; last-sample moves
    costs = world.costs()
    assert costs["last-sample"] == pytest.approx(PRICE)
    assert costs["patient"] == costs["work-function"] == 0.0
    world.look(a=60.0, b=40.0)  # who has not moved pays 20 more
    fade = 2 ** (-1 / MEMORY)
    assert world.costs()["last-sample"] == pytest.approx(PRICE * fade - 20.0)
    world.here = "b"  # where the policy is does not matter on paper
    world.look(a=60.0, b=40.0)
    assert world.costs()["last-sample"] == pytest.approx((PRICE * fade - 20.0) * fade - 20.0)


def test_another_leads_once_it_has_cost_two_prices_less():
    world = World(panel(), a=40.0, b=40.0)
    world.rule.restore(Standing("last-sample", 60.0, dict(zip(NAMES, (0.0, 500.0, 199.0, 500.0), strict=True))), 0.0)
    world.look(a=40.0, b=40.0)
    assert world.leader() == "last-sample"
    assert world.rule.standing(world.now).leads_for == 61.0
    world.look(a=52.0, b=40.0)  # moves there on paper, as does nobody else: 299
    assert world.leader() == "quick"
    assert world.rule.standing(world.now + 5.0).leads_for == 5.0
    assert LEAD == 2.0


def test_the_one_that_costs_least_is_found_out_where_it_is_used():
    """Where paths take turns, following them costs most: the member that does it does not lead for long."""
    world = World(panel(), a=40.0, b=40.0)
    world.rule.restore(Standing("last-sample", 0.0, dict.fromkeys(NAMES, 0.0)), 0.0)
    bursts(world, 400)
    assert world.leader() != "last-sample"
    costs = world.costs()
    assert min(costs, key=costs.__getitem__) == world.leader()
    assert costs["last-sample"] > 1000.0


def test_that_another_leads_is_no_reason_to_move():
    """It is asked from where the policy is, not from where it is on paper."""
    world = World(panel(), a=40.0, b=40.0)
    bursts(world, 40)
    standing = world.rule.standing(world.now)
    world.rule.restore(Standing("patient", 0.0, standing.costs), world.now)
    for here in "ab":
        world.here = here
        assert world.look(a=44.0, b=44.0) is None


def test_half_of_what_a_member_has_cost_is_forgotten_in_an_hour():
    world = World(panel(), a=20.0, b=90.0)
    world.rule.restore(Standing("quick", 0.0, dict(zip(NAMES, (0.0, 100.0, 50.0, 150.0), strict=True))), 0.0)
    for _ in range(360):
        world.look(dt=10.0, a=20.0, b=90.0)
    halves = dict(zip(NAMES, (0.0, 50.0, 25.0, 75.0), strict=True))
    assert world.costs() == pytest.approx(halves)
    for _ in range(2):
        world.look(a=23.0, b=20.0)  # all pay for that, and nobody moves
        assert world.costs() == pytest.approx(halves, rel=1e-3)


def test_a_member_on_a_path_that_is_not_open_is_moved_like_the_policy_at_no_price():
    world = World(panel(), a=20.0, b=40.0, c=60.0)
    world.rounds(10)
    world.here = "b"
    world.show(a={"open": False})
    world.rounds(30)
    assert set(world.costs().values()) == {0.0}
    world.remove("a")
    world.rounds(5)
    world.here = "c"
    world.remove("b")
    world.rounds(5)
    assert set(world.costs().values()) == {0.0}


def test_a_member_keeps_its_path_when_candidates_change_their_places():
    """4 ms move all but the last sample's rule, which pays them from then on."""

    def lag():
        costs = world.costs()
        return costs["last-sample"] - costs["quick"]

    world = World(panel(), a=44.0, b=40.0)
    world.rounds(60)
    for here in "aba":
        world.here = here
        world.known = dict(reversed(list(world.known.items())))
        world.show()
        before = lag()
        world.look()
        assert lag() - before == pytest.approx(4.0, abs=0.1)


def test_what_was_learned_outlives_a_restart():
    world = World(panel(), a=40.0, b=40.0)
    bursts(world, 300)
    standing = world.rule.standing(world.now)
    again = panel()
    again.restore(standing, 1000.0)
    assert again.standing(1000.0) == standing
    assert again.standing(1060.0).leads_for == pytest.approx(standing.leads_for + 60.0)


@pytest.mark.parametrize(
    "standing",
    [
        Standing("quick", 60.0, {"quick": 5.0}),
        Standing("slow", 60.0, dict.fromkeys(NAMES, 5.0)),
        Standing("slow", 60.0, dict.fromkeys([*NAMES[:3], "slow"], 5.0)),
    ],
)
def test_what_another_panel_learned_is_not_taken_up(standing):
    rule = panel()
    rule.restore(standing, 0.0)
    assert rule.standing(0.0) == Standing("quick", 0.0, dict.fromkeys(NAMES, 0.0))


# What is told


def test_the_outlook_names_the_cheapest_rival_and_what_is_missing():
    world = World(panel(), a=20.0, b=40.0, c=30.0)
    world.rounds(60)
    told = world.rule.outlook(world.shown, 0)
    assert told.startswith("c is the cheapest rival; it would have to be 3.")
    assert told.endswith(" it is 10.0 ms dearer")
    world.belief("c").path.up = False
    assert world.rule.outlook(world.shown, 0).startswith("b is the cheapest rival; ")
    world.show(b={"open": False})
    world.look()
    assert world.rule.outlook(world.shown, 0) == "no rival may be used now"


def test_a_move_says_what_it_gains_by_what_is_believed():
    world = World(Panel([WorkFunction(PRICE)], PRICE, 2.0), a=40.0, b=20.0)
    ((when, verdict),) = world.rounds(20)
    assert (when, verdict.rule) == (5, "work-function")
    assert verdict.margin == {"gain": 20.0, "price": PRICE, "regret": PRICE, "regret_there": 0.0}
