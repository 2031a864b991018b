"""Jitter, the scatter of single samples that is told from it, and the level: what a leg is used to. Worked by hand.

With a half-life of 2 s theirs is 10 s. At one probe a second each then weighs 1 - 2^-0.1 = 1/15, as RFC 3550 has it
(1/16).
"""

import pytest

from steerd.core.estimate import Estimate

WEIGHT = 1 - 2**-0.1


def fed(*rtts, step=1.0):
    estimate = Estimate(2.0)
    for n, rtt in enumerate(rtts):
        estimate.reply(rtt, n * step)
    return estimate


def alternating(step=1.0, seconds=200):
    """20 and 22 ms in turn for long; the last was 22."""
    return fed(*[20.0, 22.0] * round(seconds / step / 2), step=step)


def test_jitter_starts_as_a_plain_mean_of_differences():
    assert fed(20.0).jitter == 0.0
    assert fed(20.0, 21.0).jitter == pytest.approx(1.0 / 2)
    assert fed(20.0, 21.0, 19.0).jitter == pytest.approx((1.0 + 2.0) / 3)
    assert fed(20.0, 21.0, 19.0, 19.5).jitter == pytest.approx((1.0 + 2.0 + 0.5) / 4)
    assert fed(20.0, 21.0, 19.0, 19.5, 19.5).jitter == pytest.approx((1.0 + 2.0 + 0.5) / 5)


def test_jitter_moves_by_a_fifteenth_of_the_difference():
    estimate = alternating()
    assert estimate.jitter == pytest.approx(2.0)
    estimate.reply(17.0, 200.0)
    assert estimate.jitter == pytest.approx(2.0 + WEIGHT * (5.0 - 2.0))
    before = estimate.jitter
    estimate.reply(17.5, 201.0)
    assert estimate.jitter == pytest.approx(before + WEIGHT * (0.5 - before))


def test_jitter_is_per_time_not_per_sample():
    """The same alternation at twice the rate, over the same time, is the same jitter."""
    slow = fed(*[20.0, 30.0] * 50, step=1.0)
    fast = fed(*[20.0, 30.0] * 100, step=0.5)
    assert slow.jitter == pytest.approx(fast.jitter, rel=0.02)
    assert slow.jitter == pytest.approx(10.0, rel=0.02)


def test_after_a_pause_of_its_half_life_half_of_the_jitter_is_new():
    estimate = alternating()
    estimate.reply(27.0, 199.0 + 10.0)
    assert estimate.jitter == pytest.approx((2.0 + 5.0) / 2)


@pytest.mark.parametrize("rtt", [500.0, 28.1, 15.9, 1.0])
def test_a_spike_counts_as_three_times_the_usual_difference(rtt):
    estimate = alternating()
    estimate.reply(rtt, 200.0)
    assert estimate.jitter == pytest.approx(2.0 + WEIGHT * (6.0 - 2.0))


def test_on_a_steady_path_the_usual_difference_is_half_a_millisecond():
    estimate = fed(*[20.0] * 100)
    estimate.reply(120.0, 100.0)
    assert estimate.jitter == pytest.approx(WEIGHT * 1.5)
    estimate = fed(*[20.0] * 100)
    estimate.reply(21.25, 100.0)
    assert estimate.jitter == pytest.approx(WEIGHT * 1.25)


def test_the_first_differences_count_up_to_three_eighths_of_the_level():
    """As much as is believed of a path's deviation before there is anything to compare."""
    assert fed(80.0, 280.0).jitter == pytest.approx(3 * 10.0 / 2)
    assert fed(80.0, 10.0).jitter == pytest.approx(3 * 10.0 / 2)
    assert fed(84.0, 284.0).jitter == pytest.approx(3 * 10.5 / 2)
    assert fed(80.0, 105.0).jitter == pytest.approx(25.0 / 2)
    assert fed(2.0, 10.0).jitter == pytest.approx(3 * 0.5 / 2)  # an eighth would be 0.25 ms


@pytest.mark.parametrize(("step", "counts"), [(9.99, 3 * 10.0), (10.0, 3 * 0.5), (20.0, 3 * 0.5)])
def test_probed_as_slowly_as_jitter_halves_there_is_no_early_on(step, counts):
    """Then the second sample weighs a half by its time alone."""
    assert fed(80.0, 280.0, step=step).jitter == pytest.approx(counts * max(0.5, 1 - 2 ** (-step / 10)))


def test_early_on_the_usual_difference_is_the_larger_of_what_was_seen_and_believed():
    """80, 110 and so on: 15, 20, 22.5 ms of jitter are more than an eighth of the level."""
    estimate = fed(80.0, 110.0, 80.0, 110.0)
    assert estimate.jitter == pytest.approx(22.5)
    estimate.reply(300.0, 4.0)
    assert estimate.jitter == pytest.approx(22.5 + (3 * 22.5 - 22.5) / 5)


def test_scatter_is_the_deviation_that_gives_normal_samples_such_a_jitter():
    """The mean difference of two normal samples is 2/sqrt(pi) = 1.128 deviations."""
    assert alternating().scatter == pytest.approx(2.0 / 1.128)
    assert fed(*[20.0] * 50).scatter == 0.5


def test_the_level_starts_as_a_plain_mean():
    assert fed(20.0).level == 20.0
    assert fed(20.0, 50.0).level == pytest.approx(35.0)
    assert fed(20.0, 50.0, 26.0).level == pytest.approx(32.0)


@pytest.mark.parametrize(("dt", "share"), [(1.0, WEIGHT), (5.0, 1 - 0.5**0.5), (10.0, 0.5), (20.0, 0.75)])
def test_the_level_knows_half_of_a_step_after_ten_seconds(dt, share):
    """Unlike the mean it is never clipped: what it follows slowly, it follows whatever it is."""
    estimate = fed(*[20.0] * 100)
    estimate.reply(120.0, 99.0 + dt)
    assert estimate.level == pytest.approx(20.0 + 100.0 * share)


def test_the_error_of_the_level_shrinks_with_the_samples_that_are_kept():
    scatter2 = (2.0 / 1.128) ** 2
    assert alternating().level_error2 == pytest.approx(scatter2 / ((2 - WEIGHT) / WEIGHT))
    assert fed(*[20.0] * 10).level_error2 == 0.25 / 10
    assert fed(20.0).level_error2 == 0.25
    sparse = fed(*[20.0] * 10, step=100.0)  # each weighs nearly all
    assert sparse.level_error2 == pytest.approx(0.25, rel=0.01)
    assert sparse.level_error2 <= 0.25
