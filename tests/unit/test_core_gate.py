"""The gate: how often it opens, for what, and what is said of it."""

from math import exp
from random import Random

import pytest

from steerd.core.policy.gate import COST_MIN, MOST, Gate, chance
from tests.unit.networks import Network, heard

HERE, THERE = "a/w", "b/w"


def gate(here, there, *, width=5.0, draw):
    """A function that asks a gate between two paths that cost so much, in ms."""
    network = heard(Network(HERE, THERE, now=10.0), a=here, b=there)
    made = Gate(draw)
    made.configure(width)
    return made, network.prices[HERE], network.prices[THERE]


@pytest.mark.parametrize(
    ("gain", "cost", "width", "share"),
    [
        (40.0, 70.0, 5.0, 40.0 / 350.0),
        (10.0, 40.0, 5.0, 0.05),
        (1000.0, 1000.0, 0.5, MOST),  # never all of a herd in a second
        (0.0, 40.0, 5.0, 0.0),
        (-3.0, 40.0, 5.0, 0.0),
        (2.0, 2.5, 5.0, 2.0 / (5.0 * COST_MIN)),  # of almost nothing, a little is no large share
    ],
)
def test_the_more_there_is_to_gain_the_sooner(gain, cost, width, share):
    assert chance(gain, cost, width) == pytest.approx(share)


def test_without_a_gate_nothing_waits_and_nothing_is_drawn():
    made, here, there = gate(60.0, 30.0, width=0.0, draw=lambda: pytest.fail("drawn"))
    assert made.opens(here, there, 1.0, 20.0)
    assert made.outlook(20.0) == ""


@pytest.mark.parametrize("dt", [0.2, 1.0, 5.0])
def test_it_opens_as_often_as_it_says_whatever_the_rounds_last(dt):
    """Seeded: the share of openings in 20,000 rounds, within four standard errors."""
    made, here, there = gate(70.0, 30.0, draw=Random(f"{dt}").random)
    due = 1.0 - (1.0 - chance(here.cost - there.cost, here.cost, 5.0)) ** dt
    opened = sum(made.opens(here, there, dt, 20.0) for _ in range(20_000)) / 20_000
    assert opened == pytest.approx(due, abs=4.0 * (due * (1.0 - due) / 20_000) ** 0.5)


def test_a_round_in_which_nothing_was_measured_moves_nobody():
    made, here, there = gate(70.0, 30.0, draw=lambda: 0.0)
    assert not made.opens(here, there, 0.0, 20.0)


def test_what_is_held_back_is_told_until_the_rule_asks_no_more():
    made, here, there = gate(70.0, 30.0, draw=lambda: 0.9)
    assert not made.opens(here, there, 1.0, 20.0)
    said = "held back by the gate: b/w is 40.0 ms cheaper; drawn each second with probability 11.4 %"
    assert made.outlook(20.0) == made.outlook(21.4) == said
    assert made.outlook(21.6) == ""


def test_what_has_opened_holds_nothing_back():
    draws = iter([0.9, 0.0])
    made, here, there = gate(70.0, 30.0, draw=lambda: next(draws))
    assert [made.opens(here, there, 1.0, 20.0), made.opens(here, there, 1.0, 21.0)] == [False, True]
    assert made.outlook(21.0) == ""


def test_the_chances_of_a_minute_add_up_as_those_of_its_seconds():
    share = chance(10.0, 40.0, 5.0)
    assert (1.0 - share) ** 60 == pytest.approx(exp(-60 * 0.0513), rel=0.01)
