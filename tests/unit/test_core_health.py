"""Up, suspect, down, recovering, absent: every legal transition, and what it takes."""

import itertools

import pytest

from steerd.core.belief.health import TRANSITIONS, Health, Signal
from steerd.core.states import PathState

UP, SUSPECT, DOWN = PathState.UP, PathState.SUSPECT, PathState.DOWN
RECOVERING, ABSENT = PathState.RECOVERING, PathState.ABSENT


def health(*, legs=1, down_after=0.0, state=None, now=0.0):
    one = Health(legs=legs, down_after=down_after, now=now, draw=lambda: 0.0)
    if state is UP:
        for leg in range(legs):
            one.answered(leg, now)
    return one


def silence(one, *times, leg=0):
    """Probes sent at these times are overdue 0.1 s later. Whether each changed the state."""
    return [one.overdue(leg, sent_at, sent_at + 0.1) for sent_at in times]


def test_a_new_path_is_suspect_until_it_answers():
    one = health()
    assert (one.state, one.doubted_at) == (SUSPECT, None)
    assert one.answered(0, 1.0)
    assert one.state is UP


def test_each_change_says_why_and_since_when():
    """What `steerctl` and the journal tell of a path's life."""
    one = health(now=5.0)
    story = [
        (None, SUSPECT, "nothing heard yet", 5.0),
        (lambda: one.answered(0, 6.0), UP, "answers", 6.0),
        (lambda: one.overdue(0, 7.0, 7.1), SUSPECT, "a probe is overdue", 7.1),
        (lambda: one.overdue(0, 7.2, 7.3), SUSPECT, "a probe is overdue", 7.1),
        (lambda: one.overdue(0, 7.4, 7.5), DOWN, "3 probes in a row unanswered over 0.50 s", 7.5),
        (lambda: one.answered(0, 8.0), RECOVERING, "answers again", 8.0),
        (lambda: one.answered(0, 9.5), RECOVERING, "answers again", 8.0),
        (lambda: one.answered(0, 11.0), UP, "answered for 3 s; ranks last for 8 s", 11.0),
        (lambda: one.answered(0, 11.5), UP, "answered for 3 s; ranks last for 8 s", 11.0),
        (
            lambda: one.link(up=False, now=12.0),
            ABSENT,
            "its device is down or not there, or the kernel refuses its next hop",
            12.0,
        ),
        (lambda: one.link(up=True, now=13.0), DOWN, "its device is back; nothing heard yet", 13.0),
    ]
    for step, state, reason, since in story:
        before = one.state
        changed = step() if step else False
        assert changed is (one.state is not before)
        assert (one.state, one.reason, one.since) == (state, reason, since)


@pytest.mark.parametrize(
    ("state", "gone", "answering"),
    [(UP, False, True), (SUSPECT, False, False), (DOWN, True, False), (RECOVERING, False, True), (ABSENT, True, False)],
)
def test_what_carries_nothing_and_what_answers(state, gone, answering):
    one = health()
    one.state = state
    assert (one.gone, one.answering) == (gone, answering)


def test_three_in_a_row_are_down():
    one = health(state=UP)
    assert silence(one, 10.0, 10.2) == [True, False]
    assert one.state is SUSPECT
    assert silence(one, 10.4) == [True]
    assert (one.state, one.doubted_at) == (DOWN, 10.0)


def test_a_path_that_never_answered_is_down_after_three_as_well():
    one = health()
    assert silence(one, 1.0, 2.0) == [False, False]
    assert one.state is SUSPECT
    assert silence(one, 3.0) == [True]
    assert (one.state, one.reason) == (DOWN, "3 probes in a row unanswered over 2.10 s")


def test_any_answer_cancels():
    one = health(state=UP)
    silence(one, 10.0, 10.2)
    assert one.answered(0, 10.35)
    assert (one.state, one.doubted_at) == (UP, None)
    silence(one, 10.4, 10.6)
    assert (one.state, one.doubted_at) == (SUSPECT, 10.4)


def test_down_after_asks_for_time_as_well():
    one = health(down_after=2.0, state=UP)
    for n in range(19):
        one.overdue(0, 10.0 + n * 0.1, 10.05 + n * 0.1)
    assert one.state is SUSPECT
    one.overdue(0, 11.95, 12.0)
    assert (one.state, one.since) == (DOWN, 12.0)
    assert one.reason == "20 probes in a row unanswered over 2.00 s"


def test_down_after_counts_from_the_silence_that_lasts():
    """An answer between two silences starts the time anew, also while a path recovers."""
    one = health(down_after=1.0, state=UP)
    silence(one, 10.0, 10.2)
    one.answered(0, 10.4)
    silence(one, 10.5, 10.7, 10.9)
    assert one.state is SUSPECT
    silence(one, 11.4)
    assert one.state is DOWN
    one.answered(0, 20.0)
    silence(one, 20.5)
    one.answered(0, 21.0)
    silence(one, 22.0, 22.2, 22.4)
    assert one.state is RECOVERING
    silence(one, 22.9)
    assert one.state is DOWN


def test_what_is_gone_can_not_be_doubted():
    one = health(state=UP)
    silence(one, 10.0, 10.2, 10.4)
    assert silence(one, 10.6, 10.8, 11.0) == [False] * 3
    assert (one.state, one.since, one.doubted_at) == (DOWN, 10.5, 10.0)
    one.link(up=False, now=12.0)
    assert silence(one, 12.0, 13.0, 14.0) == [False] * 3
    assert (one.state, one.since) == (ABSENT, 12.0)


def test_one_leg_is_enough_to_go_down():
    one = health(legs=2, state=UP)
    for n in range(3):
        one.answered(0, 10.0 + n * 0.1)
        one.overdue(1, 10.0 + n * 0.1, 10.05 + n * 0.1)
    assert one.state is DOWN


def test_each_leg_counts_its_own_silence():
    """Two overdue probes on each of two legs are not four in a row."""
    one = health(legs=2, state=UP)
    silence(one, 10.0, 10.2, leg=0)
    silence(one, 10.1, 10.3, leg=1)
    assert one.state is SUSPECT


def test_all_legs_are_needed_to_be_trusted_again():
    one = health(legs=2, state=UP)
    silence(one, 10.0, leg=0)
    silence(one, 10.1, leg=1)
    assert not one.answered(0, 10.2)
    assert (one.state, one.doubted_at) == (SUSPECT, 10.0)
    assert one.answered(1, 10.3)
    assert (one.state, one.doubted_at) == (UP, None)


def test_an_unplugged_path_is_absent_at_once_and_proves_itself_when_back():
    one = health(state=UP)
    assert one.link(up=False, now=5.0)
    assert one.state is ABSENT
    assert not one.answered(0, 5.2)
    assert one.link(up=True, now=6.0)
    assert one.state is DOWN
    assert one.answered(0, 6.1)
    assert one.state is RECOVERING


def test_a_device_that_is_back_owes_no_probes_from_before():
    one = health(legs=2, state=UP)
    silence(one, 10.0, 10.2, leg=1)
    one.link(up=False, now=10.3)
    one.link(up=True, now=11.0)
    assert one.answered(0, 11.1)
    silence(one, 11.2, leg=1)
    assert one.state is RECOVERING


def test_a_link_that_was_always_up_changes_nothing():
    one = health(state=UP)
    assert one.link(up=True, now=5.0) is False
    assert (one.state, one.reason, one.since) == (UP, "answers", 0.0)


def test_a_stale_tunnel_makes_a_path_suspect_and_says_why():
    one = health(state=UP)
    assert one.tunnel("no handshake", 5.0) is True
    assert (one.state, one.reason, one.since, one.doubted_at) == (SUSPECT, "no handshake", 5.0, None)
    assert (one.doubted, one.explanation) == (True, "no handshake")


def test_a_stale_tunnel_alone_takes_no_path_down():
    one = health(state=UP)
    for n in range(100):
        one.tunnel("no handshake", 5.0 + n)
    assert (one.state, one.since) == (SUSPECT, 5.0)


def test_any_answer_proves_that_the_tunnel_works():
    one = health(state=UP)
    one.tunnel("no handshake", 5.0)
    assert one.answered(0, 6.0) is True
    assert (one.state, one.reason, one.stale, one.doubted) == (UP, "answers", "", False)
    assert one.tunnel("no handshake", 7.0) is True  # it may become stale again


def test_a_tunnel_that_is_fresh_again_proves_nothing():
    one = health(state=UP)
    one.tunnel("no handshake", 5.0)
    assert one.tunnel("", 6.0) is False
    assert (one.state, one.reason, one.stale, one.doubted) == (SUSPECT, "no handshake", "", False)
    assert health(state=UP).tunnel("", 6.0) is False


def test_silence_counts_from_the_first_unanswered_probe_not_from_the_suspicion():
    one = health(down_after=1.0, state=UP)
    one.tunnel("no handshake", 5.0)
    assert silence(one, 10.0, 10.2, 10.4) == [False] * 3
    assert silence(one, 10.9) == [True]
    assert (one.state, one.doubted_at) == (DOWN, 10.0)
    assert one.reason == "4 probes in a row unanswered over 1.00 s"
    assert one.explanation == "4 probes in a row unanswered over 1.00 s; no handshake"


def test_what_is_learnt_of_a_tunnel_later_is_told_beside_the_reason():
    one = health(state=UP)
    silence(one, 10.0, 10.2, 10.4)
    assert one.explanation == "3 probes in a row unanswered over 0.50 s"
    assert one.tunnel("no handshake", 25.0) is False
    assert (one.state, one.since) == (DOWN, 10.5)
    assert one.explanation == "3 probes in a row unanswered over 0.50 s; no handshake"
    one.answered(0, 30.0)
    assert (one.reason, one.explanation) == ("answers again", "answers again")


def test_what_is_to_be_found_out_soon():
    never = health()
    assert not never.doubted
    never.tunnel("no handshake", 1.0)
    assert (never.state, never.reason, never.doubted) == (SUSPECT, "nothing heard yet", True)
    one = health(state=UP)
    assert not one.doubted
    silence(one, 10.0)
    assert one.doubted
    silence(one, 10.2, 10.4)
    assert (one.state, one.doubted) == (DOWN, True)
    one.answered(0, 11.0)
    silence(one, 11.5)
    assert (one.state, one.doubted) == (RECOVERING, False)
    plugged = health(state=UP)
    plugged.link(up=False, now=5.0)
    plugged.tunnel("no handshake", 6.0)
    assert (plugged.state, plugged.doubted) == (ABSENT, False)


def test_a_device_that_comes_or_goes_has_nothing_said_of_its_tunnel():
    one = health(state=UP)
    one.tunnel("no handshake", 5.0)
    one.link(up=False, now=6.0)
    assert one.stale == ""
    one.tunnel("no handshake", 7.0)
    one.link(up=True, now=8.0)
    assert one.stale == ""
    assert health().stale == ""


DEEDS = {
    Signal.DOUBTED: lambda one: one.overdue(0, 1.0, 1.1),
    Signal.STALE: lambda one: one.tunnel("no handshake", 1.0),
    Signal.ANSWERED: lambda one: one.answered(0, 1.0),
    Signal.UNPLUGGED: lambda one: one.link(up=False, now=1.0),
    Signal.PLUGGED: lambda one: one.link(up=True, now=1.0),
}
"""What gives a signal by itself; the others take several probes."""


@pytest.mark.parametrize(("state", "signal"), list(itertools.product(PathState, DEEDS)))
def test_what_the_table_does_not_name_changes_nothing(state, signal):
    one = health()
    one.state = state
    assert DEEDS[signal](one) == ((state, signal) in TRANSITIONS)
    assert one.state is TRANSITIONS.get((state, signal), state)


def test_a_path_that_this_machine_does_not_ask_is_suspect_and_blind():
    one = health(state=UP)
    assert one.blind is False
    assert one.unasked(0, 5.0, every=True) is True
    assert (one.state, one.since, one.blind) == (SUSPECT, 5.0, True)
    assert one.reason == "not measured: this machine does not send its probes"
    assert one.unasked(0, 6.0, every=True) is False  # no news
    assert (one.blind, one.since) == (True, 5.0)


def test_while_another_leg_is_asked_nothing_changes():
    one = health(legs=2, state=UP)
    assert one.unasked(0, 5.0, every=False) is False
    assert (one.state, one.blind) == (UP, False)


def test_an_answer_or_a_silence_ends_blindness():
    one = health(state=UP)
    one.unasked(0, 5.0, every=True)
    assert one.answered(0, 6.0)
    assert (one.state, one.blind) == (UP, False)
    one.unasked(0, 7.0, every=True)
    one.overdue(0, 8.0, 8.1)
    assert (one.state, one.blind) == (SUSPECT, False)


@pytest.mark.parametrize("state", [DOWN, RECOVERING, ABSENT])
def test_only_what_could_be_used_goes_blind(state):
    one = health()
    one.state = state
    assert one.unasked(0, 5.0, every=True) is False
    assert (one.state, one.blind) == (state, False)


def test_a_new_path_that_is_not_asked_is_blind_at_once():
    one = health()
    assert one.blind is False
    assert one.unasked(0, 1.0, every=True) is False  # it was suspect before
    assert one.blind is True


def test_a_leg_that_is_not_asked_owes_no_answer():
    one = health(legs=2, state=UP)
    silence(one, 1.0, leg=1)
    one.unasked(1, 2.0, every=False)
    assert one.answered(0, 2.1)
    assert one.state is UP


def test_what_was_overdue_before_a_leg_was_not_asked_does_not_count():
    one = health(legs=2, state=UP)
    silence(one, 1.0, 1.2, leg=1)
    one.unasked(1, 2.0, every=False)
    silence(one, 3.0, 3.2, leg=1)
    assert one.state is SUSPECT
    silence(one, 3.4, leg=1)
    assert one.state is DOWN
