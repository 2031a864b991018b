"""What is learned of a path, and when: answers, and probes that are lost or overdue by far."""

from math import inf

import pytest

from steerd.core.belief.path import MISSING_AFTER
from steerd.core.states import PathState
from tests.unit.driven import Driven
from tests.unit.networks import Network

A = "a/w"


def path():
    """It answered once a second until 9 s, in 80 ms."""
    network = Network(A, now=9.0)
    network.hear(A, 80.0, times=10)
    return network.paths[A]


def known(one):
    return one.news, one.news_after, one.missing


def test_each_answer_is_news_and_says_how_long_after_the_one_before():
    one = Network(A).paths[A]
    assert known(one) == (0, inf, False)
    one.answered(80.0, 1.0, 0, 1.08)
    assert known(one) == (1, inf, False)
    one.answered(81.0, 3.5, 0, 3.6)
    assert known(one) == (2, 2.5, False)


def test_an_answer_that_is_older_than_another_is_no_news():
    one = path()
    before = known(one)
    one.answered(300.0, 8.5, 0, 9.5)
    assert known(one) == before


def test_a_probe_that_is_overdue_is_not_missing_at_once():
    """It may just be late: at a step up every probe is overdue for a moment."""
    one = path()
    before = known(one)
    one.overdue(0, 10.0, 10.0 + one.patience)
    one.end_round(10.0 + MISSING_AFTER * one.patience - 0.001)
    assert known(one) == before
    assert one.silent
    one.answered(120.0, 10.0, 0, 10.12)
    assert known(one) == (11, 1.0, False)
    assert not one.silent


def test_a_probe_that_is_overdue_by_far_is_missing_and_counts_once():
    one = path()
    one.overdue(0, 10.0, 10.0 + one.patience)
    for late in (0.001, 0.5, 2.0):
        one.end_round(10.0 + MISSING_AFTER * one.patience + late)
        assert known(one) == (11, 1.0, True)
    one.lost(0, 10.0)
    assert known(one) == (11, 1.0, True)


def test_a_probe_that_is_lost_is_missing_even_if_no_round_ended():
    one = path()
    one.overdue(0, 10.0, 10.2)
    one.lost(0, 10.0)
    assert known(one) == (11, 1.0, True)


def test_each_probe_that_is_missing_is_news():
    one = path()
    for number in range(3):
        one.overdue(0, 10.0 + number, 10.2 + number)
        one.lost(0, 10.0 + number)
    assert known(one) == (13, 1.0, True)


@pytest.mark.parametrize("loses", [True, False])
def test_one_that_was_overtaken_by_an_answer_tells_nothing(loses):
    one = path()
    one.answered(80.5, 10.5, 0, 10.6)
    before = known(one)
    one.overdue(0, 10.0, 10.7)
    one.end_round(20.0)
    if loses:
        one.lost(0, 10.0)
    assert known(one) == before


def test_an_answer_ends_it():
    one = path()
    one.overdue(0, 10.0, 10.2)
    one.lost(0, 10.0)
    one.answered(81.0, 11.0, 0, 11.1)
    assert known(one) == (12, 1.0, False)


# What is shown of who is dead


def test_a_dead_path_has_no_rtt_and_no_cost_and_has_lost_all():
    driven = Driven({"fra1/w": lambda now: 20.0 if now < 20.0 else None, "ams1/w": lambda _: 30.0}).run(30)
    fra1, ams1 = driven.view().paths
    assert (fra1.state, fra1.rtt, fra1.jitter, fra1.sd, fra1.loss) == (PathState.DOWN, None, None, None, 1.0)
    assert fra1.age is not None
    assert {one.path: bool(one.terms) for one in driven.policy().candidates} == {"fra1/w": False, "ams1/w": True}
    assert (ams1.rtt, ams1.loss) == (30.0, 0.0)


def test_one_that_never_answered_has_lost_all_and_of_one_that_was_not_asked_nothing_is_known():
    driven = Driven({"new/w": lambda _: None, "ams1/w": lambda _: 30.0})
    assert driven.view().paths[0].loss is None
    assert driven.run(2).view().paths[0].loss == 1.0


def test_one_that_lives_again_has_figures_of_its_own_again():
    driven = Driven({"fra1/w": lambda now: None if 10.0 < now < 20.0 else 20.0, "ams1/w": lambda _: 30.0}).run(60)
    assert (driven.view().paths[0].rtt, driven.view().paths[0].loss) == (20.0, pytest.approx(0.0, abs=0.4))
