"""How often a path is probed: by its role, by its health, and by what is not known of it."""

import pytest

from steerd.core.belief.path import PATIENCE_DRIFT, Role
from steerd.core.states import PathState
from tests.unit.networks import Network

A = "a/w"
BUSY, CHOSEN, TRIED, CANDIDATE, SCOUT = Role.BUSY, Role.CHOSEN, Role.TRIED, Role.CANDIDATE, Role.SCOUT


def path(interval=1.0, standby=5.0, *, rtt=20.0, **rest):
    network = Network(A, now=20.0)
    one = network.paths[A] = network.add(A, interval=interval, standby_interval=standby, **rest)
    if rtt is not None:
        network.hear(A, rtt, times=10)
    return one


def every(one, role, *, urgent=False, scout_interval=30.0):
    cadence = one.wants(role, scout_interval=scout_interval, urgent=urgent)
    return cadence.every if cadence else one.cadence.every


@pytest.mark.parametrize(("role", "seconds"), [(CHOSEN, 1.0), (TRIED, 1.0), (CANDIDATE, 5.0), (SCOUT, 30.0)])
def test_each_role_has_its_cadence(role, seconds):
    assert every(path(), role) == seconds


@pytest.mark.parametrize(("interval", "seconds"), [(1.0, 0.25), (30.0, 0.25), (0.2, 0.2)])
def test_a_path_on_which_our_own_traffic_queues_is_probed_as_often_as_one_in_doubt(interval, seconds):
    one = path(interval)
    assert every(one, BUSY) == seconds
    one.link(up=False, now=21.0, why="gone")
    one.link(up=True, now=22.0)
    assert every(one, BUSY) == interval


def test_a_scout_is_probed_no_faster_than_who_stands_by():
    assert every(path(standby=60.0), SCOUT) == 60.0
    assert every(path(standby=60.0), SCOUT, scout_interval=10.0) == 60.0


@pytest.mark.parametrize("role", list(Role))
def test_a_path_that_was_never_heard_is_probed_at_the_full_cadence(role):
    assert every(path(rtt=None), role) == 1.0


def test_one_that_never_answered_is_not_asked_for_ever_at_the_full_cadence():
    one = path(rtt=None)
    for number in range(3):
        one.overdue(0, 21.0 + number, 22.0 + number)
    assert one.health.state is PathState.DOWN
    assert every(one, SCOUT) == 30.0
    assert every(one, CHOSEN) == 1.0


@pytest.mark.parametrize(
    ("interval", "standby", "seconds"), [(1.0, 5.0, 0.25), (0.4, 5.0, 0.2), (0.2, 0.2, 0.1), (0.05, 0.05, 0.05)]
)
def test_who_is_to_answer_soon_is_asked_at_once(interval, standby, seconds):
    assert every(path(interval, standby), SCOUT, urgent=True) == seconds


def test_a_path_with_an_overdue_probe_is_asked_at_once():
    one = path()
    one.overdue(0, 21.0, 21.1)
    assert every(one, SCOUT) == 0.25
    one.answered(20.0, 21.2, 0, 21.22)
    assert every(one, SCOUT) == 30.0


def test_a_path_whose_tunnel_is_stale_is_asked_at_once():
    one = path()
    one.tunnel("no handshake", 21.0)
    assert every(one, SCOUT) == 0.25


def test_a_path_that_comes_back_is_probed_at_the_full_cadence():
    one = path()
    for number in range(3):
        one.overdue(0, 21.0 + number / 10, 21.5)
    assert every(one, CANDIDATE) == 5.0
    one.answered(20.0, 22.0, 0, 22.0)
    assert one.health.state is PathState.RECOVERING
    assert every(one, SCOUT) == 1.0


def test_a_path_whose_device_is_gone_rests():
    one = path()
    one.link(False, 21.0)
    assert every(one, CHOSEN, urgent=True) is None


def test_what_was_asked_for_is_not_asked_for_again():
    one = path()
    assert one.wants(CHOSEN, scout_interval=30.0, urgent=False) is not None
    assert one.wants(CHOSEN, scout_interval=30.0, urgent=False) is None
    assert one.wants(TRIED, scout_interval=30.0, urgent=False) is None
    assert one.wants(CANDIDATE, scout_interval=30.0, urgent=False).every == 5.0


def test_another_patience_is_told_when_it_is_news():
    one = path(rtt=100.0)
    told = one.wants(CHOSEN, scout_interval=30.0, urgent=False)
    assert told.patience == one.patience
    leg = one.legs[0]
    leg.mean += 1e3 * told.patience * PATIENCE_DRIFT * 0.8
    assert one.wants(CHOSEN, scout_interval=30.0, urgent=False) is None
    leg.mean += 1e3 * told.patience * PATIENCE_DRIFT * 0.4
    assert one.wants(CHOSEN, scout_interval=30.0, urgent=False).patience == one.patience


def test_patience_is_mean_and_deviation_and_a_slack_and_the_timeout_at_most():
    one = path(rtt=None, timeout=0.5)
    assert one.patience == 0.5
    one.answered(80.0, 21.0, 0, 21.0)
    assert one.patience == pytest.approx(0.080 + 4 * 0.010 + 0.020)
    one.legs[0].mean = 490.0
    assert one.patience == 0.5


def test_patience_is_that_of_the_worst_leg():
    one = path(rtt=None, legs=2)
    one.answered(80.0, 21.0, 0, 21.0)
    assert one.patience == 1.0  # the other was not heard
    one.answered(40.0, 21.0, 1, 21.0)
    assert one.patience == pytest.approx(0.140)
