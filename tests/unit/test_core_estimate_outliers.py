"""One sample far off is an outlier, the next on the same side a step. Worked by hand, at a step of 2 s: the mean
moves by half of what a sample may count for, the variance by a quarter."""

import pytest

from steerd.core.belief.estimate import GAUSSIAN, Estimate

STEADY = 60
"""So many answers that the variance of the start is forgotten."""


def steady(rtt, *further):
    """A belief that has long been steady, and what then comes every 2 s."""
    estimate = Estimate(2.0)
    for n, value in enumerate([rtt] * STEADY + list(further)):
        estimate.reply(value, n * 2.0)
    return estimate


def means(rtt, *further):
    """The mean after each of what comes."""
    return [steady(rtt, *further[: n + 1]).mean for n in range(len(further))]


def test_an_outlier_counts_as_three_deviations():
    """At 200 ms the deviation is at least 4 ms."""
    estimate = steady(200.0, 500.0)
    assert estimate.mean == pytest.approx(200.0 + 12.0 / 2)
    assert estimate.variance == pytest.approx(144.0 / 4, rel=1e-4)
    assert estimate.last_rtt == 500.0
    assert steady(200.0, 1.0).mean == pytest.approx(200.0 - 12.0 / 2)
    assert steady(10.0, 500.0).mean == pytest.approx(10.0 + 1.5 / 2)  # half a millisecond at least


@pytest.mark.parametrize(("second", "mean"), [(500.0, 95.0), (1.0, 65.0)])
def test_the_second_answer_is_clipped_at_what_the_first_lets_expect(second, mean):
    """80 ms, with a deviation of 10: weights of 1/2."""
    estimate = Estimate(2.0)
    estimate.reply(80.0, 0.0)
    estimate.reply(second, 2.0)
    assert (estimate.mean, estimate.variance) == (mean, 100.0 + (900.0 - 100.0) / 2)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_second_in_a_row_on_one_side_is_a_step_and_counts_in_full(side):
    first, second, third = means(200.0, *[200.0 + side * 100.0] * 3)
    assert first == pytest.approx(200.0 + side * 6.0)
    assert second == pytest.approx(200.0 + side * (6.0 + 94.0 / 2))
    assert third == pytest.approx(200.0 + side * (53.0 + 47.0 / 2))


@pytest.mark.parametrize("dt", [0.2, 1.0, 9.0])
def test_at_a_step_the_belief_starts_anew(dt):
    """Halfway to what told of it, with the deviation that single samples had, which this step is no part of."""
    estimate = Estimate(2.0)
    for n in range(STEADY):
        estimate.reply(84.0 if n % 2 else 80.0, n * dt)
    now = STEADY * dt
    estimate.reply(180.0, now)
    before = estimate.mean
    estimate.reply(181.0, now + dt)
    assert estimate.mean == pytest.approx((before + 181.0) / 2)
    assert estimate.n == 1.0
    assert estimate.variance == pytest.approx((estimate.jitter / GAUSSIAN) ** 2, rel=0.15)


def test_outliers_on_both_sides_stay_outliers():
    """206 ms with a deviation of 6; then 100 ms counts as 18 less, and the deviation is sqrt(108)."""
    up, down, up_again, in_a_row = means(200.0, 300.0, 100.0, 300.0, 400.0)
    assert up == pytest.approx(206.0)
    assert down == pytest.approx(206.0 - 18.0 / 2, abs=1e-3)
    assert up_again == pytest.approx(197.0 + 3 * 108.0**0.5 * 0.5, rel=1e-3)
    assert in_a_row == pytest.approx((up_again + 400.0) / 2)


def test_two_in_a_row_are_a_step_after_an_outlier_on_the_other_side_too():
    _, one, two = means(200.0, 300.0, 100.0, 100.0)
    assert two == pytest.approx((one + 100.0) / 2)


def test_outliers_with_a_calm_answer_between_them_stay_outliers():
    """After the calm one the variance is 3/4 of 36."""
    _, calm, again = means(200.0, 300.0, 206.0, 300.0)
    assert calm == pytest.approx(206.0)
    assert again == pytest.approx(206.0 + 3 * 27.0**0.5 / 2, rel=1e-3)
    assert means(200.0, 300.0, 206.0, 100.0)[2] == pytest.approx(206.0 - 3 * 27.0**0.5 / 2, rel=1e-3)


def test_a_new_start_knows_of_no_outlier_before():
    for before in ([], [300.0], [300.0, 400.0, 500.0]):
        estimate = steady(200.0, *before)
        estimate.forget()
        estimate.reply(80.0, 1000.0)
        estimate.reply(500.0, 1002.0)
        assert estimate.mean == 95.0


@pytest.mark.parametrize(
    ("rtt", "off"),
    [(10.0, 1.5), (10.0, -1.5), (200.0, 12.0), (200.0, -12.0)],
    ids=["floor", "floor-below", "share", "share-below"],
)
def test_three_deviations_are_no_outlier_and_a_little_more_is(rtt, off):
    """What tells is the next: after an outlier, one on the same side counts in full."""
    for factor, full in ((0.999, False), (1.001, True)):
        estimate = steady(rtt, rtt + off * factor)
        sd, mean = estimate.sd, estimate.mean
        moved = steady(rtt, rtt + off * factor, rtt + off * 10).mean - mean
        far = rtt + off * 10 - mean
        assert moved == pytest.approx(far / 2 if full else 3 * sd / 2 * (1 if off > 0 else -1))


def test_exactly_three_deviations_are_no_outlier():
    """By each of the three: as seen, half a millisecond, a fiftieth of the mean."""
    seen = Estimate(2.0)
    seen.reply(80.0, 0.0)
    seen.reply(110.0, 2.0)
    assert (seen.mean, seen.variance) == (95.0, 500.0)
    seen.reply(500.0, 4.0)
    assert seen.mean == pytest.approx(95.0 + 3 * 500.0**0.5 / 2)
    half = steady(10.0, 11.5)
    assert steady(10.0, 11.5, 500.0).mean == pytest.approx(half.mean + 3 * half.sd / 2)
    fiftieth = steady(150.0, 159.0)
    assert steady(150.0, 159.0, 900.0).mean == pytest.approx(fiftieth.mean + 3 * fiftieth.sd / 2)


@pytest.mark.parametrize(("rtt", "off"), [(10.0, 1.4), (10.0, 1.0), (200.0, 11.0), (200.0, 5.0)])
def test_what_is_nearer_counts_for_what_it_is(rtt, off):
    assert steady(rtt, rtt + off).mean == pytest.approx(rtt + off / 2)
    assert steady(rtt, rtt + off).variance == pytest.approx(off * off / 4, rel=1e-3)


def test_a_noisy_path_has_farther_outliers():
    """80 and 120 in turn: 60 ms off is nothing there."""
    estimate = Estimate(2.0)
    for n in range(STEADY):
        estimate.reply(120.0 if n % 2 else 80.0, n * 2.0)
    before = estimate.mean
    assert estimate.sd > 20.0
    estimate.reply(before + 60.0, STEADY * 2.0)
    assert estimate.mean == pytest.approx(before + 30.0)
