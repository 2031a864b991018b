"""Who undoes our work now and then is named; who answers each repair is waited out."""

import math
from pathlib import Path

import pytest

from steerd.route.conflicts.conflicts import AGAIN_AND_AGAIN, IN_A_ROW, LONGEST_WAIT, MEMORY, Conflict, Disputes
from steerd.route.conflicts.suspects import suspects
from steerd.route.model.objects import Action, Group, Kind, Nexthop, Routes, RouteType, Rule
from steerd.route.wanted.diff import Change, Difference, Verb

RULE = Rule(4, 4231, Action.LOOKUP, 4200, iif="lo", invert=True)
OTHER = Rule(4, 4202, Action.LOOKUP, 254, suppress=0)


def test_removals_that_are_far_apart_are_repaired_and_never_named() -> None:
    disputes = Disputes()
    for at in range(20):
        assert disputes.missing("rule", at * (MEMORY + 1.0))
    assert disputes.declared == []
    assert disputes.deadline(0.0) == math.inf


def test_removals_now_and_then_are_repaired_at_once_and_named_once() -> None:
    disputes = Disputes()
    for at in range(50):
        assert disputes.missing("rule", at * 5.0)
    assert disputes.declared == [("rule", AGAIN_AND_AGAIN)]


def test_an_answer_to_each_repair_is_waited_out_longer_each_time_and_all_else_goes_on() -> None:
    disputes = Disputes()
    now, put, waits = 0.0, 0, []
    while now < 120.0:
        if disputes.missing("rule", now):
            put += 1
        else:
            waits.append(disputes.deadline(now) - now)
            now = disputes.deadline(now)
            assert disputes.missing("other", now - 0.001)
            continue
        now += 0.05
    assert IN_A_ROW <= put <= IN_A_ROW + 16
    assert waits[:5] == pytest.approx([1.0, 2.0, 4.0, 8.0, LONGEST_WAIT], abs=0.01)
    assert max(waits) == pytest.approx(LONGEST_WAIT)


def test_who_answers_for_days_is_still_waited_out() -> None:
    disputes, now = Disputes(), 0.0
    for _ in range(3 * 86_400 // int(LONGEST_WAIT)):
        now = now + 0.1 if disputes.deadline(now) == math.inf else disputes.deadline(now)
        if not disputes.missing("rule", now):
            assert disputes.deadline(now) - now <= LONGEST_WAIT + 1e-6


def test_what_waits_is_not_counted_twice_and_is_forgotten_in_the_end() -> None:
    disputes = Disputes()
    for at in range(IN_A_ROW + 1):
        disputes.missing("rule", at * 0.1)
    until = disputes.deadline(0.0)
    assert not any(disputes.missing("rule", until - 0.5) for _ in range(5))
    assert disputes.deadline(0.0) == until
    assert disputes.missing("rule", until)
    assert disputes.missing("rule", until + 2.0)  # it stood for two seconds: no answer any more
    disputes.forget(until + 3.0 + MEMORY)
    assert disputes.missing("rule", until + 4.0 + MEMORY)
    assert disputes.deadline(0.0) == math.inf


def test_what_the_kernel_removes_with_something_else_is_nobodys_doing() -> None:
    nexthop, group = Nexthop(1, 4, "a"), Group(9, ((1, 255),))
    routes = Routes(Kind(4, 4200, 1024, RouteType.UNICAST, nexthop=9), bytes(5))
    found = Difference(tuple(Change(Verb.ADD, one) for one in (nexthop, group, routes)), ())
    conflict = Conflict()
    for at in range(IN_A_ROW + 1):
        conflict.look(at * 0.1, blame=True)
        left = conflict.leave(found, 210)
    assert left.additions == found.additions[1:]  # the nexthop alone was ever counted
    assert not math.isinf(conflict.deadline)


def test_a_wait_that_is_over_asks_for_no_further_look() -> None:
    conflict = Conflict()
    for at in range(IN_A_ROW + 1):
        conflict.table_changed("steerd", 1e7 + at * 0.1)
    wait = conflict.deadline
    assert 1e7 < wait < 1e7 + 0.1 * IN_A_ROW + LONGEST_WAIT
    conflict.look(wait, blame=True)
    conflict.leave(Difference((), ()), 210)
    assert math.isinf(conflict.deadline)  # else all would be read again at once, for ten minutes


def test_what_was_put_back_while_nobody_was_to_blame_is_waited_for_no_longer() -> None:
    conflict, found = Conflict(), Difference((Change(Verb.ADD, RULE),), ())
    for at in range(IN_A_ROW + 1):
        conflict.look(at * 0.1, blame=True)
        conflict.leave(found, 210)
    wait = conflict.deadline
    conflict.look(wait, blame=False)
    assert conflict.leave(found, 210) is found
    assert math.isinf(conflict.deadline)


def test_without_anybody_to_blame_nothing_is_ever_left_alone() -> None:
    conflict = Conflict()
    found = Difference((Change(Verb.ADD, RULE),), ())
    for at in range(3 * IN_A_ROW):
        conflict.look(at * 0.1, blame=False)
        assert conflict.leave(found, 210) is found
    assert math.isinf(conflict.deadline)


def test_a_conflict_is_logged_once_in_the_words_of_ip(caplog: pytest.LogCaptureFixture) -> None:
    conflict = Conflict()
    for at in range(3 * AGAIN_AND_AGAIN):
        conflict.look(at * 5.0, blame=True)
        conflict.leave(Difference((Change(Verb.ADD, RULE), Change(Verb.ADD, OTHER)), ()), 210)
        conflict.report(0)
    assert len(caplog.records) == 1
    assert (
        "`ip rule add not iif lo priority 4231 lookup 4200 protocol 210`, and 1 more, for the 5th time" in caplog.text
    )


def process(root: Path, number: int, name: str) -> None:
    folder = root / "proc" / str(number)
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")


def test_a_process_that_can_be_told_is_named_with_what_stops_it(tmp_path: Path) -> None:
    process(tmp_path, 812, "zebra")
    process(tmp_path, 813, "cron")
    assert suspects(812, tmp_path).startswith("it is zebra (process 812): let zebra keep to its own")
    assert suspects(813, tmp_path) == "it is cron (process 813)"
    assert suspects(4_100_000_000, tmp_path).startswith("these may, and run here: FRR (")


def test_without_any_manager_a_script_is_suspected(tmp_path: Path) -> None:
    process(tmp_path, 1, "init")
    assert suspects(0, tmp_path).endswith("perhaps a script")


def test_networkd_is_told_with_its_drop_in(tmp_path: Path) -> None:
    process(tmp_path, 300, "systemd-network")
    assert "ManageForeignRoutingPolicyRules=no" in suspects(300, tmp_path)
