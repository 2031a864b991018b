"""What an operator is told of an order: what it did, or why not. The engine is real."""

import re

import pytest

from steerd.control.requests import declined, given, moved, moved_policy
from steerd.control.server import RefusedError
from steerd.core.effects import Declined
from steerd.core.events import Order, PopState, Verb
from steerd.core.settings import PolicyId, PolicySettings, WhenNone
from tests.unit.driven import Driven, steady

FRA, AMS = "fra1/wg0", "ams1/wg0"
TWO_MINUTES = 120.0


@pytest.fixture
def driven():
    return Driven({FRA: steady(30.0), AMS: steady(40.0)}).run(30.0)


def ordered(driven, verb, subject, to=None, *, until=None, hard=False):
    """What steerctl prints: the order is given now, for ``until`` seconds."""
    order = Order(verb, subject, to, None if until is None else driven.now + until, hard=hard)
    before = driven.view()
    for effect in driven.feed(order):
        if isinstance(effect, Declined):
            return declined(order, effect.reason, before)
    return given(order, driven.now, before, driven.view())


def test_a_drain_tells_for_how_long_and_who_moves(driven):
    assert ordered(driven, Verb.DRAIN, "fra1", until=TWO_MINUTES) == f"fra1 is drained for 2m; default moves to {AMS}"


def test_a_drain_without_end_tells_what_ends_it(driven):
    assert ordered(driven, Verb.DRAIN, "ams1") == "ams1 is drained, until `steerctl undrain ams1`"
    assert ordered(driven, Verb.UNDRAIN, "ams1") == "ams1 may be used again"


def test_the_last_path_drained_is_a_policy_blocked():
    block = PolicySettings(PolicyId("default"), when_none=WhenNone.BLOCK)
    driven = Driven({FRA: steady(30.0), AMS: steady(40.0)}, policies=(block,)).run(30.0)
    ordered(driven, Verb.DRAIN, "ams1")
    assert ordered(driven, Verb.DRAIN, "fra1").endswith("; default is blocked: no path is left")


def test_pins(driven):
    said = ordered(driven, Verb.PIN, "default", "ams1", until=3600.0)
    assert said == f"default is pinned to ams1 for 1h; default moves to {AMS}"
    said = ordered(driven, Verb.PIN, "default", "ams1", hard=True)
    assert said == "default is pinned to ams1, until `steerctl unpin default`, also while that is down"
    assert ordered(driven, Verb.UNPIN, "default").startswith("default is no longer pinned")


@pytest.mark.parametrize(
    ("paths", "let_go", "unsure", "said"),
    [
        ((AMS,), 1312, 0, f"1,312 connections of p let go; all of it goes by {AMS} now"),
        ((AMS, FRA), 1, 0, f"1 connection of p let go; all of it goes by {AMS} and {FRA} now"),
        ((AMS,), 0, 0, f"nothing of p is pinned to another path: all of it goes by {AMS}"),
        ((AMS,), 2, 7, f"2 connections of p let go; it goes by {AMS} now, but for 7 that may be another policy's: "),
    ],
)
def test_what_was_let_go(paths, let_go, unsure, said):
    assert moved(PolicyId("p"), paths, let_go, unsure).startswith(said)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"policy": "voice"}, "must be told now"),
        ({"policy": "voise", "now": True}, 'there is no policy "voise"; did you mean "voice"?'),
        ({"now": True}, "must name a policy"),
    ],
)
def test_what_is_not_let_go(request_, said):
    with pytest.raises(RefusedError, match=re.escape(said)):
        moved_policy(request_, ["voice", "data"])
    assert moved_policy({"policy": "voice", "now": True}, ["voice", "data"]) == "voice"


def test_who_else_drained_it_is_named(driven):
    assert ordered(driven, Verb.UNDRAIN, "fra1") == "fra1 is not drained by an operator"
    driven.feed(Order(Verb.DRAIN, "fra1", origin="signed by alice"))
    assert ordered(driven, Verb.UNDRAIN, "fra1") == "fra1 is not drained by an operator, but by: signed by alice"


def test_an_operators_undrain_beats_the_pops_own_word(driven):
    driven.feed(PopState("fra1", accepting=False))
    assert ordered(driven, Verb.UNDRAIN, "fra1").startswith("fra1 may be used again")
    assert driven.view().drains == ()
