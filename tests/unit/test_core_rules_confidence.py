"""The test of two means. Worked by hand: with a half-life of 2 s a step of 2 s weighs a half."""

from math import sqrt

import pytest

from steerd.core.rules.confidence import FIRST_SD, VARIANCE_WEIGHT_MAX, Confidence
from steerd.core.rules.rule import Candidate
from tests.unit.beliefs import Belief, Member

MARGIN = 3.0


def quick(*costs, errors=2.0, half_life=2.0):
    return Member(Confidence("quick", half_life=half_life, errors=errors, margin=MARGIN), *costs)


def last_sample(*costs):
    return quick(*costs, errors=0.0, half_life=0.0)


def gain(one, here=0, there=1):
    return one.member.margin(here, there)["gain"]


def error(one, here=0, there=1):
    """The standard error of the difference."""
    return (one.member.margin(here, there)["needed"] - MARGIN) / 2.0


def test_a_mean_starts_at_the_first_sample_and_a_deviation_at_an_eighth_of_it():
    one = quick(80.0, 40.0)
    assert gain(one) == 40.0
    assert error(one) == pytest.approx(sqrt(10.0**2 + 5.0**2))
    assert FIRST_SD == 1 / 8


@pytest.mark.parametrize(("since", "weight"), [(1.0, 1 - 2**-0.5), (2.0, 0.5), (4.0, 0.75), (0.2, 1 - 2**-0.1)])
def test_a_sample_weighs_by_the_time_since_the_last_one(since, weight):
    one = quick(80.0, 80.0).observe(88.0, 80.0, since=since)
    assert gain(one) == pytest.approx(8.0 * weight)


def test_two_samples_of_one_round_may_weigh_differently():
    one = quick(80.0, 80.0)
    one.member.learn([([88.0, 88.0], 88.0, 1.0)], [[(88.0, 2.0)], [(88.0, 4.0)]])
    assert gain(one) == pytest.approx(8.0 * 0.5 - 8.0 * 0.75)
    one.member.learn([([88.0, 88.0], 88.0, 1.0)], [[(88.0, 4.0)], [(88.0, 4.0)]])
    assert gain(one) == pytest.approx(-4.0 * 0.25 + 2.0 * 0.25)


@pytest.mark.parametrize(("since", "spread"), [(2.0, VARIANCE_WEIGHT_MAX), (0.2, 1 - 2**-0.1)])
def test_variance_is_remembered_at_least_as_long_as_ten_samples(since, spread):
    one = quick(80.0, 80.0).observe(88.0, 80.0, since=since)
    weight = 1 - 2 ** (-since / 2)
    here, there = 100.0 + spread * (64.0 - 100.0), 100.0 * (1 - spread)
    assert error(one) == pytest.approx(sqrt((here + there) * weight / (2 - weight)))


def test_no_news_moves_no_mean_and_no_error():
    one = quick(80.0, 40.0).observe(84.0, 41.0)
    before = gain(one), error(one)
    one.observe(None, None)
    assert (gain(one), error(one)) == before
    one.observe(84.0, None)
    assert gain(one) > before[0]


def test_a_path_is_left_for_one_whose_mean_is_lower_beyond_margin_and_noise():
    """30 and 24 without noise: as soon as the error is below 1.5 ms."""
    one = quick(30.0, 24.0)
    seen = []
    while one.choose() == 0:
        one.observe(30.0, 24.0)
        seen.append(error(one))
        assert len(seen) < 100
    assert MARGIN + 2.0 * seen[-1] <= 6.0 < MARGIN + 2.0 * seen[-2]


@pytest.mark.parametrize(("gain_", "moves"), [(2.9, False), (3.0, False), (3.2, True)])
def test_never_for_less_than_the_margin(gain_, moves):
    one = quick(20.0 + gain_, 20.0)
    for _ in range(300):
        one.observe(20.0 + gain_, 20.0)
    assert (one.choose() == 1) is moves


def test_twice_the_errors_asks_for_twice_as_much():
    two, four = quick(80.0, 40.0), quick(80.0, 40.0, errors=4.0)
    assert four.member.margin(0, 1)["needed"] - MARGIN == 2.0 * (two.member.margin(0, 1)["needed"] - MARGIN)


def test_exactly_as_much_as_needed_is_enough():
    """3-4-5: deviations of 3 and 4 ms, an error of 5, twice that and the margin are 13."""
    one = quick(24.0, 32.0)
    assert error(one) == 5.0
    one.take([0, 1], [24.0, 32.0], shifts=[21.0, 0.0])
    assert (gain(one), one.choose()) == (13.0, 1)
    one.take([0, 1], [24.0, 32.0], shifts=[-0.001, 0.0])
    assert one.choose() == 0


def test_of_several_the_one_with_the_lowest_mean_is_taken():
    one = last_sample(90.0, 30.0, 20.0, 25.0).observe(90.0, 30.0, 20.0, 25.0)
    assert [one.choose(here) for here in range(4)] == [2, 2, 2, 2]


def test_noise_on_the_cheapest_leaves_the_next_one_that_is_sure():
    one = quick(90.0, 40.0, 20.0)
    for n in range(40):
        one.observe(90.0, 40.0, 20.0 + (150.0 if n % 2 else -19.0))
    assert one.choose() == 1


@pytest.mark.parametrize("closed", [{"open": False}, {"since": 96}])
def test_only_who_is_ready_is_moved_to(closed):
    one = last_sample(90.0, 20.0, 30.0).observe(90.0, 20.0, 30.0)
    one.shown = (one.shown[0], Candidate("b", Belief(20.0), **closed), one.shown[2])
    assert one.choose() == 2


def test_the_last_sample_alone_knows_of_no_noise():
    one = last_sample(30.0, 24.0).observe(30.0, 24.0)
    assert one.member.margin(0, 1) == {"gain": 6.0, "needed": MARGIN}
    assert one.choose() == 1
    assert one.observe(30.0, 27.5).choose() == 0
    assert one.observe(31.0, None).choose() == 1


def test_who_stays_keeps_what_was_learned_and_a_new_one_starts_anew():
    one = quick(80.0, 40.0, 60.0).observe(84.0, 41.0, 60.0)
    before = gain(one, 2, 1), error(one, 2, 1)
    one.take([2, None, 1], [10.0, 16.0, 20.0])
    assert (gain(one, 0, 2), error(one, 0, 2)) == before
    assert gain(one, 1, 2) == pytest.approx(16.0 - (40.0 + 1.0 * (1 - 2**-0.5)))
    one.take([None, None], [24.0, 32.0])
    assert (gain(one), error(one)) == (-8.0, 5.0)


def test_what_does_not_depend_on_samples_moves_the_mean_and_not_the_error():
    one = quick(80.0, 40.0).observe(84.0, 41.0)
    before = gain(one), error(one)
    one.take([0, 1], [90.0, 41.0], shifts=[6.0, -1.0])
    assert gain(one) == pytest.approx(before[0] + 7.0)
    assert error(one) == before[1]


def test_a_shift_alone_may_be_a_reason_to_move():
    one = quick(24.0, 24.0)
    for _ in range(60):
        one.observe(24.0, 24.0)
    assert one.choose() == 0
    one.take([0, 1], [124.0, 24.0], shifts=[100.0, 0.0])
    assert one.choose() == 1


def test_it_says_in_words_what_is_missing():
    one, asked = quick(32.0, 24.0), "it would have to be 13.0 ms cheaper, noise considered; it is "
    assert one.member.outlook(0, 1) == asked + "8.0 ms cheaper"
    assert one.member.outlook(1, 0) == asked + "8.0 ms dearer"
    level = last_sample(24.0, 24.0).observe(24.0, 24.0)
    assert level.member.outlook(0, 1) == "it would have to be 3.0 ms cheaper; it is 0.0 ms dearer"
    near = last_sample(24.5, 24.0).observe(24.5, 24.0)
    assert near.member.outlook(0, 1).endswith("it is 0.5 ms cheaper")
    enough = last_sample(27.0, 24.0).observe(27.0, 24.0)
    assert enough.member.outlook(0, 1).endswith("it is 3.0 ms cheaper, to be confirmed")
    assert one.member.name == "quick"


def test_of_two_that_are_as_low_the_first_is_taken():
    one = last_sample(90.0, 20.0, 20.0).observe(90.0, 20.0, 20.0)
    assert one.choose() == 1


def test_a_gain_of_exactly_the_margin_is_none():
    assert last_sample(27.0, 24.0).observe(27.0, 24.0).choose() == 0


def test_many_rounds_at_once_teach_the_same_as_one_by_one():
    one, other = quick(80.0, 40.0), quick(80.0, 40.0)
    rounds = [(80.0 + n % 7, 40.0 + n % 5) for n in range(50)]
    for costs in rounds:
        one.observe(*costs)
    first, second = zip(*rounds, strict=True)
    samples = [[(cost, 1.0) for cost in costs] for costs in (first, second)]
    other.member.learn([(list(costs), min(costs), 1.0) for costs in rounds], samples)
    assert other.member.margin(0, 1) == one.member.margin(0, 1)
