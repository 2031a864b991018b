"""Jitter, and the scatter of single samples that is told from it. Worked by hand.

With a half-life of 2 s the short memory halves in 4 s and the long one in 120 s: at one probe a second a sample weighs
1 - 2^-0.25 and 1 - 2^(-1/120), until then as one of those that there were. What is told is what is remembered over
`UNCUT`.
"""

from math import exp, pi, sqrt
from random import Random

import pytest

from steerd.core.belief.estimate import UNCUT, Estimate

SHORT = 1 - 2**-0.25
LONG = 1 - 2 ** (-1 / 120)
ERRORS = 1.5 * 0.9 / sqrt((2 - SHORT) / SHORT)
"""By so much of itself, at one probe a second, the short memory may be wrong."""


def fed(*rtts, step=1.0):
    estimate = Estimate(2.0)
    for n, rtt in enumerate(rtts):
        estimate.reply(rtt, n * step)
    return estimate


def remembered(estimate):
    return estimate.jitter * UNCUT


def used_to(jitter, long=None, *, rtt=20.0, seconds=500):
    """A path that answered once a second, the last time after ``rtt`` ms, and whose jitter is remembered so."""
    estimate = fed(*[rtt] * seconds)
    estimate._short, estimate._long = jitter, jitter if long is None else long
    return estimate, float(seconds)


def test_jitter_starts_as_a_plain_mean_of_differences():
    assert fed(20.0).jitter == 0.0
    assert remembered(fed(20.0, 21.0)) == pytest.approx(1.0 / 2)
    assert remembered(fed(20.0, 21.0, 19.0)) == pytest.approx((1.0 + 2.0) / 3)
    assert remembered(fed(20.0, 21.0, 19.0, 19.5)) == pytest.approx((1.0 + 2.0 + 0.5) / 4)
    assert remembered(fed(20.0, 21.0, 19.0, 19.5, 19.5)) == pytest.approx((1.0 + 2.0 + 0.5) / 5)


@pytest.mark.parametrize(("count", "weight"), [(172, 1 / 173), (173, LONG), (400, LONG)])
def test_in_the_long_memory_it_stays_one_until_the_half_life_weighs_more(count, weight):
    estimate, now = used_to(2.0, seconds=count)
    estimate.reply(23.0, now)
    assert remembered(estimate) == pytest.approx(2.0 + weight * 1.0)


@pytest.mark.parametrize(
    ("dt", "short", "long"), [(1.0, SHORT, LONG), (4.0, 0.5, 1 - 2 ** (-1 / 30)), (120.0, 1.0, 0.5)]
)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_each_memory_moves_by_the_share_that_its_half_life_gives_the_time(dt, short, long, side):
    estimate, now = used_to(2.0)
    estimate.reply(20.0 + side * 3.0, now - 1.0 + dt)
    assert estimate._short == pytest.approx(2.0 + short * 1.0)
    assert remembered(estimate) == estimate._long == pytest.approx(2.0 + long * 1.0)


@pytest.mark.parametrize("rtt", [500.0, 23.6, 16.4, 1.0])
def test_a_spike_counts_as_one_and_three_quarters_of_the_usual_difference(rtt):
    """As remembered by the short one; in both."""
    estimate, now = used_to(2.0, 3.0)
    estimate.reply(rtt, now)
    assert estimate._short == pytest.approx(2.0 + SHORT * 1.5)
    assert estimate._long == pytest.approx(3.0 + LONG * 0.5)


@pytest.mark.parametrize(("rtt", "counts"), [(120.0, 0.875), (20.87, 0.87)])
def test_on_a_steady_path_the_usual_difference_is_half_a_millisecond(rtt, counts):
    estimate, now = used_to(0.0)
    estimate.reply(rtt, now)
    assert estimate._short == pytest.approx(SHORT * counts)


@pytest.mark.parametrize(
    ("long", "told"), [(10.0, 2.0 * (1 + ERRORS)), (2.5, 2.5), (2.0, 2.0), (1.5, 1.5), (0.5, 2.0 * (1 - ERRORS))]
)
def test_the_long_memory_is_believed_within_one_and_a_half_errors_of_the_short_one(long, told):
    estimate, now = used_to(2.0, long)
    estimate.reply(22.0, now)
    assert remembered(estimate) == pytest.approx(told, abs=LONG * 8.0 if told == long else 1e-9)


def test_the_long_memory_itself_is_not_touched_by_that():
    estimate, now = used_to(2.0, 10.0)
    estimate.reply(22.0, now)
    assert estimate._long == pytest.approx(10.0 + LONG * (2.0 - 10.0))


def test_the_first_differences_count_up_to_so_many_eighths_of_the_level():
    """As much as is believed of a path's deviation before there is anything to compare."""
    assert remembered(fed(80.0, 280.0)) == pytest.approx(17.5 / 2)
    assert remembered(fed(80.0, 10.0)) == pytest.approx(17.5 / 2)
    assert remembered(fed(84.0, 284.0)) == pytest.approx(1.75 * 10.5 / 2)
    assert remembered(fed(80.0, 97.0)) == pytest.approx(17.0 / 2)
    assert remembered(fed(2.0, 10.0)) == pytest.approx(1.75 * 0.5 / 2)  # an eighth would be 0.25 ms


@pytest.mark.parametrize(("step", "counts"), [(3.99, 17.5), (4.0, 0.875), (20.0, 0.875)])
def test_probed_as_slowly_as_the_short_memory_halves_there_is_no_early_on(step, counts):
    """Then the second sample weighs a half by its time alone."""
    estimate = fed(80.0, 280.0, step=step)
    assert estimate._short == pytest.approx(counts * max(0.5, 1 - 2 ** (-step / 4)))
    assert estimate._long == pytest.approx(counts / 2)


def test_early_on_the_usual_difference_is_the_larger_of_what_was_seen_and_believed():
    """17 four times and a first that had none: 13.6 ms are more than an eighth of 87."""
    estimate = fed(80.0, 97.0, 80.0, 97.0, 80.0)
    assert remembered(estimate) == pytest.approx(4 * 17.0 / 5)
    estimate.reply(300.0, 5.0)
    assert remembered(estimate) == pytest.approx(13.6 + (1.75 * 13.6 - 13.6) / 6)


def test_jitter_is_per_time_not_per_sample():
    """The same noise at twice the rate is the same jitter."""
    draw = Random(3)
    noise = [draw.gauss(40.0, 5.0) for _ in range(8000)]
    assert fed(*noise[:4000]).jitter == pytest.approx(fed(*noise, step=0.5).jitter, rel=0.1)


def test_on_normal_noise_it_is_the_mean_difference_that_rfc_3550_has():
    """2/sqrt(pi) deviations. Over 2,000 s of memory, to within a few hundredths."""
    draw = Random(5)
    estimate = Estimate(2000.0 / 60)
    for n in range(20_000):
        estimate.reply(draw.gauss(40.0, 5.0), float(n))
    assert estimate.jitter == pytest.approx(5.0 * 2 / sqrt(pi), rel=0.04)
    assert estimate.scatter == pytest.approx(5.0, rel=0.04)


def test_what_is_left_when_differences_are_cut_is_a_fixed_point():
    """Of normal ones, in units of their mean: m = E min(|d|, 1.75 m); their density is 2/pi exp(-x^2 / pi)."""
    steps, most = 20_000, 1.75 * UNCUT
    left = sum(
        min(x, most) * 2 / pi * exp(-x * x / pi) * 10 / steps for x in ((n + 0.5) * 10 / steps for n in range(steps))
    )
    assert left == pytest.approx(UNCUT, abs=1e-4)


def test_scatter_is_the_deviation_that_gives_normal_samples_such_a_jitter():
    """The mean difference of two normal samples is 2/sqrt(pi) = 1.128 deviations."""
    estimate, now = used_to(2.0)
    estimate.reply(22.0, now)
    assert estimate.scatter == pytest.approx(2.0 / UNCUT / 1.128)
    assert fed(*[20.0] * 50).scatter == 0.5
