"""The journal's line of each switch, as real engines make them."""

import logging

from steerd.core.effects import Declined, PathChanged
from steerd.core.events import Configured, Installed, Link, Order, Verb
from steerd.core.settings import PathId, PolicyId, PolicySettings, WhenNone
from steerd.core.states import PathState
from steerd.daemon.driver import Driver
from steerd.daemon.journal import Journal
from tests.unit.driven import Driven, steady, stepped

FRA, AMS = PathId("fra1/wg0"), PathId("ams1/wg0")
BLOCK = (PolicySettings(PolicyId("default"), when_none=WhenNone.BLOCK),)


def told(switches):
    """What a driver would log of these."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("steerd")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    try:
        driver = Driver(Driven({FRA: steady(30)}).engine)
        Journal(driver, lambda *_: None, observing=False)
        for switch in switches:
            driver.facts.tell(switch)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    return lines


def test_a_rule_says_by_how_much_and_which_it_was():
    first, better = told(Driven({FRA: stepped(30, 60, 55), AMS: steady(32)}).run(90).switches)
    assert first == "default: nothing -> fra1/wg0: the first choice, event 17-1"
    begin, end = better.split(" ms cheaper (rule: quick), event 17-2")
    assert begin.startswith("default: fra1/wg0 -> ams1/wg0: ")
    assert (10.0 < float(begin.rpartition(" ")[2]) < 25.0, end) == (True, "")


def test_what_is_forced_says_by_what():
    driven = Driven({FRA: stepped(30, 60, None), AMS: steady(32)}, policies=BLOCK).run(70)
    driven.feed(Order(Verb.DRAIN, "ams1"))
    driven.run(71)
    driven.feed(Order(Verb.UNDRAIN, "ams1"))
    driven.run(75)
    driven.feed(Link(AMS, up=False))
    driven.run(76)
    lines = told(driven.switches)
    assert lines[1].startswith("default: fra1/wg0 -> ams1/wg0: fra1/wg0 is down: 3 probes in a row unanswered over ")
    assert lines[1].endswith(" s, event 17-2")
    assert [line.partition(": ")[2] for line in lines[2:]] == [
        "ams1/wg0 -> blocked: ams1 is drained (operator), event 17-3",
        "nothing -> ams1/wg0: a drain ended, event 17-4",
        "ams1/wg0 -> blocked: ams1/wg0 is absent: " + driven.view().paths[1].reason + ", event 17-5",
    ]


def test_orders_the_kernel_and_the_configuration_are_named():
    driven = Driven({FRA: steady(30), AMS: steady(32)}).run(20)
    driven.feed(Order(Verb.PIN, "default", "ams1", origin="signed by alice"))
    driven.run(25)
    driven.feed(Order(Verb.UNPIN, "default", origin="signed by alice"))
    driven.feed(Installed(PolicyId("default"), FRA))
    forbidden = (PolicySettings(PolicyId("default"), forbidden=((FRA, "region us is not among de"),)),)
    driven.feed(Configured(Driven(driven.delays, policies=forbidden).settings))
    assert [line.split(": ", 2)[2] for line in told(driven.switches)[1:]] == [
        "pinned (signed by alice), event 17-2",
        "the kernel has it so, event 17-3",
        "fra1/wg0 may not be used: region us is not among de, event 17-4",
    ]


def test_what_a_path_does_several_times_a_minute_is_told_to_who_looks_closely_alone(caplog):
    caplog.set_level(logging.DEBUG, "steerd")
    kept = []
    driver = Driver(Driven({FRA: steady(30)}).engine)
    Journal(driver, lambda _, note: kept.append(note), observing=False)
    driver.facts.tell(PathChanged(FRA, PathState.UP, PathState.SUSPECT, "a probe is overdue", 1.0))
    driver.facts.tell(PathChanged(FRA, PathState.SUSPECT, PathState.DOWN, "three are", 2.0))
    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [
        ("DEBUG", "fra1/wg0 is suspect: a probe is overdue"),
        ("INFO", "fra1/wg0 is down: three are"),
    ]
    assert [note.text for note in kept] == ["fra1/wg0 is down: three are"]


def test_a_declined_order_is_no_order(caplog):
    caplog.set_level(logging.INFO, "steerd")
    kept = []
    driver = Driver(Driven({FRA: steady(30)}).engine)
    Journal(driver, lambda _, note: kept.append(note), observing=False)
    refused, taken = Order(Verb.DRAIN, "nowhere"), Order(Verb.DRAIN, "fra1")
    driver.facts.tell(Declined(refused, "unknown PoP"))
    driver.events.tell(refused)
    driver.events.tell(taken)
    assert [note.text for note in kept] == ["drain fra1, by operator"]
    assert [line.getMessage() for line in caplog.records] == [
        "declined: unknown PoP (Order)",
        "drain fra1, by operator",
    ]
