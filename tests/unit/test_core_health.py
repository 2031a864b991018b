"""Up, suspect, down, recovering, absent: every legal transition, and the damping."""

import itertools

import pytest

from steerd.core.health import HOLD_BASE, HOLD_MAX, TRANSITIONS, Health, Signal
from steerd.core.model import PathState


def health(*, legs=1, down_after=0.0, state=None):
    one = Health(legs=legs, down_after=down_after, now=0.0, draw=lambda: 0.0)
    if state is PathState.UP:
        one.answered(0, 0.0)
        for leg in range(1, legs):
            one.answered(leg, 0.0)
    return one


def take_down(one, now):
    for n in range(3):
        one.overdue(0, now + n * 0.1, now + n * 0.1 + 0.05)
    assert one.state is PathState.DOWN
    return now + 0.25


def bring_up(one, now):
    for n in range(4):
        one.answered(0, now + n)
    assert one.state is PathState.UP
    return now + 3.0


def test_a_new_path_is_suspect_until_it_answers():
    one = health()
    assert (one.state, one.doubted_at) == (PathState.SUSPECT, None)
    assert one.answered(0, 1.0)
    assert one.state is PathState.UP


def test_three_in_a_row_are_down():
    one = health(state=PathState.UP)
    assert one.overdue(0, 10.0, 10.1)
    assert one.state is PathState.SUSPECT
    assert not one.overdue(0, 10.2, 10.3)
    assert one.overdue(0, 10.4, 10.5)
    assert one.state is PathState.DOWN
    assert one.doubted_at == 10.0
    assert "3 probes in a row" in one.reason


def test_any_answer_cancels():
    one = health(state=PathState.UP)
    one.overdue(0, 10.0, 10.1)
    one.overdue(0, 10.2, 10.3)
    assert one.answered(0, 10.35)
    one.overdue(0, 10.4, 10.5)
    one.overdue(0, 10.6, 10.7)
    assert one.state is PathState.SUSPECT


def test_down_after_asks_for_time_as_well():
    one = health(down_after=2.0, state=PathState.UP)
    for n in range(19):
        one.overdue(0, 10.0 + n * 0.1, 10.05 + n * 0.1)
    assert one.state is PathState.SUSPECT
    one.overdue(0, 11.95, 12.0)
    assert one.state is PathState.DOWN


def test_one_leg_is_enough_to_go_down_and_all_are_needed_to_come_back():
    one = health(legs=2, state=PathState.UP)
    for n in range(3):
        one.answered(0, 10.0 + n * 0.1)
        one.overdue(1, 10.0 + n * 0.1, 10.05 + n * 0.1)
    assert one.state is PathState.DOWN


def test_recovery_takes_time_and_replies_and_no_overdue_probe():
    one = health(state=PathState.UP)
    now = take_down(one, 10.0)
    one.answered(0, now + 1.0)
    assert one.state is PathState.RECOVERING
    one.answered(0, now + 2.0)
    one.overdue(0, now + 2.5, now + 2.6)
    one.answered(0, now + 4.5)
    assert one.state is PathState.RECOVERING
    one.answered(0, now + 5.0)
    one.answered(0, now + 5.7)
    assert one.state is PathState.UP
    assert one.held(now + 5.7) == HOLD_BASE


def test_three_overdue_in_recovery_are_down_again():
    one = health(state=PathState.UP)
    now = take_down(one, 10.0)
    one.answered(0, now)
    take_down(one, now + 0.1)


def test_hold_downs_grow_with_relapses_and_are_bounded():
    one = health(state=PathState.UP)
    now, holds = 10.0, []
    for _ in range(12):
        now = bring_up(one, take_down(one, now) + 0.5)
        holds.append(one.hold_length)
    assert holds[0] == HOLD_BASE
    assert holds[1] == pytest.approx(HOLD_BASE + 2 * HOLD_BASE, rel=0.02)
    assert all(before < after for before, after in itertools.pairwise(holds[:6]))
    assert holds[-1] == HOLD_MAX


def test_the_memory_of_hold_downs_halves_in_ten_minutes():
    one = health(state=PathState.UP)
    now = bring_up(one, take_down(one, 10.0))
    bring_up(one, take_down(one, now + 600.0 - 3.25))
    assert one.hold_length == pytest.approx(HOLD_BASE + 2 * HOLD_BASE / 2, rel=0.02)


def test_an_unplugged_path_is_absent_at_once_and_proves_itself_when_back():
    one = health(state=PathState.UP)
    assert one.link(up=False, now=5.0)
    assert one.state is PathState.ABSENT
    assert not one.overdue(0, 5.0, 5.1)
    assert not one.answered(0, 5.2)
    assert one.link(up=True, now=6.0)
    assert one.state is PathState.DOWN
    assert one.answered(0, 6.1)
    assert one.state is PathState.RECOVERING


def test_a_link_that_was_always_up_changes_nothing():
    one = health(state=PathState.UP)
    assert not one.link(up=True, now=5.0)


def test_what_the_table_does_not_name_changes_nothing():
    for state, signal in itertools.product(PathState, Signal):
        one = health()
        one.state = state
        assert one._go(signal, "test", 1.0) == ((state, signal) in TRANSITIONS)
        assert one.state is TRANSITIONS.get((state, signal), state)
