"""Regret, capped at one price. Worked by hand, at a price of 100 ms*s."""

import pytest

from steerd.core.rules.rule import kept
from steerd.core.rules.work_function import WorkFunction
from tests.unit.beliefs import Member

PRICE = 100.0


def work(*costs):
    return Member(WorkFunction(PRICE), *costs)


def regrets(one):
    return [one.member.margin(place, 0)["regret"] for place in range(len(one.costs))]


def test_all_start_level():
    assert regrets(work(20.0, 90.0)) == [0.0, 0.0]


def test_each_pays_what_it_costs_beyond_the_cheapest():
    one = work(20.0, 30.0, 26.0).observe(20.0, 30.0, 26.0)
    assert regrets(one) == [0.0, 10.0, 6.0]
    one.observe(24.0, 20.0, 26.0, dt=0.5)
    assert regrets(one) == [0.0, 8.0, 7.0]  # 2, 10 and 9, less the least


def test_nobody_is_regretted_more_than_a_price():
    one = work(20.0, 500.0)
    for _ in range(3):
        one.observe(20.0, 500.0)
    assert regrets(one) == [0.0, PRICE]
    assert regrets(work(0.0, 99.5).observe(0.0, 99.5)) == [0.0, 99.5]


def test_a_path_with_no_news_pays_for_what_its_last_sample_said():
    one = work(20.0, 30.0).observe(20.0, 30.0)
    assert regrets(one.observe(20.0, None)) == [0.0, 20.0]


def test_it_is_left_at_the_cap_and_not_before():
    one = work(30.0, 20.0)
    for _ in range(9):
        one.observe(30.0, 20.0)
    assert one.choose() == 0
    assert one.observe(30.0, 20.0).choose() == 1


def test_what_was_gained_before_has_to_be_used_up_first():
    one = work(20.0, 30.0)
    for _ in range(20):
        one.observe(20.0, 30.0)
    seen = [one.observe(30.0, 20.0).choose() for _ in range(20)]
    assert seen.index(1) == 19  # ten rounds to be level, ten to the cap


def test_it_moves_to_the_one_that_is_least_to_be_regretted():
    one = work(60.0, 30.0, 20.0, 25.0)
    for _ in range(3):
        one.observe(60.0, 30.0, 20.0, 25.0)
    assert one.choose() == 2
    assert one.choose(1) == 1


@pytest.mark.parametrize("closed", [{"open": False}, {"since": 96}])
def test_it_moves_only_to_who_is_ready(closed):
    one = work(90.0, 20.0, 30.0)
    two = one.shown[1]
    one.shown = (one.shown[0], type(two)(two.path, two.belief, **closed), one.shown[2])
    for _ in range(3):
        one.observe(90.0, 20.0, 30.0)
    assert one.choose() == 2
    one.shown[2].belief.path.up = False
    assert one.choose() == 0


def test_of_two_that_are_level_nobody_is_better():
    one = work(20.0, 20.0)
    for _ in range(100):
        one.observe(20.0, 20.0)
    assert (one.choose(0), one.choose(1)) == (0, 1)
    three = work(90.0, 20.0, 20.0).observe(90.0, 20.0, 20.0, dt=3.0)
    assert three.choose() == 1  # the first


def test_who_stays_keeps_its_regret_and_a_new_path_enters_at_the_cap():
    one = work(20.0, 30.0, 24.0).observe(20.0, 30.0, 24.0)
    one.take([2, None, 0], [24.0, 10.0, 20.0])
    assert regrets(one) == [4.0, PRICE, 0.0]


def test_when_all_are_new_they_start_level():
    one = work(20.0, 30.0).observe(20.0, 30.0)
    one.take([None, None, None], [5.0, 6.0, 7.0])
    assert regrets(one) == [0.0, 0.0, 0.0]


def test_what_was_paid_was_paid():
    """What does not depend on samples has changed: that is no reason to regret less or more of the past."""
    one = work(20.0, 30.0).observe(20.0, 30.0)
    one.take([0, 1], [20.0, 60.0], shifts=[0.0, 30.0])
    assert regrets(one) == [0.0, 10.0]


def test_it_says_what_it_compared_and_what_is_missing():
    one = work(30.0, 20.0, 22.0).observe(30.0, 20.0, 22.0)
    assert one.member.margin(0, 2) == {"regret": 10.0, "regret_there": 2.0}
    assert "100 ms*s" in one.member.outlook(0, 1)
    assert "so far 10" in one.member.outlook(0, 1)
    assert one.member.name == "work-function"


def test_there_is_a_former_place_for_each_candidate():
    with pytest.raises(ValueError, match="longer"):
        kept([0], [1.0], [1.0, 2.0])
    assert kept([1, None], [1.0, 2.0], [3.0, 4.0]) == [2.0, 4.0]


def test_many_rounds_at_once_teach_the_same_as_one_by_one():
    """Also where nothing changes since all but one are at the cap, and where that ends."""
    one, other = work(20.0, 90.0, 60.0), work(20.0, 90.0, 60.0)
    rounds = [[20.0, 90.0, 60.0]] * 5 + [[95.0, 90.0, 60.0]] * 2 + [[20.0, 90.0, 60.0]] * 5
    seen = [regrets(one.observe(*costs)) for costs in rounds]
    assert seen[3] == seen[4] == [0.0, PRICE, PRICE]
    assert seen[5:7] == [[0.0, 95.0, 65.0], [0.0, 90.0, 30.0]]
    other.member.learn([(costs, min(costs), 1.0) for costs in rounds], [[], [], []])
    assert regrets(other) == seen[-1]


class Unread(list):
    """Costs of which single ones may be looked up, but that nobody needs to go through."""

    def __iter__(self):
        raise AssertionError("gone through")


def test_a_round_that_can_change_nothing_is_not_gone_through():
    """While the best path costs least and all others are at the cap."""
    rule = WorkFunction(PRICE)
    rule.take([None, None], [20.0, 90.0], [0.0, 0.0])
    rule.learn([([20.0, 90.0], 20.0, 2.0)], [])
    quiet = (Unread([20.0, 90.0]), 20.0, 1.0)
    rule.learn([quiet, quiet], [])
    assert rule.margin(0, 1) == {"regret": 0.0, "regret_there": PRICE}
    with pytest.raises(AssertionError, match="gone through"):
        rule.learn([(Unread([90.0, 20.0]), 20.0, 1.0)], [])


def test_a_round_is_gone_through_while_a_rival_is_below_the_cap():
    rule = WorkFunction(PRICE)
    rule.take([None, None], [20.0, 90.0], [0.0, 0.0])
    rule.learn([([20.0, 90.0], 20.0, 1.0)], [])
    with pytest.raises(AssertionError, match="gone through"):
        rule.learn([(Unread([20.0, 90.0]), 20.0, 1.0)], [])
