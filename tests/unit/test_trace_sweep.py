"""The walk along a way, over a line in memory: what it asks for when, and when it ends."""

import heapq
import time

import pytest

from steerd.trace.process.sweep import HOPS, SILENT, Answer, Sweep


class Line:
    """Routers 1 to ``length`` and then a target, each as far away as its ``delays`` says, in seconds; ``silent`` ones
    say nothing. With ``one_at_a_time`` the target is deaf while it waits for the end of what it has answered."""

    def __init__(self, length: int, delay: float = 0.0, *, silent: frozenset[int] = frozenset(), target: bool = True):
        self.one_at_a_time = False
        self.sent: list[int] = []
        self._length = length
        self._delay = delay
        self._silent = silent
        self._target = target
        self._busy_until = 0.0
        self._due: list[tuple[float, int, Answer]] = []

    def send(self, number: int, ttl: int) -> float:
        now = time.time()
        self.sent.append(ttl)
        arrived = ttl > self._length
        who = "target" if arrived else f"r{ttl}"
        if ttl in self._silent or (arrived and (not self._target or now < self._busy_until)):
            return now
        if arrived and self.one_at_a_time:
            self._busy_until = now + self._delay
        heapq.heappush(self._due, (now + self._delay, number, Answer(number, who, now + self._delay, target=arrived)))
        return now

    def heard(self, seconds: float) -> list[Answer]:
        until = time.time() + seconds
        first = self._due[0][0] if self._due else until
        time.sleep(max(0.0, min(first, until) - time.time()))
        return [heapq.heappop(self._due)[2]] if self._due and self._due[0][0] <= time.time() else []


def test_a_walk_ends_at_the_target_as_soon_as_all_before_it_have_answered():
    line = Line(2, 0.01)
    began = time.monotonic()
    hops = Sweep(line).run()
    assert [(hop.addresses, hop.sent, hop.answered, hop.target) for hop in hops] == [
        (("r1",), 3, 3, False),
        (("r2",), 3, 3, False),
        (("target",), 3, 3, True),
    ]
    assert time.monotonic() - began < 0.5
    assert max(line.sent[8:]) == 3  # known by then


def test_a_target_that_takes_one_connection_at_a_time_gets_one_at_a_time():
    line = Line(1, 0.1)
    line.one_at_a_time = True
    assert [hop.answered for hop in Sweep(line).run()] == [3, 3]


def test_a_walk_ends_behind_silence():
    hops = Sweep(Line(2, target=False)).run()
    assert [hop.answered for hop in hops] == [3, 3] + [0] * SILENT


def test_silent_routers_between_do_not_end_it():
    sweep = Sweep(Line(12, silent=frozenset({3, 4, 5, 6, 9, 10, 11, 12})))
    hops = sweep.run()
    assert [hop.hop for hop in hops if not hop.answered] == [3, 4, 5, 6, 9, 10, 11, 12]
    assert (hops[-1].hop, hops[-1].target, sweep.reached) == (13, True, True)


def test_it_ends_after_thirty_hops():
    assert len(Sweep(Line(40)).run()) == HOPS


def test_a_machine_that_refuses_to_send_says_so():
    class Refusing(Line):
        def send(self, number: int, ttl: int) -> float:
            raise OSError(101, "Network is unreachable")

    with pytest.raises(OSError, match="unreachable"):
        Sweep(Refusing(3)).run()
