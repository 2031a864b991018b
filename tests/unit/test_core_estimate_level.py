"""The level: what a leg is used to. Worked by hand: with a half-life of 2 s its own is 10 s."""

from math import sqrt

import pytest

from steerd.core.belief.estimate import Estimate

WEIGHT = 1 - 2**-0.1


def fed(*rtts, step=1.0):
    estimate = Estimate(2.0)
    for n, rtt in enumerate(rtts):
        estimate.reply(rtt, n * step)
    return estimate


def uncertain(count=100):
    """20 ms once a second, but with a mean that may be anything: nothing holds the level."""
    estimate = fed(*[20.0] * count)
    estimate.variance = 1e9
    return estimate


def test_the_level_starts_as_a_plain_mean():
    assert fed(20.0).level == 20.0
    assert fed(20.0, 50.0).level == pytest.approx(35.0)
    assert fed(20.0, 50.0, 26.0).level == pytest.approx(32.0)


@pytest.mark.parametrize(("count", "weight"), [(13, 1 / 14), (14, WEIGHT), (100, WEIGHT)])
def test_a_sample_is_one_of_them_until_the_half_life_weighs_more(count, weight):
    estimate = uncertain(count)
    estimate.reply(30.0, float(count))
    assert estimate.level == pytest.approx(20.0 + 10.0 * weight)


@pytest.mark.parametrize(("dt", "share"), [(1.0, WEIGHT), (5.0, 1 - 0.5**0.5), (10.0, 0.5), (20.0, 0.75)])
def test_the_level_knows_half_of_a_step_after_ten_seconds(dt, share):
    estimate = uncertain()
    estimate.reply(120.0, 99.0 + dt)
    assert estimate.level == pytest.approx(20.0 + 100.0 * share)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_level_stays_within_three_errors_of_the_mean(side):
    estimate = fed(*[80.0] * 100)
    for n in range(4):
        estimate.reply(80.0 + side * 40.0, 100.0 + n)
    off = estimate.level - estimate.mean
    assert off == pytest.approx(-side * 3.0 * sqrt(estimate.error2))
    assert abs(off) < 15.0  # by itself it would be 30 behind


def test_no_error_is_smaller_than_the_floor_of_the_deviation_lets_it_be():
    """Half a millisecond over the root of the samples in memory."""
    estimate = fed(*[20.0] * 100)
    for variance in (0.25, 0.01):
        estimate.variance = variance
        estimate.level = 21.0
        estimate.reply(20.0, estimate.last_reply + 1.0)
        assert estimate.level == pytest.approx(20.0 + 3.0 * 0.5 / sqrt(estimate.n))


def test_within_them_it_is_left_alone():
    estimate = uncertain()
    estimate.variance = 25.0
    estimate.level = 24.0
    estimate.reply(20.0, 100.0)
    assert estimate.level == pytest.approx(24.0 - 4.0 * WEIGHT)


def test_the_error_of_the_level_shrinks_with_the_samples_that_are_kept():
    noisy = fed(*[20.0, 22.0] * 100)
    assert noisy.level_error2 == pytest.approx(noisy.scatter**2 / ((2 - WEIGHT) / WEIGHT))
    assert fed(*[20.0] * 10).level_error2 == 0.25 / 10
    assert fed(20.0).level_error2 == 0.25
    sparse = fed(*[20.0] * 10, step=100.0)  # each weighs nearly all
    assert sparse.level_error2 == pytest.approx(0.25, rel=0.01)
    assert sparse.level_error2 <= 0.25
