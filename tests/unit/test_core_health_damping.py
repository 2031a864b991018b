"""Coming back: what a path that was down must show, and for how long it ranks behind others."""

import itertools

import pytest

from steerd.core.belief.health import Health
from steerd.core.states import PathState

UP, DOWN, RECOVERING = PathState.UP, PathState.DOWN, PathState.RECOVERING


def down(now, *, legs=1, draw=0.0):
    """A path that has just gone down."""
    one = Health(legs=legs, down_after=0.0, now=now, draw=lambda: draw)
    return fail(one, now)


def fail(one, now):
    for _ in range(3):
        one.overdue(0, now - 0.1, now)
    assert one.state is DOWN
    return one


def recover(one, now):
    """Answers until it is up, at ``now``."""
    for before in (3.0, 1.5, 0.0):
        one.answered(0, now - before)
    assert one.state is UP
    return one


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([0.0, 1.5, 2.99], RECOVERING),
        ([0.0, 1.5, 3.0], UP),
        ([0.0, 0.1, 0.2, 0.3], RECOVERING),
        ([0.0, 10.0], RECOVERING),
        ([0.0, 10.0, 10.1], UP),
    ],
    ids=["too-soon", "three-seconds", "many-at-once", "two-answers", "three-answers"],
)
def test_recovery_takes_three_seconds_and_three_answers(answers, state):
    one = down(100.0)
    told = [one.answered(0, 100.0 + time) for time in answers]
    assert one.state is state
    assert told == [True] + [False] * (len(answers) - 2) + [state is UP]


def test_an_overdue_probe_starts_the_proof_anew():
    one = down(100.0)
    for time in (101.0, 102.0):
        one.answered(0, time)
    assert one.overdue(0, 102.4, 102.5) is False
    for time in (103.0, 104.0, 105.0, 105.4):
        one.answered(0, time)
    assert one.state is RECOVERING  # enough answers, not yet 3 s
    one.answered(0, 105.5)
    assert one.state is UP


def test_answers_before_an_overdue_probe_do_not_count():
    one = down(100.0)
    for time in (101.0, 102.0, 103.0):
        one.answered(0, time)
    one.overdue(0, 103.4, 103.5)
    for time in (106.6, 106.7):
        one.answered(0, time)
    assert one.state is RECOVERING  # long enough, two answers
    one.answered(0, 106.8)
    assert one.state is UP


def test_three_overdue_in_recovery_are_down_again():
    one = down(100.0)
    one.answered(0, 101.0)
    assert [one.overdue(0, time, time + 0.1) for time in (101.2, 101.4, 101.6)] == [False, False, True]
    assert one.state is DOWN


def test_a_leg_that_stays_silent_keeps_the_path_from_coming_back():
    one = down(100.0, legs=2)
    for time in (101.0, 102.0, 103.0, 104.0, 105.0, 106.0):
        one.overdue(1, time - 0.5, time)
        assert not one.answered(0, time)
    assert one.state is DOWN
    assert one.answered(1, 106.5), "the first answer on its last leg begins the proof"
    assert [one.answered(leg, time) for leg, time in ((0, 107.0), (1, 107.5), (0, 109.0), (1, 109.6))] == [
        False, False, False, True,
    ]  # fmt: skip
    assert one.state is UP


@pytest.mark.parametrize(("draw", "length"), [(0.0, 8.0), (0.5, 7.6), (1.0, 7.2)])
def test_the_first_hold_down_is_eight_seconds_less_up_to_a_tenth(draw, length):
    one = recover(down(100.0, draw=draw), 105.0)
    assert one.hold_length == pytest.approx(length)
    assert one.held(105.0) == pytest.approx(length)
    assert one.held(109.0) == pytest.approx(length - 4.0)
    assert one.held(105.0 + length + 1.0) == 0.0
    assert one.reason == f"answered for 3 s; ranks last for {length:.0f} s"


def test_a_path_that_was_never_down_is_not_held():
    one = Health(legs=1, down_after=0.0, now=50.0, draw=lambda: 0.0)
    assert one.held(50.0) == 0.0
    one.answered(0, 51.0)
    assert (one.held(51.0), one.hold_length) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("draw", "apart", "length"),
    [
        (0.0, 600.0, 8.0 + 2 * 4.0),  # half of 8 s is remembered
        (0.0, 1200.0, 8.0 + 2 * 2.0),
        (0.0, 300.0, 8.0 + 2 * 8.0 * 0.5**0.5),
        (1.0, 600.0, 0.9 * (8.0 + 2 * 3.6)),  # what was drawn off is not remembered
    ],
)
def test_a_hold_down_is_eight_seconds_and_twice_what_is_remembered_of_the_last(draw, apart, length):
    """The memory halves every ten minutes, counted from one return to the next."""
    one = recover(down(100.0, draw=draw), 105.0)
    recover(fail(one, 105.0 + apart - 5.0), 105.0 + apart)
    assert one.hold_length == pytest.approx(length)
    assert one.held(105.0 + apart + 1.0) == pytest.approx(length - 1.0)


@pytest.mark.parametrize(("draw", "most"), [(0.0, 600.0), (1.0, 540.0)])
def test_hold_downs_grow_with_relapses_to_ten_minutes_at_most(draw, most):
    one, now, lengths = down(100.0, draw=draw), 105.0, []
    for _ in range(12):
        lengths.append(recover(one, now).hold_length)
        now += 5.0
        fail(one, now - 4.0)
    assert all(before < after for before, after in itertools.pairwise(lengths[:6]))
    assert lengths[-1] == pytest.approx(most)


def test_damping_outlives_a_restart():
    one = down(1000.0)
    one.restore(length=100.0, age=300.0, left=50.0, now=1000.0)
    assert one.held(1000.0) == 50.0
    assert one.held(1049.0) == 1.0
    recover(one, 1300.0)
    assert one.hold_length == pytest.approx(8.0 + 2 * 50.0)  # 100 s, ten minutes ago


@pytest.mark.parametrize(
    ("length", "left", "relapses"),
    [
        (8.0, 8.0, 1.0), (8.0, 4.0, 0.5), (24.0, 24.0, 2.0), (24.0, 6.0, 0.5), (56.0, 56.0, 3.0), (8.0, 0.8, 0.1),
        (8.0, 0.0, 0.0), (8.0, -5.0, 0.0), (0.0, 0.0, 0.0), (0.0, 5.0, 0.0),
    ],
)  # fmt: skip
def test_relapses_count_hold_downs_and_fade_until_the_last_one_ends(length, left, relapses):
    """8, 8 + 2 x 8, 8 + 2 x 24 seconds: one more each."""
    one = down(100.0)
    one.restore(length=length, age=0.0, left=left, now=100.0)
    assert one.relapses(100.0) == pytest.approx(relapses)


def test_a_path_that_was_never_down_has_no_relapses():
    assert Health(legs=1, down_after=0.0, now=50.0, draw=lambda: 0.0).relapses(60.0) == 0.0


def test_other_settings_ask_for_another_time_without_an_answer():
    one = Health(legs=1, down_after=0.0, now=0.0, draw=lambda: 0.0)
    one.answered(0, 1.0)
    one.configure(5.0)
    for sent in (2.0, 3.0, 4.0, 6.0):
        assert one.state is not DOWN
        one.overdue(0, sent, sent + 0.5)
    assert one.state is not DOWN
    one.overdue(0, 6.9, 7.0)
    assert one.state is DOWN


def renew(one, now, *, away=0.2, device=True):
    """Its address goes and comes back; it is up again 5 s later."""
    one.link(False, now, "the kernel refused next hop 192.0.2.1: Nexthop has invalid gateway", device=device)
    one.link(True, now + away)
    return recover(one, now + away + 5.0)


def test_an_address_that_is_renewed_again_and_again_is_no_relapse():
    """As DHCP does, and as some clients do it: deleted, and added a moment later."""
    one = recover(down(0.0), 10.0)
    holds = [round(renew(one, now).hold_until - one.since) for now in range(100, 300, 20)]
    assert holds == [8] * 10
    assert one.reason == "answered for 3 s; ranks last for 8 s"
    holds = [round(renew(one, now, device=False).hold_until - one.since) for now in range(300, 360, 20)]
    assert 8 < holds[0] < holds[-1], "a device that flaps is one"
    before = one.hold_length
    holds = [round(renew(one, now, away=6.0).hold_until - one.since) for now in range(1400, 1460, 20)]
    assert holds == sorted(set(holds)), "so is an address that stays away"
    assert before > 8.0


def test_a_renewal_forgets_no_relapse_and_an_outage_after_it_is_one():
    one = recover(down(0.0), 10.0)
    long = recover(fail(one, 30.0), 40.0).hold_length
    assert renew(one, 60.0).hold_length == pytest.approx(long * 0.5 ** (25.2 / 600.0))
    one.link(False, 100.0, "no address", device=True)
    one.link(True, 100.2)
    one.answered(0, 100.4)
    fail(one, 101.0)
    recover(one, 110.0)
    assert one.hold_length > long


def test_why_nothing_can_be_routed_there_is_kept_up_to_date():
    one = recover(down(0.0), 10.0)
    assert one.link(False, 20.0, "device wg0 is down")
    assert not one.link(False, 21.0, "device wg0 does not exist")
    assert (one.reason, one.since) == ("device wg0 does not exist", 20.0)


def away(one, *told, back):
    """What is told of its link, at which time, until it is back; then it is up again. The hold-down, rounded."""
    for now, device in told:
        one.link(False, now, "gone", device=device)
    one.link(True, back)
    recover(one, back + 5.0)
    return round(one.hold_length)


def test_what_is_a_renewal():
    one = recover(down(0.0), 10.0)
    long = round(one.hold_length)
    assert away(one, (100.0, True), back=105.0) == long  # five seconds, to the last
    assert away(one, (200.0, True), (201.0, True), back=202.0) == long  # told twice, in other words
    assert away(one, (300.0, True), (301.0, False), back=302.0) > long  # the device went as well
    other = recover(down(0.0), 10.0)
    assert away(other, (100.0, False), (101.0, True), back=102.0) > long  # it was the device that went


def test_a_link_that_goes_without_a_word_of_its_device_is_no_renewal():
    one = recover(down(0.0), 10.0)
    before = one.hold_length
    one.link(False, 100.0)
    one.link(True, 100.2)
    recover(one, 106.0)
    assert one.hold_length > before


def test_a_hold_down_is_as_long_as_it_was_drawn_also_at_the_most():
    draws = iter([0.0] * 9 + [1.0])
    one = Health(legs=1, down_after=0.0, now=0.0, draw=lambda: next(draws))
    for now in range(10, 190, 20):
        recover(fail(one, float(now)), now + 10.0)
    assert one.hold_length == 600.0
    recover(fail(one, 200.0), 210.0)
    assert one.hold_length == pytest.approx(540.0)  # less than what is remembered, and drawn so
