"""Loss and variation of each direction, against a path that knows what it did to every packet."""

import random
import tracemalloc
from collections.abc import Iterable
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core.views import Directions
from steerd.probe.stamp.direction import WINDOW, DirectionLog, numbers

UNKNOWN = (None, None)


class Reflector:
    """Counts what reaches it; a stateless one copies."""

    def __init__(self, *, stateful: bool = True, number: int = 0) -> None:
        self.number = number
        self.stateful = stateful

    def reflect(self, sequence: int) -> int:
        self.number += 1
        return self.number - 1 if self.stateful else sequence


def run(
    log: DirectionLog, reflector: Reflector, fates: Iterable[str], sequences: Iterable[int] | None = None
) -> tuple[float | None, float | None]:
    """A letter for each probe: answered, lost out, lost back, or doubled on the way out."""
    for sequence, fate in zip(sequences or numbers(), fates, strict=False):
        log.sent(sequence)
        if fate in "abd":
            answers = [reflector.reflect(sequence) for _ in range(2 if fate == "d" else 1)]
            if fate != "b":
                for answer in answers:
                    log.replied(sequence, answer)
        log.settled(sequence)
    return log.read()[:2]


def test_a_session_leaves_one_number_out():
    assert list(islice(numbers(), 4)) == [0, 2, 3, 4]


def test_nothing_is_known_of_nothing():
    assert DirectionLog().read() == Directions()
    assert run(DirectionLog(), Reflector(), "oooo") == UNKNOWN
    assert run(DirectionLog(), Reflector(), "oaoo") == UNKNOWN


def test_losses_are_told_apart():
    assert run(DirectionLog(), Reflector(), "aaaaaaaaaa") == (0.0, 0.0)
    assert run(DirectionLog(), Reflector(), "aaaoaaaaoa") == (0.2, 0.0)
    assert run(DirectionLog(), Reflector(), "aaabaaaaba") == (0.0, 0.2)
    assert run(DirectionLog(), Reflector(), "aboobaobba") == (0.3, 4 / 7)


def test_what_lies_beyond_the_last_answer_is_nobodys_yet():
    log = DirectionLog()
    assert run(log, Reflector(), "oobaaaaobb") == (0.0, 0.0)
    assert run(log, Reflector(number=7), "a", [20]) == (1 / 8, 2 / 7)


def test_a_stateless_reflector_tells_nothing_of_losses():
    reflector = Reflector(stateful=False)
    assert run(DirectionLog(), reflector, "aaaa") == (0.0, 0.0)
    assert run(DirectionLog(), reflector, "aoba") == UNKNOWN


def test_a_packet_that_was_doubled_is_no_loss():
    assert run(DirectionLog(), Reflector(), "aadaoaabaa") == (0.1, 1 / 9)
    assert run(DirectionLog(), Reflector(), "adddaaaa") == (0.0, 0.0)


def test_an_answer_twice_is_one():
    log = DirectionLog()
    run(log, Reflector(), "aaba")
    assert log.replied(2, 1) is False
    assert log.read()[:2] == (0.0, 0.25)


def test_packets_may_overtake_each_other_on_both_ways():
    log = DirectionLog()
    for sequence in (0, 2, 3, 4, 5, 6):
        log.sent(sequence)
    for sequence, number in ((3, 1), (0, 0), (4, 3), (2, 2), (6, 5), (5, 4)):
        assert log.replied(sequence, number) is True
    assert log.read()[:2] == (0.0, 0.0)


def test_a_probe_still_under_way_is_not_lost():
    log = DirectionLog()
    run(log, Reflector(), "aaaa")
    log.sent(10)
    log.sent(11)
    log.replied(11, 5)
    assert log.read()[:2] == (0.0, 0.0)
    log.settled(10)
    assert log.read()[:2] == (0.0, 1 / 6)
    assert log.replied(10, 4) is True  # late
    assert log.read()[:2] == (0.0, 0.0)


@pytest.mark.parametrize("before", ["a", "aa", "aaaaaaaa", "aabbaobao", "a" * 500])
def test_a_reflector_that_starts_again_loses_nothing(before):
    log = DirectionLog()
    run(log, Reflector(), before)
    after = Reflector()
    assert run(log, after, "aaaa", range(1000, 1004)) == (0.0, 0.0)
    assert run(log, after, "oaba", range(1004, 1008)) == (1 / 8, 1 / 7)


def test_the_window_moves_on():
    log = DirectionLog()
    reflector = Reflector()
    run(log, reflector, "a" + "o" * 60 + "a")
    assert run(log, reflector, "a" * 200, range(100, 300)) == (0.0, 0.0)


def test_what_we_missed_ourselves_is_not_counted():
    log = DirectionLog()
    reflector = Reflector()
    run(log, reflector, "aabbbbbba")
    log.gap()
    assert log.read()[:2] == UNKNOWN
    assert run(log, reflector, "aoaa", range(100, 104)) == (0.25, 0.0)


def test_a_path_of_random_losses_is_read_right():
    chance = random.Random(3)
    fates = [chance.choices("aobd", (80, 12, 6, 2))[0] for _ in range(20_000)]
    fates[-1] = "a"
    log = DirectionLog()
    out, back = run(log, Reflector(), fates)
    last = fates[-WINDOW:]
    first = next(place for place, fate in enumerate(last) if fate in "ad")
    last = last[first:]
    assert out == pytest.approx(last.count("o") / len(last))
    assert back == pytest.approx(last.count("b") / (len(last) - last.count("o")))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2**32 - 1)), max_size=300), st.integers(1, 50))
def test_no_lie_of_a_reflector_gives_a_share_beyond_one(answers, every):
    log = DirectionLog()
    for sequence in range(300):
        log.sent(sequence)
        if sequence % every == 0:
            log.settled(sequence)
    for sequence, number in answers:
        log.replied(sequence, number)
        for share in log.read()[:2]:
            assert share is None or 0.0 <= share <= 1.0


def test_the_memory_is_bounded_whatever_comes_back():
    log = DirectionLog()
    run(log, Reflector(), "a" * 1000)
    tracemalloc.start()
    run(log, Reflector(number=2000), "aob" * 3000, range(2000, 11_000))
    for sequence in range(20_000, 40_000):  # never settled
        log.sent(sequence)
    used, _ = tracemalloc.get_traced_memory()
    for sequence in range(40_000, 80_000):
        log.sent(sequence)
    later, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 2_000_000
    assert later < used * 1.1


def test_variation_is_that_of_each_way_whatever_the_clocks_say():
    log = DirectionLog()
    assert log.read()[2:] == UNKNOWN
    for probe in range(200):
        log.passed(-3600 + 0.010 + 0.004 * (probe % 2), 3600 + 0.010 + 0.001 * (probe % 2))
    read = log.read()
    assert read.variation_out == pytest.approx(0.004, rel=0.01)
    assert read.variation_back == pytest.approx(0.001, rel=0.01)


def test_one_difference_counts_a_sixteenth():
    log = DirectionLog()
    log.passed(0.010, 0.010)
    assert log.read().variation_out is None
    log.passed(0.026, 0.010)
    assert log.read()[2:] == (pytest.approx(0.001), 0.0)


def test_a_clock_that_is_set_is_no_variation():
    log = DirectionLog()
    for probe in range(20):
        offset = 5.0 if probe >= 10 else 0.0
        log.passed(0.010 + offset, 0.010 - offset)
    assert log.read()[2:] == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-9))
