"""Who hears of what happens, and in which order."""

from steerd.core.effects import Declined, Fact, PathChanged, Shared, Switched
from steerd.core.events import Link
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, Reason
from steerd.status.stream import Stream

SWITCHED = Switched("1-1", PolicyId("p"), None, PathId("a"), Reason.START, 0.0, "first", {}, {}, {})
CHANGED = PathChanged(PathId("a"), PathState.UP, PathState.DOWN, "", 0.0)
SHARED = Shared(PolicyId("p"), (), (), "", 0.0)
DECLINED = Declined(Link(PathId("a"), up=True), "unknown path")


def test_every_fact_reaches_everybody_who_listens_for_facts():
    facts, heard = Stream(), []
    facts.listen(Fact, heard.append)
    for fact in (SWITCHED, CHANGED, SHARED, DECLINED):
        facts.tell(fact)
    assert heard == [SWITCHED, CHANGED, SHARED, DECLINED]


def test_who_listens_for_one_kind_hears_of_no_other():
    facts, heard = Stream(), []
    facts.listen(Switched, lambda fact: heard.append(("first", fact)))
    facts.listen(PathChanged | Switched, lambda fact: heard.append(("second", fact)))
    for fact in (SHARED, CHANGED, SWITCHED):
        facts.tell(fact)
    assert heard == [("second", CHANGED), ("first", SWITCHED), ("second", SWITCHED)]


def test_a_listener_that_fails_keeps_nobody_from_hearing(caplog):
    facts, heard = Stream(), []
    facts.listen(Switched, lambda _: 1 / 0)
    facts.listen(Switched, heard.append)
    facts.tell(SWITCHED)
    assert heard == [SWITCHED]
    assert "Switched was not taken by everybody who listens" in caplog.text
    assert "ZeroDivisionError" in caplog.text
