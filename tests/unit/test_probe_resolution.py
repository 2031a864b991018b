"""One name in one family: which address is used, when it is asked for again, and what is said."""

import math
import socket
from zlib import crc32

import pytest

from steerd.probe.names.resolution import Note, Resolution, next_to_ask, usable, words


def spread(name: str, family: int = 4) -> float:
    return 0.9 + 0.2 * crc32(f"{name}/{family}".encode()) / 2**32


def test_it_is_asked_for_at_once_and_then_every_five_minutes_or_so():
    one = Resolution("fra1", 4, None)
    assert (one.next_at, one.address) == (-math.inf, None)
    assert one.answered(["10.0.0.1"], 0.01, 1000.0) == Note("resolved: 10.0.0.1", failing=False)
    assert one.next_at == pytest.approx(1000 + 300 * spread("fra1"))
    assert one.answered(["10.0.0.1"], 0.01, 1300.0) is None
    nexts = []
    for number in range(100):
        other = Resolution(f"pop{number}", 4, None)
        other.answered(["10.0.0.1"], 0.01, 0.0)
        nexts.append(other.next_at)
    assert 270 <= min(nexts) < 280
    assert 320 < max(nexts) <= 330


def test_the_address_in_use_is_kept_while_it_is_among_the_answers():
    one = Resolution("fra1", 4, None)
    said = one.answered(["10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.3"], 0.01, 0.0)
    assert said == Note("resolved: 10.0.0.3 (the first of 3 addresses)", failing=False)
    assert one.answered(["10.0.0.1", "10.0.0.2", "10.0.0.3"], 0.01, 300.0) is None
    assert one.address == "10.0.0.3"
    said = one.answered(["10.0.0.2", "10.0.0.1"], 0.01, 600.0)
    assert said == Note(
        "resolved: 10.0.0.2 (the first of 2 addresses), instead of 10.0.0.3, which is not among its addresses",
        failing=False,
    )
    assert one.address == "10.0.0.2"


def test_after_failures_it_is_asked_for_less_and_less_often():
    one = Resolution("fra1", 4, None)
    waits = []
    now = 0.0
    for _ in range(9):
        one.failed("no name server could tell", 0.01, now)
        waits.append((one.next_at - now) / spread("fra1"))
        now = one.next_at
    assert waits == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300, 300])
    one.answered(["10.0.0.1"], 0.01, now)
    one.failed("no name server could tell", 0.01, now)
    assert (one.next_at - now) / spread("fra1") == pytest.approx(5)
    for _ in range(2000):
        one.failed("no name server could tell", 0.01, now)
    assert one.next_at - now <= 330


def test_a_failure_keeps_the_address_and_is_said_once():
    one = Resolution("fra1", 4, None)
    assert one.failed("there is no such name", 0.01, 0.0) == Note(
        "not resolved: there is no such name; not probed before it is", failing=True
    )
    assert one.failed("there is no such name", 0.01, 5.0) is None
    one.answered(["10.0.0.1"], 0.01, 15.0)
    assert one.failed("there is no such name", 0.01, 315.0) == Note(
        "not resolved: there is no such name; 10.0.0.1 stays in use", failing=True
    )
    assert one.address == "10.0.0.1"
    assert one.failed("no IPv4 address", 0.01, 320.0) is not None
    assert one.failed("no IPv4 address", 0.01, 330.0) is None
    assert one.answered(["10.0.0.1"], 0.01, 350.0) == Note("resolved: 10.0.0.1", failing=False)


def test_silence_is_said_once_and_only_of_a_name_that_was_well():
    one = Resolution("fra1", 4, None)
    assert one.silent(4.9) is None
    assert one.silent(5.0) == Note("not resolved: no answer yet; not probed before it is", failing=True)
    assert one.silent(9.0) is None
    assert one.failed("no name server could tell", 10.0, 10.0) is not None
    assert one.silent(5.0) is None
    assert one.failed("no name server could tell", 10.0, 30.0) is None


def test_what_an_earlier_run_found_is_used_until_there_is_an_answer():
    one = Resolution("fra1", 6, "2001:db8::1")
    assert one.address == "2001:db8::1"
    assert one.begin() == Note("2001:db8::1, which an earlier run found, is used until the name is resolved", False)
    assert one.failed("no name server could tell", 0.01, 0.0) == Note(
        "not resolved: no name server could tell; 2001:db8::1 stays in use", failing=True
    )
    assert one.answered(["2001:db8::1"], 0.01, 5.0) == Note("resolved: 2001:db8::1", failing=False)
    fresh = Resolution("fra1", 6, "2001:db8::1")
    assert fresh.answered(["2001:db8::1"], 0.01, 5.0) == Note("resolved: 2001:db8::1", failing=False)
    assert fresh.answered(["2001:db8::1"], 0.01, 305.0) is None
    other = Resolution("fra1", 6, "2001:db8::1")
    other.answered(["2001:db8::2"], 0.01, 0.0)
    assert other.address == "2001:db8::2"


@pytest.mark.parametrize("known", ["10.0.0.1", "fe80::1", "", "fra1", "2001:db8::1%eth0", "2001:db8::1\0"])
def test_what_was_remembered_is_not_believed_unseen(known):
    one = Resolution("fra1", 6, known)
    assert one.address is None
    assert one.begin() is None


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        (4, "10.0.0.1", True),
        (4, "0.0.0.0", False),
        (4, "0.1.2.3", False),
        (4, "224.0.0.1", False),
        (4, "255.255.255.255", False),
        (4, "2001:db8::1", False),
        (6, "2001:db8::1", True),
        (6, "::", False),
        (6, "ff02::1", False),
        (6, "fe80::1", False),
        (6, "fe80::1%eth0", False),
        (6, "::ffff:10.0.0.1", False),
        (6, "10.0.0.1", False),
    ],
)
def test_what_can_be_a_target(family, address, expected):
    assert usable(family, address) is expected


def test_answers_that_can_not_be_targets_are_passed_over():
    one = Resolution("fra1", 4, None)
    assert one.answered(["0.0.0.0", "10.0.0.1"], 0.01, 0.0) == Note("resolved: 10.0.0.1", failing=False)
    assert one.answered(["0.0.0.0"], 0.01, 300.0) == Note(
        "not resolved: 0.0.0.0 is no address that can be probed; 10.0.0.1 stays in use", failing=True
    )
    assert one.next_at == pytest.approx(300 + 5 * spread("fra1"))
    other = Resolution("fra1", 6, None)
    assert other.answered([], 0.01, 0.0) == Note("not resolved: no IPv6 address; not probed before it is", failing=True)


def due(number: int, took: float) -> Resolution:
    one = Resolution(f"pop{number}", 4, None)
    one.failed("no name server could tell", took, -1000.0)
    one.next_at = float(number)
    return one


def test_who_waits_longest_is_asked_for_first():
    ones = [due(number, 0.01) for number in (3, 1, 2)]
    assert [one.next_at for one in next_to_ask(ones, 2, 2)] == [1, 2]
    assert list(next_to_ask(ones, 0, 2)) == []


def test_names_that_hang_leave_threads_to_the_others():
    hanging, quick = [due(number, 10.0) for number in range(9)], [due(number, 0.5) for number in range(10, 12)]
    assert [one.next_at for one in next_to_ask([*hanging, *quick], 4, 2)] == [0, 1, 10, 11]
    assert [one.next_at for one in next_to_ask([*hanging, *quick], 2, 0)] == [10, 11]
    assert [one.next_at for one in next_to_ask(hanging, 4, 2)] == [0, 1]
    hanging[0].answered(["10.0.0.1"], 0.01, 0.0)
    assert not hanging[0].slow


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "there is no such name"),
        (socket.gaierror(socket.EAI_NODATA, "No address"), "no IPv6 address"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "no name server could tell"),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), "Non-recoverable failure"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (OSError(), "the resolver failed"),
    ],
)
def test_why_there_is_no_answer(error, said):
    assert words(error, 6) == said
