"""What PoPs say over the network: it moves traffic, and every word has an end."""

import pytest

from steerd.core.effects import Declined
from steerd.core.events import Order, PopState, Verb
from steerd.core.memory import DrainMemory, Memory, PinMemory
from steerd.core.policy.drains_and_pins import AGAIN_WITHIN, CALM, CHANGES, POP, STANDS, local, unconfirmed
from steerd.core.settings import PathId, PolicyId
from tests.unit.driven import Driven, steady

FRA, AMS = PathId("fra1/wg0"), PathId("ams1/wg0")
DELAYS = {FRA: steady(30.0), AMS: steady(40.0)}
NO, YES = PopState("fra1", accepting=False), PopState("fra1", accepting=True)
SIGNED = "signed by alice"


@pytest.fixture
def driven():
    return Driven(DELAYS).run(30.0)


def drains(driven):
    return [(one.pop, one.origin) for one in driven.view().drains]


def after_a_restart(driven):
    return Driven(DELAYS, memory=unconfirmed(driven.engine.memory(driven.now))).run(10.0)


def test_a_pop_that_an_operator_undrains_is_used_until_it_has_accepted_and_says_no_once_more(driven):
    driven.feed(NO)
    assert driven.policy().choice == AMS
    driven.feed(Order(Verb.UNDRAIN, "fra1"))
    driven.run(120.0)
    assert driven.policy().choice == FRA
    driven.feed(NO)  # as it says each minute
    assert (driven.policy().choice, drains(driven)) == (FRA, [])
    driven.feed(YES)
    driven.feed(NO)
    assert (driven.policy().choice, drains(driven)) == (AMS, [("fra1", POP)])


def toggled(driven, every, until):
    """What the engine said of it."""
    said, accepting = [], False
    while driven.now < until - 1e-9:
        said += driven.feed(PopState("fra1", accepting=accepting))
        accepting = not accepting
        driven.run(driven.now + every)
    return [effect.reason for effect in said if isinstance(effect, Declined)]


@pytest.mark.parametrize("every", [0.1, 0.5, 1.5, 5.0])
def test_a_pop_that_keeps_changing_its_word_is_left_and_that_is_said(driven, every):
    said = toggled(driven, every, 90.0)
    assert len(driven.switches) <= 1 + 2 * CHANGES
    assert driven.policy().choice == AMS
    assert 1 <= len(said) <= 3
    assert set(said) == {"the PoP keeps changing its word"}
    assert drains(driven) == [("fra1", "pop, which keeps changing its word")]
    driven.feed(YES)
    driven.feed(YES)
    driven.run(driven.now + CALM - every - 1.0)
    assert drains(driven) != []
    driven.run(driven.now + every + 1.0)
    assert drains(driven) == []


def test_what_a_pop_says_stands_for_a_moment(driven):
    driven.feed(NO)
    driven.feed(YES)
    (drain,) = driven.view().drains
    assert (drain.origin, drain.left) == (POP, STANDS)
    driven.run(driven.now + STANDS)
    assert drains(driven) == []
    driven.feed(NO)
    driven.run(driven.now + STANDS)
    driven.feed(YES)
    assert drains(driven) == []


def test_who_changes_its_word_now_and_then_is_followed_each_time(driven):
    for n in range(6):
        driven.run(30.0 + 60.0 * n)
        driven.feed(NO)
        assert drains(driven) == [("fra1", POP)]
        driven.run(50.0 + 60.0 * n)
        driven.feed(YES)
        assert drains(driven) == []


def test_when_its_broker_is_gone_a_pops_word_ends_at_once_and_so_does_what_overruled_it(driven):
    toggled(driven, 0.5, 60.0)
    driven.feed(Order(Verb.UNDRAIN, "fra1", origin=POP))
    assert drains(driven) == []
    driven.feed(NO)
    driven.feed(Order(Verb.UNDRAIN, "fra1"))
    driven.feed(Order(Verb.UNDRAIN, "fra1", origin=POP))
    driven.feed(NO)
    assert drains(driven) == [("fra1", POP)]


def test_an_operator_undrains_a_pop_that_keeps_changing_its_word(driven):
    toggled(driven, 0.5, 60.0)
    driven.feed(Order(Verb.UNDRAIN, "fra1"))
    assert drains(driven) == []


def test_that_an_operator_undrained_a_pop_survives_a_restart(driven):
    driven.feed(NO)
    driven.feed(Order(Verb.UNDRAIN, "fra1"))
    again = after_a_restart(driven)
    again.feed(NO)  # retained by the broker
    assert drains(again) == []


def test_one_undrain_ends_the_operators_drain_and_the_pops_word(driven):
    driven.feed(NO)
    driven.feed(Order(Verb.DRAIN, "fra1"))
    driven.feed(Order(Verb.UNDRAIN, "fra1"))
    assert drains(driven) == []


def test_a_word_that_an_earlier_run_heard_ends_by_itself_unless_it_is_said_again(driven):
    driven.feed(NO)
    silent, spoken = after_a_restart(driven), after_a_restart(driven)
    assert drains(silent) == [("fra1", POP)]
    spoken.feed(NO)
    for one in (silent, spoken):
        one.engine.feed(None, AGAIN_WITHIN + 1.0)
        one.now = AGAIN_WITHIN + 1.0
    assert drains(silent) == []
    assert drains(spoken) == [("fra1", POP)]


def test_what_came_over_the_network_is_told_from_what_was_ordered_here():
    policy = PolicyId("default")
    mine = Memory(
        pins=(PinMemory(policy, "fra1", False, None, "operator"),), drains=(DrainMemory("ams1", None, "operator"),)
    )
    theirs = Memory(
        pins=(*mine.pins, PinMemory(policy, "ams1", False, 60.0, SIGNED)),
        drains=(*mine.drains, DrainMemory("fra1", None, POP), DrainMemory("fra1", 60.0, SIGNED)),
        overruled=("fra1",),
    )
    assert local(theirs) == mine
