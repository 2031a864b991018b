"""Where a fleet goes when a PoP dies: not all of it to the same place."""

from collections import Counter
from math import exp
from random import Random

import pytest

from steerd.core.policy import failover
from steerd.core.states import Reason
from tests.unit.networks import Network, heard

A, B, C, D = "a/w", "b/w", "c/w", "d/w"


def usual(**costs):
    """On A, of whose drain there is news."""
    network = heard(Network(A, B, C, D, now=10.0), **({"a": 20.0, "b": 30.0, "c": 40.0, "d": 130.0} | costs))
    network.wanted = A
    return network


def spread(network, draw, within=20.0, reason=Reason.DRAIN):
    best = failover.target(network.eligible(), reason)
    path, margin = failover.spread(network.eligible(), best, reason, within, draw)
    return path.id, margin


def test_one_nearly_as_good_as_the_best_is_drawn_by_its_excess():
    network, random = usual(), Random(1)
    taken = Counter(spread(network, random.random)[0] for _ in range(20_000))
    whole = sum(exp(-excess / 20.0) for excess in (0.0, 10.0, 100.0))
    for path, excess in ((B, 0.0), (C, 10.0), (D, 100.0)):
        due = exp(-excess / 20.0) / whole
        assert taken[path] / 20_000 == pytest.approx(due, abs=4.0 * (due * (1.0 - due) / 20_000) ** 0.5)


def test_what_was_compared_is_told_of_another_than_the_best():
    network = usual()
    assert spread(network, lambda: 0.0) == (B, {})
    taken, margin = spread(network, lambda: 0.9)
    assert (taken, margin["within"]) == (C, 20.0)
    assert margin["best"] == pytest.approx(30.0, abs=0.5)


def test_all_that_ranks_before_cost_still_does():
    for puts_behind in (
        lambda network: network.drains.add("c", "pop", None),
        lambda network: network.miss(C),
        lambda network: network.kill(C),
        lambda network: network.pinned("b"),
        lambda network: network.refused.update({C: "no"}),
    ):
        network = usual(d=1000.0)
        puts_behind(network)
        assert {spread(network, lambda draw=draw: draw / 10)[0] for draw in range(10)} == {B}


def test_who_has_not_answered_since_the_choice_fell_silent_is_not_drawn():
    network = usual()
    network.now = 20.0
    network.kill(A)
    network.hear(C, 40.0)
    network.hear(D, 130.0)
    assert spread(network, lambda: 0.5, reason=Reason.DOWN)[0] == C


def test_where_there_is_no_other_nothing_is_drawn():
    network = usual()
    for path in (C, D):
        network.kill(path)
    assert spread(network, lambda: pytest.fail("drawn")) == (B, {})


def test_any_draw_takes_one_of_them():
    for draw in (0.0, 0.5, 1.0 - 2.0**-53, 1.0):
        assert spread(usual(), lambda draw=draw: draw)[0] in (B, C, D)
