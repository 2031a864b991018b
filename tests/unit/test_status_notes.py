"""What is noted: outages with their length, paths, orders, reloads; once, in words, and as loud as it is bad."""

import logging

import pytest

from steerd.control.parts.history import history, lines, wanted
from steerd.control.requests import of_history
from steerd.control.server import RefusedError
from steerd.core.effects import PathChanged, PolicyChanged, Shared
from steerd.core.events import Order, Share, Verb
from steerd.core.settings import PathId, PolicyId, PolicySettings, WhenNone
from steerd.core.states import PathState, PolicyState
from steerd.status.notes import Kind, Note, Notes
from tests.unit.driven import Driven, steady

A, P = PathId("fra1/wg0"), PolicyId("default")


@pytest.fixture
def noted():
    return []


@pytest.fixture
def notes(noted):
    return Notes(noted.append)


def test_an_outage_is_an_error_when_it_begins_and_is_told_with_its_length_when_it_is_over(notes, noted):
    notes.policy(PolicyChanged(P, PolicyState.STEERING, PolicyState.HELD, "fra1/wg0: down", 10.0))
    notes.policy(PolicyChanged(P, PolicyState.HELD, PolicyState.LOCAL_OUTAGE, "uplink wan", 12.0))
    notes.policy(PolicyChanged(P, PolicyState.LOCAL_OUTAGE, PolicyState.STEERING, "", 20.0))
    notes.policy(PolicyChanged(P, PolicyState.NONE, PolicyState.STEERING, "", 30.0))  # a first choice is no news
    assert [(one.kind, one.level, one.lasted) for one in noted] == [
        (Kind.OUTAGE, logging.ERROR, None),
        (Kind.OUTAGE, logging.ERROR, None),
        (Kind.OUTAGE, logging.INFO, 10.0),
    ]
    assert noted[0].text == (
        "default: no path can be used; its traffic stays where it was, and goes nowhere (fra1/wg0: down)"
    )
    assert noted[2].text == "default: carried again, after 10s"


def test_a_path_that_somebody_uses_is_a_warning_when_it_goes(notes, noted):
    notes.path(PathChanged(A, PathState.UP, PathState.DOWN, "3 probes unanswered", 5.0, (P,)))
    notes.path(PathChanged(A, PathState.DOWN, PathState.RECOVERING, "answers again", 65.0))
    loud = [(one.level, one.lasted, one.policy) for one in noted]
    assert loud == [(logging.WARNING, None, P), (logging.INFO, 60.0, None)]
    assert noted[0].text == "fra1/wg0 is down: 3 probes unanswered (used by default)"
    assert noted[1].text == "fra1/wg0 is recovering: answers again, after 1m00s down"


def test_orders_shares_and_reloads_are_noted_with_who_gave_them(notes, noted):
    notes.order(Order(Verb.DRAIN, "fra1", until=130.0), 10.0, by="operator root (uid 0, pid 7)")
    notes.order(Order(Verb.PIN, P, to="ams1", hard=True), 10.0, by="signed by alice")
    notes.shared(Shared(P, (), (Share(A, 0.6), Share(PathId("ams1/wg0"), 0.4)), "ams1/wg0 joins", 1.0))
    notes.reloaded([], ["pop lon1 was added"], by="")
    notes.reloaded(["steerd.toml: x"], [], by="root (uid 0, pid 7)")
    assert [(one.kind, one.text, one.policy) for one in noted] == [
        (Kind.ORDER, "drain fra1 for 2m00s, by operator root (uid 0, pid 7)", None),
        (Kind.ORDER, "pin default to ams1, hard, by signed by alice", P),
        (Kind.SHARE, "default: shared by fra1/wg0 60 %, ams1/wg0 40 %: ams1/wg0 joins", P),
        (Kind.RELOAD, "reloaded: pop lon1 was added", None),
        (Kind.RELOAD, "reload refused, by root (uid 0, pid 7): steerd.toml: x", None),
    ]


def test_who_only_observes_has_outages_on_paper(noted):
    Notes(noted.append, on_paper=True).policy(PolicyChanged(P, PolicyState.STEERING, PolicyState.BLOCKED, "x", 1.0))
    assert noted[0].text.startswith("default: on paper, as steerd only observes: no path can be used")


@pytest.mark.parametrize("when_none", list(WhenNone))
def test_the_engine_tells_when_a_policy_cannot_be_carried_and_when_it_is_again(when_none):
    ends = {
        A: lambda now: None if 20.0 < now < 40.0 else 20.0,
        "ams1/wg0": lambda now: None if 15.0 < now < 50.0 else 30.0,
    }
    told = Driven(ends, policies=(PolicySettings(P, when_none=when_none),)).run(80).states
    out = PolicyState.HELD if when_none is WhenNone.KEEP else PolicyState.BLOCKED
    assert [(one.old, one.new) for one in told] == [
        (PolicyState.NONE, PolicyState.STEERING), (PolicyState.STEERING, out), (out, PolicyState.STEERING),
    ]  # fmt: skip
    assert told[1].why.startswith("fra1/wg0: ")
    assert 20.0 < told[1].at < 25.0
    assert 40.0 < told[2].at < 50.0


def test_a_history_has_all_of_it_and_of_it_what_is_wanted():
    event = {"wall_ms": 2_000, **Note(Kind.PATH, 30, "fra1/wg0 is down: x", P, A)._asdict(), "level": "warning"}
    other = {"wall_ms": 3_000, **Note(Kind.ORDER, 20, "drain ams1")._asdict(), "level": "info"}
    row = {"wall_ms": 1_000, "event_id": "1-1", "policy": P, "old": A, "new": "ams1/wg0", "reason": "down"}
    found = history([row], [], [], [event, other, {"broken": 1}])
    assert len(found["events"]) == 2
    assert [line.partition("  ")[2] for line in lines(found)] == ["drain ams1", "! fra1/wg0 is down: x"]

    def counts(**words):
        some = wanted(found, **{"kind": None, "policy": None, "path": None, **words})
        return [len(some["switches"]), len(some["events"])]

    assert counts() == [1, 2]
    assert counts(kind="order") == [0, 1]
    assert counts(policy=P) == [1, 1]
    assert counts(path="fra1") == counts(path=A) == [1, 1]
    assert counts(path="fra") == [0, 0]
    with pytest.raises(RefusedError, match="kind: must be one of switch, outage"):
        of_history({"kind": "noise"}, found)
    assert of_history({"kind": "switch"}, found)["events"] == []


def test_a_first_choice_is_no_outage():
    assert not [one for one in Driven({A: steady(20)}).run(10).switches if one.new is None]
