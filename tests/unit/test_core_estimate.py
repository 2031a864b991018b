"""The belief about one leg: how it starts, what it follows, what it ignores."""

import pytest

from steerd.core.estimate import SLOW, Estimate

HALF_LIFE = 2.0


def fed(*rtts, step=1.0):
    estimate = Estimate(HALF_LIFE)
    for n, rtt in enumerate(rtts):
        estimate.reply(rtt, n * step)
    return estimate


def test_the_first_sample_is_the_mean_and_an_eighth_of_it_the_deviation():
    estimate = fed(80.0)
    assert (estimate.mean, estimate.sd, estimate.n, estimate.jitter, estimate.loss) == (80.0, 10.0, 1.0, 0.0, 0.0)


def test_the_first_few_are_a_plain_mean():
    assert fed(10.0, 11.0).mean == pytest.approx(10.5)
    assert fed(10.0, 11.0, 12.0).mean == pytest.approx(11.0)


def test_half_of_a_step_is_known_after_a_half_life():
    for step in (0.1, 0.5, 1.0):
        estimate = fed(*[20.0] * 200, step=step)
        start = 200 * step
        estimate.variance = 1e6  # no clipping: this is about the weight alone
        for n in range(round(HALF_LIFE / step)):
            estimate.reply(40.0, start + n * step)
        assert estimate.mean == pytest.approx(30.0, abs=0.2), step


def test_one_outlier_moves_the_mean_by_three_deviations_at_most():
    estimate = fed(*[20.0] * 30)
    estimate.reply(500.0, 30.0)
    assert 20.0 < estimate.mean < 20.0 + 3 * 0.5


def test_the_third_on_one_side_is_a_step():
    estimate = fed(*[20.0] * 30)
    for n in range(3):
        estimate.reply(120.0, 30.0 + n)
    assert estimate.mean > 45.0


def test_outliers_on_both_sides_stay_outliers():
    estimate = fed(*[200.0] * 30)
    for n in range(10):
        estimate.reply(300.0 if n % 2 else 100.0, 30.0 + n)
    assert estimate.mean == pytest.approx(200.0, abs=25.0)


def test_the_deviation_has_a_floor():
    assert fed(*[10.0] * 50).sd == 0.5
    assert fed(*[200.0] * 50).sd == 4.0


def test_independent_samples_saturate_with_the_weight():
    estimate = fed(*[20.0] * 100, step=1.0)
    w = 1 - 2 ** (-1.0 / HALF_LIFE)
    assert estimate.n == pytest.approx(2 / w - 1)


def test_jitter_is_per_time_not_per_sample():
    """The same alternation at twice the rate, over the same time, is the same jitter."""
    slow = fed(*[20.0, 30.0] * 50, step=1.0)
    fast = fed(*[20.0, 30.0] * 100, step=0.5)
    assert slow.jitter == pytest.approx(fast.jitter, rel=0.02)
    assert slow.jitter == pytest.approx(10.0, rel=0.02)


def test_loss_is_the_share_of_time_lost():
    """Every second probe lost is half, whatever the rate."""
    for step in (0.2, 1.0):
        estimate = Estimate(HALF_LIFE)
        for n in range(400):
            time = n * step
            if n % 2:
                estimate.overdue(time)
                estimate.lost(time)
            else:
                estimate.reply(20.0, time)
        assert estimate.loss == pytest.approx(0.5, abs=0.06), step


def test_loss_settled_late_weighs_as_if_it_had_been_settled_at_once():
    prompt, tardy = fed(20.0, 20.0), fed(20.0, 20.0)
    for estimate in (prompt, tardy):
        estimate.overdue(2.0)
    prompt.lost(2.0)
    for estimate in (prompt, tardy):
        estimate.reply(20.0, 3.0)
        estimate.reply(20.0, 4.0)
    tardy.lost(2.0)
    tardy.reply(20.0, 5.0)
    prompt.reply(20.0, 5.0)
    assert tardy.loss == pytest.approx(prompt.loss)


def test_loss_halves_in_its_half_life():
    estimate = fed(20.0)
    estimate.overdue(1.0)
    estimate.lost(1.0)
    before = estimate.loss
    estimate.reply(20.0, 1.0 + SLOW * HALF_LIFE)
    assert estimate.loss == pytest.approx(before / 2)


def test_an_older_answer_moves_nothing():
    estimate = fed(20.0, 20.0, 20.0)
    estimate.reply(500.0, 1.5)
    assert estimate.mean == 20.0


def test_answers_at_the_same_moment_do_not_divide_by_zero():
    estimate = fed(20.0, 20.0, 20.0)
    estimate.reply(20.0, 2.0 + 1e-12)
    assert estimate.mean == pytest.approx(20.0)


def test_what_is_overdue_for_ever_is_forgotten():
    estimate = fed(20.0)
    for n in range(1, 1000):
        estimate.overdue(float(n))
    assert len(estimate._gaps) <= 64


def test_a_new_start_is_new_at_any_time():
    """Also where the time itself equals the step that the weights were last made for."""
    estimate = fed(*[20.0] * 10)
    estimate.forget()
    estimate.reply(80.0, 1.0)
    assert (estimate.mean, estimate.sd, estimate.jitter, estimate.samples) == (80.0, 10.0, 0.0, 1)
