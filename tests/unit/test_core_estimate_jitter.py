"""Jitter: RFC 3550's smoothed difference, per time. Worked by hand.

With a half-life of 2 s jitter halves in 10 s; a difference never weighs more than a sixteenth. At one probe a second
that is nearly the same: 1/15.
"""

from math import pi, sqrt
from random import Random

import pytest

from steerd.core.belief.estimate import Estimate

RFC_3550 = 1 / 16
BY_TIME = 1 - 2**-0.02
"""At five probes a second."""


def fed(*rtts, step=1.0):
    estimate = Estimate(2.0)
    for n, rtt in enumerate(rtts):
        estimate.reply(rtt, n * step)
    return estimate


def used_to(jitter, *, rtt=20.0, step=1.0, count=500):
    """A path that has answered for long, the last time after ``rtt`` ms, with that jitter; and when it answers next."""
    estimate = fed(*[rtt, rtt + 1e-9] * (count // 2), step=step)
    estimate.jitter, estimate.last_rtt = jitter, rtt
    return estimate, count * step


def test_jitter_starts_as_a_plain_mean_of_differences():
    assert fed(20.0).jitter == 0.0
    assert fed(20.0, 21.0).jitter == pytest.approx(1.0 / 2)
    assert fed(20.0, 21.0, 20.0).jitter == pytest.approx(2.0 / 3)
    assert fed(20.0, 21.0, 20.0, 20.5).jitter == pytest.approx(2.5 / 4)


@pytest.mark.parametrize(("count", "weight"), [(10, 1 / 11), (14, 1 / 15), (16, RFC_3550), (400, RFC_3550)])
def test_it_stays_one_until_a_sixteenth_is_more(count, weight):
    estimate, now = used_to(2.0, count=count)
    estimate.reply(23.0, now)
    assert estimate.jitter == pytest.approx(2.0 + weight * 1.0)


@pytest.mark.parametrize(("step", "weight"), [(0.2, BY_TIME), (1.0, RFC_3550), (4.0, RFC_3550), (60.0, RFC_3550)])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_difference_weighs_by_time_and_a_sixteenth_at_most(step, weight, side):
    estimate, now = used_to(2.0, step=step)
    estimate.reply(20.0 + side * 3.0, now)
    assert estimate.jitter == pytest.approx(2.0 + weight * 1.0)


@pytest.mark.parametrize("rtt", [500.0, 24.1, 24.0, 16.0, 1.0])
def test_a_spike_counts_as_twice_the_usual_difference(rtt):
    estimate, now = used_to(2.0)
    estimate.reply(rtt, now)
    assert estimate.jitter == pytest.approx(2.0 + RFC_3550 * 2.0)


@pytest.mark.parametrize(("rtt", "counts"), [(120.0, 1.0), (20.9, 0.9)])
def test_on_a_steady_path_the_usual_difference_is_half_a_millisecond(rtt, counts):
    estimate, now = used_to(0.0)
    estimate.reply(rtt, now)
    assert estimate.jitter == pytest.approx(RFC_3550 * counts)


def test_the_first_difference_counts_up_to_so_many_eighths_of_the_mean():
    """As much as is believed of a path's deviation before there is anything to compare."""
    assert fed(80.0, 280.0).jitter == pytest.approx(20.0 / 2)
    assert fed(80.0, 10.0).jitter == pytest.approx(20.0 / 2)
    assert fed(80.0, 97.0).jitter == pytest.approx(17.0 / 2)
    assert fed(2.0, 10.0).jitter == pytest.approx(1.0 / 2)  # an eighth would be 0.25 ms


def test_the_third_sample_is_held_to_what_the_second_showed():
    assert fed(80.0, 81.0, 281.0).jitter == pytest.approx(0.5 + (1.0 - 0.5) / 3)


def usual(step):
    """What it is on average, over normal noise of 5 ms."""
    draw, estimate, seen = Random(3), Estimate(2.0), []
    for n in range(20_000):
        estimate.reply(draw.gauss(40.0, 5.0), n * step)
        seen.append(estimate.jitter)
    return sum(seen) / len(seen)


def test_on_normal_noise_it_is_the_mean_difference():
    """2/sqrt(pi) deviations, less the twelfth that is cut off by counting the largest ones as twice the usual one."""
    assert usual(1.0) == pytest.approx(5.0 * 2 / sqrt(pi) * 11 / 12, rel=0.02)


def test_the_same_noise_at_twice_the_rate_is_the_same_jitter():
    assert usual(1.0) == pytest.approx(usual(0.5), rel=0.02)
