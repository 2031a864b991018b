"""What is saved is weighed by time, and only while both sides are known."""

import pytest

from steerd.core.effects import Switched
from steerd.core.events import Configured, Installed, Link, Observed, Outcome, Probed
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import Reason
from steerd.status.savings import MOVES_MAX, Savings, Side

A, B, USERS = PathId("a/t"), PathId("b/t"), PolicyId("users")


def reply(path: PathId, at: float, rtt_ms: float, leg: int = 0) -> Probed:
    return Probed(path, Outcome.REPLY, at, rtt_ms / 1000.0, leg)


def lost(path: PathId, at: float) -> Probed:
    return Probed(path, Outcome.LOST, at)


def moved(old: PathId | None, new: PathId | None, at: float) -> Switched:
    return Switched("1-1", USERS, old, new, Reason.BETTER, at, "quick", {}, {}, {})


def beginning() -> Savings:
    """Traffic is on A, and so is the choice."""
    savings = Savings()
    savings.told(Observed(USERS, A), 100.0)
    savings.told(Installed(USERS, A), 100.0)
    savings.told(reply(A, 99.9, 50.0), 100.0)
    savings.told(reply(B, 99.9, 20.0), 100.0)
    return savings


def test_each_side_is_weighed_by_time() -> None:
    savings = beginning()
    savings.switched(moved(A, B, 110.0))
    savings.told(reply(A, 110.0, 90.0), 130.0)
    savings.told(None, 140.0)
    saved = savings.report()[USERS]
    assert (saved.seconds, saved.apart, saved.moves) == (40.0, 30.0, 1)
    assert saved.was == Side(pytest.approx((50.0 * 30 + 90.0 * 10) / 40), 0.0)
    assert saved.would == Side(pytest.approx((50.0 * 10 + 20.0 * 30) / 40), 0.0)


def test_a_path_that_is_probed_more_often_weighs_no_more() -> None:
    savings = beginning()
    savings.switched(moved(A, B, 100.0))
    for tick in range(1, 100):
        savings.told(reply(B, 100.0 + tick / 10, 20.0), 100.0 + tick / 10)
    savings.told(reply(A, 110.0, 50.0), 110.0)
    saved = savings.report()[USERS]
    assert (saved.was.rtt, saved.would.rtt) == (pytest.approx(50.0), pytest.approx(20.0))


def test_lost_time_is_told_apart_from_rtt() -> None:
    savings = beginning()
    savings.switched(moved(A, B, 100.0))
    savings.told(lost(A, 104.0), 105.0)
    savings.told(Probed(A, Outcome.OVERDUE, 105.0), 106.0)  # says nothing yet
    savings.told(None, 115.0)
    saved = savings.report()[USERS]
    assert saved.was == Side(pytest.approx(50.0), pytest.approx(10.0 / 15.0))
    assert saved.would.lost == 0.0


def test_the_worst_leg_counts() -> None:
    savings = beginning()
    savings.told(reply(A, 100.0, 80.0, leg=1), 100.0)
    savings.told(None, 110.0)
    assert savings.report()[USERS].was.rtt == pytest.approx(80.0)


def test_time_in_which_one_side_is_not_known_is_no_part_of_it() -> None:
    savings = beginning()
    savings.told(Observed(USERS, None, "by wan"), 110.0)
    savings.told(None, 150.0)
    saved = savings.report()[USERS]
    assert (saved.seconds, saved.path, saved.words) == (10.0, None, "by wan")
    savings.told(Observed(USERS, A), 160.0)
    savings.told(Link(A, up=False, why="cannot be measured", device=True), 165.0)
    savings.told(None, 190.0)
    assert savings.report()[USERS].seconds == 15.0


def test_what_is_sent_to_a_device_that_is_gone_is_lost() -> None:
    savings = beginning()
    savings.switched(moved(A, B, 100.0))
    savings.told(Link(A, up=False, why="device t does not exist"), 110.0)
    savings.told(None, 120.0)
    assert savings.report()[USERS].was == Side(pytest.approx(50.0), pytest.approx(0.5))


def test_nothing_is_kept_of_what_is_no_longer_configured() -> None:
    savings = beginning()
    savings.told(Configured(Settings(paths=(PathSettings(B, "b", B),), policies=(PolicySettings(USERS),))), 110.0)
    savings.told(None, 120.0)
    assert savings.report()[USERS].seconds == 10.0
    savings.told(Configured(Settings(paths=(PathSettings(B, "b", B),), policies=())), 120.0)
    assert savings.report() == {}


def test_the_list_of_moves_is_bounded_and_their_number_is_not() -> None:
    savings = beginning()
    for number in range(200):
        savings.switched(moved(A, B, 100.0 + number))
    saved = savings.report()[USERS]
    assert (saved.moves, len(saved.last)) == (200, MOVES_MAX)


def test_a_first_choice_is_no_move() -> None:
    savings = Savings()
    savings.told(Observed(USERS, None, "by wan"), 1.0)
    savings.switched(moved(None, B, 2.0))
    saved = savings.report()[USERS]
    assert (saved.moves, saved.choice, saved.figures()["was"]) == (0, B, {"rtt_ms": None, "lost": 0.0})
