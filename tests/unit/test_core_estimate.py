"""The belief about one leg: how it starts, what it follows, what it ignores. Worked by hand.

With a half-life of 2 s a step of 2 s weighs exactly a half, and one of 10 s halves loss and jitter.
"""

from math import inf

import pytest

from steerd.core.belief.estimate import Estimate

HALF_LIFE = 2.0


def fed(*rtts, step=1.0, half_life=HALF_LIFE):
    """Answers at 0, ``step``, 2 ``step`` and so on."""
    estimate = Estimate(half_life)
    for n, rtt in enumerate(rtts):
        estimate.reply(rtt, n * step)
    return estimate


def shown(estimate):
    return {
        name: getattr(estimate, name)
        for name in ("mean", "variance", "n", "samples", "jitter", "loss", "last_rtt", "last_reply", "news_at")
    }


def test_nothing_is_believed_before_the_first_answer():
    nothing = dict.fromkeys(("mean", "variance", "n", "samples", "jitter", "loss", "last_rtt"), 0.0)
    nothing["last_reply"] = nothing["news_at"] = -inf
    estimate = Estimate(HALF_LIFE)
    assert shown(estimate) == nothing
    assert estimate.sd == 0.5
    estimate = fed(80.0, 90.0, 300.0)
    estimate.overdue(3.0)
    estimate.lost(3.0)
    estimate.forget()
    assert shown(estimate) == nothing


def test_the_first_sample_is_the_mean_and_an_eighth_of_it_the_deviation():
    estimate = fed(80.0)
    assert (estimate.mean, estimate.sd, estimate.n, estimate.jitter, estimate.loss) == (80.0, 10.0, 1.0, 0.0, 0.0)
    assert (estimate.last_rtt, estimate.last_reply, estimate.news_at, estimate.samples) == (80.0, 0.0, 0.0, 1)
    assert fed(84.0).variance == 10.5**2
    assert fed(2.0).variance == 0.25  # an eighth would be less than the floor of 0.5 ms


def test_the_first_few_are_a_plain_mean():
    assert fed(10.0, 11.0).mean == pytest.approx(10.5)
    assert fed(10.0, 11.0, 12.0).mean == pytest.approx(11.0)


def test_young_means_and_variances_by_hand():
    """The prior is worth one sample: weights of 1/2 and 1/3, then the half-life's."""
    estimate = fed(80.0, 84.0, step=2.0)
    assert (estimate.mean, estimate.variance, estimate.n) == (82.0, 100.0 + (16.0 - 100.0) / 2, 2.0)
    estimate.reply(79.0, 4.0)  # in the mean, the half that 2 s weigh is more than a third
    assert estimate.mean == 82.0 - 3.0 / 2
    assert estimate.variance == pytest.approx(58.0 + (9.0 - 58.0) / 3)
    assert estimate.n == pytest.approx(3.0)
    before = estimate.variance
    estimate.reply(84.5, 6.0)
    assert estimate.mean == pytest.approx(82.5)
    assert estimate.variance == pytest.approx(before + (16.0 - before) / 4)  # never more than a quarter
    assert estimate.n == pytest.approx(3.0)


def test_the_fourth_variance_is_no_plain_mean_any_more():
    """Probed every 0.2 s, a sample weighs 1 - 2^-0.1 in the variance once three are in memory."""
    estimate = fed(80.0, 80.0 + 1e-9, 80.0, step=0.2)
    before = estimate.variance
    assert before == pytest.approx(100.0 / 3)
    assert estimate.n == 3.0
    estimate.reply(84.0, 0.6)
    assert estimate.variance == pytest.approx(before + (1 - 2**-0.1) * (16.0 - before))
    assert estimate.mean == pytest.approx(81.0)  # the mean is a plain one for longer
    before = estimate.variance
    estimate.reply(81.0, 0.8)
    assert estimate.variance == pytest.approx(before * 2**-0.1)


@pytest.mark.parametrize("dt", [0.5, 1.0, 2.0, 3.0, 8.0])
def test_a_sample_weighs_by_the_time_since_the_last(dt):
    estimate = fed(*[200.0, 200.0 + 1e-9] * 30, step=dt)
    estimate.reply(208.0, 60 * dt)
    weight = 1 - 2 ** (-dt / 2)
    assert estimate.mean == pytest.approx(200.0 + 8.0 * weight)
    assert estimate.variance == pytest.approx(64.0 * min(weight, 0.25), rel=1e-3)


@pytest.mark.parametrize("dt", [2.0, 4.0, 9.0])
def test_a_pause_makes_the_next_sample_weigh_more(dt):
    """On a grid of 1 s until then."""
    estimate = fed(*[200.0] * 60)
    estimate.reply(208.0, 59.0 + dt)
    assert estimate.mean == pytest.approx(200.0 + 8.0 * (1 - 2 ** (-dt / 2)))
    assert estimate.n == pytest.approx(2 / (1 - 2 ** (-dt / 2)) - 1)


def test_half_of_a_step_is_known_after_a_half_life():
    for step in (0.1, 0.5, 1.0):
        estimate = fed(*[20.0] * 200, step=step)
        start = 200 * step
        estimate.variance = 1e6  # no clipping: this is about the weight alone
        for n in range(round(HALF_LIFE / step)):
            estimate.reply(40.0, start + n * step)
        assert estimate.mean == pytest.approx(30.0, abs=0.2), step


def test_independent_samples_saturate_with_the_weight():
    estimate = fed(*[20.0] * 100, step=1.0)
    w = 1 - 2 ** (-1.0 / HALF_LIFE)
    assert estimate.n == pytest.approx(2 / w - 1)
    assert fed(*[20.0] * 5, step=1.0).n == 5.0
    assert fed(*[20.0] * 6, step=1.0).n == pytest.approx(2 / w - 1)


def test_the_memory_grows_again_when_probed_faster():
    """At 2 s three samples are kept. At 0.2 s it is 28.8: until then each weighs 1/(n+1)."""
    estimate = fed(*[200.0] * 60, step=2.0)
    estimate.reply(204.0, 118.2)
    assert estimate.mean == pytest.approx(201.0)
    assert estimate.n == pytest.approx(4.0)


@pytest.mark.parametrize(("rtt", "sd"), [(10.0, 0.5), (24.0, 0.5), (26.0, 0.52), (200.0, 4.0)])
def test_the_deviation_is_at_least_half_a_millisecond_and_a_fiftieth(rtt, sd):
    assert fed(*[rtt] * 80).sd == pytest.approx(sd)


def test_an_older_answer_moves_nothing():
    estimate = fed(20.0, 20.0, 20.0)
    before = shown(estimate)
    estimate.reply(500.0, 1.5)
    assert shown(estimate) == before


def test_a_second_answer_to_the_same_probe_moves_nothing():
    estimate = fed(20.0, 20.0, 20.0)
    before = shown(estimate)
    estimate.reply(500.0, 2.0)
    assert shown(estimate) == before


def test_answers_nearer_than_a_millisecond_weigh_as_if_a_millisecond_apart():
    """With a half-life of 2 ms that is 1 - 2^-0.5."""
    estimate = fed(*[200.0, 200.0 + 1e-9] * 20, step=1e-3, half_life=2e-3)
    estimate.reply(208.0, 39e-3 + 1e-5)
    assert estimate.mean == pytest.approx(200.0 + 8.0 * (1 - 2**-0.5))


def test_answers_at_the_same_moment_do_not_divide_by_zero():
    estimate = fed(20.0, 20.0, 20.0)
    estimate.reply(20.0, 2.0 + 1e-12)
    assert estimate.mean == pytest.approx(20.0)
    estimate = fed(20.0, 21.0, step=1e-18)  # time stands still, but for the last bit
    assert (estimate.mean, estimate.samples) == (20.5, 2)


def test_a_new_start_is_new_at_any_time():
    """Also where the time itself equals the step that the weights were last made for."""
    estimate = fed(*[20.0] * 10)
    estimate.forget()
    estimate.reply(80.0, 1.0)
    assert (estimate.mean, estimate.sd, estimate.jitter, estimate.samples) == (80.0, 10.0, 0.0, 1)
