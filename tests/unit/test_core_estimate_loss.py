"""Loss: every lost probe stands for the time since the one before it, and its weight halves in 10 s. Worked by hand,
mostly at steps of 10 s."""

import pytest

from steerd.core.belief.estimate import Estimate


def answering(*times):
    estimate = Estimate(2.0)
    for time in times:
        estimate.reply(20.0, time)
    return estimate


def lose(estimate, *times):
    for time in times:
        estimate.overdue(time)
        estimate.lost(time)


@pytest.mark.parametrize(("gap", "weight"), [(10.0, 0.5), (20.0, 0.75), (1.0, 1 - 2**-0.1), (5.0, 1 - 0.5**0.5)])
def test_a_lost_probe_weighs_the_time_since_the_last_answer(gap, weight):
    estimate = answering(0.0, 3.0)
    lose(estimate, 3.0 + gap)
    assert estimate.loss == pytest.approx(weight)


def test_losses_in_a_row_weigh_the_time_since_each_other():
    estimate = answering(0.0)
    lose(estimate, 10.0, 20.0)
    assert estimate.loss == pytest.approx(0.5 / 2 + 0.5)
    lose(estimate, 30.0)
    assert estimate.loss == pytest.approx(0.75 / 2 + 0.5)


def test_the_first_probe_of_all_stands_for_no_time():
    estimate = Estimate(2.0)
    lose(estimate, 0.5)
    assert estimate.loss == 0.0
    lose(estimate, 10.5)
    assert estimate.loss == pytest.approx(0.5)


def test_loss_on_the_first_seconds_of_the_clock_is_as_later():
    early, later = answering(0.0), answering(1000.0)
    for estimate, start in ((early, 0.0), (later, 1000.0)):
        lose(estimate, start + 0.5)
        estimate.reply(20.0, start + 0.8)
    assert early.loss == pytest.approx(later.loss)


def test_a_probe_that_was_overtaken_by_an_answer_stands_for_no_time():
    """The answer to a newer probe has spoken for that time."""
    estimate = answering(0.0, 6.0)
    lose(estimate, 5.0)
    assert estimate.loss == 0.0


def test_an_older_probe_that_is_overdue_later_stands_for_no_time():
    estimate = answering(0.0)
    estimate.overdue(20.0)
    estimate.overdue(10.0)
    estimate.lost(10.0)
    assert estimate.loss == 0.0
    estimate.lost(20.0)
    assert estimate.loss == pytest.approx(0.75)


def test_a_probe_that_is_called_overdue_twice_weighs_what_it_weighed():
    estimate = answering(0.0)
    estimate.overdue(10.0)
    lose(estimate, 10.0)
    assert estimate.loss == pytest.approx(0.5)


def test_loss_is_the_share_of_time_lost():
    """Every second probe lost is half, whatever the rate."""
    for step in (0.2, 1.0):
        estimate = Estimate(2.0)
        for n in range(400):
            if n % 2:
                lose(estimate, n * step)
            else:
                estimate.reply(20.0, n * step)
        assert estimate.loss == pytest.approx(0.5, abs=0.06), step


@pytest.mark.parametrize("times", [(20.0,), (12.0, 20.0), (10.1, 13.0, 19.9, 20.0)])
def test_loss_halves_in_ten_seconds_however_often_it_is_probed(times):
    estimate = answering(0.0)
    lose(estimate, 10.0)
    for time in times:
        estimate.reply(20.0, time)
    assert estimate.loss == pytest.approx(0.25)


def test_loss_settled_late_weighs_as_if_it_had_been_settled_at_once():
    prompt, tardy = answering(0.0, 1.0), answering(0.0, 1.0)
    for estimate in (prompt, tardy):
        estimate.overdue(2.0)
    prompt.lost(2.0)
    for estimate in (prompt, tardy):
        estimate.reply(20.0, 3.0)
        estimate.reply(20.0, 4.0)
    tardy.lost(2.0)
    for estimate in (prompt, tardy):
        estimate.reply(20.0, 5.0)
    assert tardy.loss == pytest.approx(prompt.loss)


def test_loss_settled_after_a_newer_one_weighs_as_if_settled_in_order():
    estimate = answering(0.0)
    for time in (10.0, 20.0):
        estimate.overdue(time)
    estimate.lost(20.0)
    estimate.lost(10.0)
    assert estimate.loss == pytest.approx(0.25 + 0.5)


def test_a_late_answer_undoes_its_loss_exactly():
    estimate = answering(0.0)
    lose(estimate, 10.0, 20.0)
    estimate.undo_loss(10.0)
    assert estimate.loss == pytest.approx(0.5)
    estimate.reply(20.0, 30.0)
    assert estimate.loss == pytest.approx(0.25)
    estimate.reply(20.0, 35.0)
    estimate.undo_loss(20.0)
    assert estimate.loss == pytest.approx(0.0)


def test_a_loss_is_undone_once():
    estimate = answering(0.0)
    lose(estimate, 10.0, 20.0)
    for _ in range(2):
        estimate.undo_loss(10.0)
    assert estimate.loss == pytest.approx(0.5)


def test_what_never_was_overdue_is_nothing_to_lose_or_undo():
    estimate = answering(0.0)
    lose(estimate, 10.0)
    estimate.undo_loss(7.0)
    estimate.lost(9.0)
    assert estimate.loss == pytest.approx(0.5)


def test_loss_is_never_negative():
    estimate = answering(0.0)
    lose(estimate, 10.0)
    estimate.undo_loss(10.0)
    estimate.undo_loss(10.0)  # no more than there was
    assert estimate.loss == 0.0


def test_a_new_start_has_lost_nothing():
    estimate = answering(0.0)
    lose(estimate, 10.0)
    estimate.overdue(20.0)
    estimate.forget()
    estimate.lost(20.0)
    assert estimate.loss == 0.0
    estimate.overdue(15.0)  # nothing is known of any later probe
    estimate.overdue(25.0)
    estimate.lost(25.0)
    assert estimate.loss == pytest.approx(0.5)


@pytest.mark.parametrize(("unsettled", "remembered"), [(64, True), (65, False)])
def test_of_probes_that_are_never_settled_the_last_64_are_remembered(unsettled, remembered):
    estimate = answering(0.0)
    for n in range(1, unsettled + 1):
        estimate.overdue(n * 10.0)
    estimate.lost(10.0)
    assert estimate.loss == pytest.approx(0.5 if remembered else 0.0)
    before = estimate.loss
    estimate.lost(20.0)
    assert estimate.loss == pytest.approx(before / 2 + 0.5)
