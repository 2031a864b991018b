"""The same RTT again within a second is the measurement from before, held: no further evidence. What follows weighs for
all the time since it was new."""

from random import Random

import pytest

from steerd.core.belief.estimate import Estimate

_draw = Random(4)
NOISE = tuple(_draw.gauss(40.0, 5.0) for _ in range(120))


def held(rtts, copies, every=1.0):
    """Each RTT ``copies`` times, at equal intervals, until the next is there ``every`` seconds later."""
    estimate = Estimate(2.0)
    for second, rtt in enumerate(rtts):
        for copy in range(copies):
            estimate.reply(rtt, (second + copy / copies) * every)
    return estimate


@pytest.mark.parametrize("copies", [2, 5, 10])
@pytest.mark.parametrize("every", [0.5, 1.0])
def test_what_is_held_is_believed_as_what_was_measured_once(copies, every):
    once, often = held(NOISE, 1, every), held(NOISE, copies, every)
    for name in ("mean", "variance", "n", "samples", "jitter", "news_at"):
        assert getattr(often, name) == pytest.approx(getattr(once, name)), name


def test_while_it_is_held_nothing_moves_but_that_it_answers():
    estimate = held([20.0, 24.0, 21.0], 1)
    before = (estimate.mean, estimate.variance, estimate.n, estimate.jitter)
    estimate.reply(21.0, 2.9)
    assert (estimate.mean, estimate.variance, estimate.n, estimate.jitter) == before
    assert (estimate.samples, estimate.last_reply) == (3, 2.9)


def test_a_loss_fades_meanwhile():
    estimate = held([20.0] * 3, 1)
    estimate.overdue(2.1)
    estimate.lost(2.1)
    lost = estimate.loss
    assert lost > 0.0
    estimate.reply(20.0, 2.5)
    assert estimate.loss == pytest.approx(lost * 2**-0.04)


@pytest.mark.parametrize(("after", "samples"), [(0.2, 1), (0.999, 1), (1.0, 2), (1.5, 2)])
def test_after_a_second_the_same_rtt_is_measured_again(after, samples):
    estimate = Estimate(2.0)
    estimate.reply(20.0, 7.0)
    estimate.reply(20.0, 7.0 + after)
    assert estimate.samples == samples
    assert estimate.last_reply == 7.0 + after


def test_another_rtt_is_news_at_once():
    estimate = Estimate(2.0)
    estimate.reply(20.0, 0.0)
    estimate.reply(20.001, 0.001)
    assert estimate.samples == 2


def test_a_change_weighs_for_all_the_time_that_the_old_one_was_held():
    """After 100 s of noise: 5 ms more than the last one, held for a second, weigh 1 - 2^-0.5 in the mean."""
    estimate = held(NOISE[:100], 5)
    before = estimate.mean
    estimate.reply(before + 5.0, 100.0)
    assert estimate.mean == pytest.approx(before + 5.0 * (1 - 2**-0.5))
    assert estimate.n == pytest.approx(2 / (1 - 2**-0.5) - 1)


def test_a_change_back_within_the_second_is_news_too():
    estimate = held([20.0] * 5, 1)
    estimate.reply(23.0, 4.2)
    estimate.reply(20.0, 4.4)
    assert estimate.samples == 7
