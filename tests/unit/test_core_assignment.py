"""What the kernel's word means, by what was asked of it: every row of the table in assignment.py."""

import pytest

from steerd.core.events import Installed, Share
from steerd.core.policy.assignment import REFUSED_FIRST, REFUSED_MAX, Answer, Assignment
from steerd.core.settings import PathId, PolicyId

A, B, C = PathId("a/w"), PathId("b/w"), PathId("c/w")
ALL = PolicyId("all")


def wanting(best, runner=None, *, awaited=True):
    one = Assignment()
    one.want(best, runner)
    if awaited:
        one.ask(10.0)
    return one


def told(one, best, runner=None, now=11.0, **rest):
    return one.installed(Installed(ALL, best, runner, **rest), now)


@pytest.mark.parametrize(
    ("best", "error", "awaited", "answer", "wanted", "pending"),
    [
        (A, None, True, Answer.AGREED, A, False),
        (A, None, False, Answer.AGREED, A, False),
        (B, "refused", True, Answer.OTHER, B, False),
        (None, "refused", True, Answer.OTHER, None, False),
        (B, "refused", False, Answer.OTHER, B, False),
        (B, None, True, Answer.LATE, A, True),
        (None, None, True, Answer.LATE, A, True),
        (None, None, False, Answer.TAKEN, A, False),
        (B, None, False, Answer.OTHER, B, False),
    ],
    ids=[
        "agreed", "agreed-unasked", "refused", "refused-with-nothing-there", "failed-unasked", "late",
        "late-and-nothing-there", "taken-away", "somebody-else-chose",
    ],
)  # fmt: skip
def test_what_is_told_means_by_what_was_asked(best, error, awaited, answer, wanted, pending):
    one = wanting(A, awaited=awaited)
    assert told(one, best, C, error=error) is answer
    assert (one.choice, one.runner_up) == (best, C)  # whatever it means: that is what the kernel has
    assert one.wanted == wanted
    assert (one.pending_since is not None) is pending


def test_only_what_was_asked_for_and_refused_is_left_alone():
    refused = wanting(A)
    told(refused, B, error="No such device")
    assert refused.refusal(A, 11.5) == "No such device"
    assert refused.refusal(B, 11.5) is None
    unasked = wanting(A, awaited=False)
    told(unasked, B, error="No such device")
    assert unasked.refusal(A, 11.5) is None
    assert unasked.error == "No such device"


def test_nothing_asked_for_cannot_be_refused():
    one = wanting(None)
    assert told(one, B, error="busy") is Answer.OTHER
    assert (one.wanted, one.refused_until(11.0)) == (B, float("inf"))


def test_a_refusal_is_forgiven_in_time_and_waits_twice_as_long_each_time():
    one, now, waits = Assignment(), 100.0, []
    for _ in range(9):
        one.want(A, None)
        one.ask(now)
        told(one, B, error="busy", now=now)
        waits.append(one.refused_until(now) - now)
        assert one.refusal(A, now + waits[-1] - 0.01) == "busy"
        assert one.refusal(A, now + waits[-1]) is None
        now += waits[-1]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert (waits[0], waits[-1]) == (REFUSED_FIRST, REFUSED_MAX)
    assert one.refused_until(now) == float("inf")


def test_an_agreement_forgives_all_that_was_refused_before():
    one = wanting(A)
    told(one, B, error="busy")
    one.want(A, None)
    one.ask(20.0)
    assert told(one, A, now=20.0) is Answer.AGREED
    assert (one.error, one.refused_until(20.0)) == (None, float("inf"))
    one.ask(21.0)
    told(one, B, error="busy", now=21.0)
    assert one.refused_until(21.0) == 22.0  # the first again


def test_the_soonest_of_several_refusals_ends_first():
    one = wanting(A)
    told(one, B, error="busy", now=11.0)
    one.want(C, None)
    one.ask(11.5)
    told(one, B, error="busy", now=11.5)
    assert one.refused_until(11.6) == 12.0
    assert one.refused_until(12.0) == 12.5


def test_a_mismatch_is_shown_and_ends_with_the_next_answer():
    one = wanting(A)
    assert told(one, A, mismatch="packets leave elsewhere") is Answer.AGREED
    assert one.error == one.mismatch == "packets leave elsewhere"
    told(one, A, error="busy")
    assert (one.error, one.mismatch) == ("busy", None)
    told(one, A)
    assert (one.error, one.mismatch) == (None, None)
    one = wanting(A, awaited=False)
    told(one, B, mismatch="packets leave elsewhere")
    assert one.error == "packets leave elsewhere"


def test_what_somebody_else_chose_brings_its_runner_up_and_its_shares():
    one = wanting(A, C, awaited=False)
    shares = (Share(B, 0.5), Share(C, 0.5))
    told(one, B, A, shares=shares)
    assert (one.wanted, one.runner, one.shares) == (B, A, shares)


def test_what_is_agreed_keeps_the_runner_up_that_is_wanted():
    one = wanting(A, C)
    told(one, A, B)
    assert (one.runner, one.runner_up) == (C, B)


def test_nothing_is_known_at_first():
    one = Assignment()
    assert (one.wanted, one.choice, one.shares, one.error, one.pending_since) == (None, None, (), None, None)
    assert told(one, None) is Answer.AGREED
    assert told(one, A) is Answer.OTHER
