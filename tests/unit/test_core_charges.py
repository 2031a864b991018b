"""What an uplink costs: its price, and its cap as it comes near. A matter of price: rules weigh it as any delay."""

import pytest

from steerd.core.cost.charges import DEAREST, LAST_RESORT, NEAR, scarcity
from steerd.core.events import Configured, UplinkPrice
from steerd.core.settings import PolicyId, PolicySettings, RegretSettings, Settings, ThresholdSettings
from tests.unit.driven import Driven, steady, stepped

LTE, FIBRE = "lte/wwan0", "fibre/eth0"
"""The first is the faster one; in `Driven` each path has an uplink of its own, of its name."""


def driven(*, fibre=None, **more):
    return Driven({LTE: steady(30.0), FIBRE: fibre or steady(60.0)}, **more).run(20.0)


def choice(one):
    return one.policy().choice


def used(one, share, until, price=0.0):
    """So much of the cap of the first is used; some time goes by."""
    one.feed(UplinkPrice(LTE, price, share))
    return choice(one.run(until))


def moves(one):
    return [switched for switched in one.switches if switched.rule not in ("first", "kernel")]


@pytest.mark.parametrize(
    ("share", "ms"),
    [(0.0, 0.0), (0.799, 0.0), (0.8, 1.0), (0.81, 2.0), (0.8199, 2.0), (0.85, 32.0), (0.9, 1024.0), (0.93, 8192.0),
     (0.94, DEAREST), (1.0, DEAREST), (17.0, DEAREST)],
)  # fmt: skip
def test_the_cap_costs_nothing_at_first_and_more_than_anything_before_it_is_reached(share, ms):
    assert scarcity(share) == ms


def test_what_it_costs_never_falls_while_the_count_rises():
    costs = [scarcity(count / 1000.0) for count in range(2000)]
    assert costs == sorted(costs)
    assert len(set(costs)) == LAST_RESORT - NEAR + 2  # with whole percents: a count that creeps is no news


@pytest.mark.parametrize("rule", [None, RegretSettings(), ThresholdSettings(hold=3.0)])
def test_traffic_leaves_an_uplink_before_its_cap_is_reached_and_returns_after_the_reset(rule):
    one = driven(settings=Settings() if rule is None else Settings(rule=rule))
    assert choice(one) == LTE
    assert used(one, 0.79, 40.0) == LTE
    assert used(one, 0.83, 60.0) == LTE  # 8 ms: 38 against 60
    assert used(one, 0.86, 80.0) == FIBRE
    assert used(one, 1.02, 300.0) == FIBRE
    assert used(one, 0.0, 400.0) == LTE
    assert [(switched.old, switched.new) for switched in moves(one)] == [(LTE, FIBRE), (FIBRE, LTE)]


def test_a_count_that_creeps_up_moves_traffic_once():
    one = driven()
    for step in range(780, 1000):
        used(one, step / 1000.0, one.now + 3.0)
    assert [(switched.old, switched.new) for switched in moves(one)] == [(LTE, FIBRE)]


def test_an_uplink_at_its_cap_is_used_while_nothing_else_is_up_and_left_when_something_is():
    one = driven(fibre=lambda now: None if 40.0 < now < 90.0 else 300.0)
    assert used(one, 1.3, 39.0) == FIBRE  # however bad that is
    assert choice(one.run(60.0)) == LTE
    assert one.policy().state.value == "steering"
    assert choice(one.run(120.0)) == FIBRE


def test_the_least_bad_of_uplinks_that_are_all_at_their_cap_is_used():
    one = driven()
    one.feed(UplinkPrice(FIBRE, 0.0, 1.1))
    assert used(one, 1.1, 60.0) == LTE
    assert moves(one) == []


def test_no_dwell_holds_a_policy_on_an_uplink_that_is_at_its_cap():
    policy = PolicySettings(PolicyId("calls"), min_dwell=80_000.0)
    one = driven(policies=(policy,))
    assert used(one, 0.9, 60.0) == LTE  # a price is no reason to end it
    assert used(one, 0.95, 70.0) == FIBRE


def test_a_price_is_weighed_as_a_bias_is_and_a_cap_is_not():
    policy = PolicySettings(PolicyId("calls"), bias_weight=0.0)
    one = driven(policies=(policy,))
    assert used(one, 0.0, 60.0, price=200.0) == LTE
    assert used(one, 0.9, 90.0) == FIBRE


@pytest.mark.parametrize(("price", "to"), [(20.0, LTE), (80.0, FIBRE)])
def test_a_price_is_a_term_of_the_cost_of_every_path_over_the_uplink(price, to):
    one = driven()
    assert used(one, 0.84, 60.0, price=price - 16.0) == to
    terms = {candidate.path: candidate.terms for candidate in one.policy().candidates}
    assert (terms[LTE]["uplink"], terms[FIBRE]["uplink"]) == (price, 0.0)
    assert terms[LTE]["total"] == pytest.approx(sum(value for name, value in terms[LTE].items() if name != "total"))


def test_a_price_outlives_a_reload_and_ends_when_it_is_taken_back():
    one = driven()
    used(one, 0.9, 60.0)
    one.feed(Configured(one.settings))
    assert choice(one.run(80.0)) == FIBRE
    one.feed(UplinkPrice(LTE, 0.0))
    assert choice(one.run(160.0)) == LTE


def test_a_path_that_comes_to_an_uplink_with_a_reload_costs_what_the_others_there_do():
    one = driven()
    one.feed(UplinkPrice("wan", 7.0))
    paths = tuple(path.__class__(path.path, path.pop, "wan") for path in one.settings.paths)
    one.feed(Configured(Settings(paths=paths, policies=one.settings.policies)))
    one.run(30.0)
    assert [candidate.terms["uplink"] for candidate in one.policy().candidates] == [7.0, 7.0]


def test_a_path_that_dies_is_left_whatever_the_others_cost():
    one = Driven({LTE: stepped(30.0, 40.0, None), FIBRE: steady(60.0)}).run(20.0)
    one.feed(UplinkPrice(FIBRE, 0.0, 2.0))
    assert choice(one.run(39.0)) == LTE
    assert choice(one.run(50.0)) == FIBRE
