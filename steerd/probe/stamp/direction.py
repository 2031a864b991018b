"""Loss and delay variation of each direction of a path, from what a stateful reflector says. Pure.

Such a reflector counts the packets of a session that reach it, and writes the number on each answer (RFC 8762,
section 4): of the probes without an answer, those that it did not count were lost on the way out, the others on the
way back. A stateless reflector repeats the probe's own number, with every gap among ours: so each session starts with
one (`numbers`).
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Final

from steerd.core.views import Directions

WINDOW: Final = 128
"""Settled probes that loss is counted over."""

_REMEMBERED: Final = 4096  # probes, settled or not
_REORDERED: Final = 64  # an answer that is more than so many behind is from another count
_WEIGHT: Final = 1 / 16  # of a new difference


def numbers() -> Iterator[int]:
    """The sequence numbers of a session: from 0, one is left out, and on."""
    yield 0
    yield from count(2)


@dataclass(slots=True)
class _Probe:
    settled: bool = False
    counted: list[int] = field(default_factory=list)  # the reflector's numbers on its answers; several: duplicates


class DirectionLog:
    """The recent probes of one session. Sequence numbers rise with every call of `sent`."""

    def __init__(self) -> None:
        self._probes: OrderedDict[int, _Probe] = OrderedDict()
        self._open = 0
        self._numbers: dict[int, int] = {}  # the reflector's to ours
        self._highest = -1  # of the reflector's numbers
        self._stateful = False
        self._out = _Variation()
        self._back = _Variation()

    def sent(self, sequence: int) -> None:
        """A probe was handed to the kernel."""
        self._probes[sequence] = _Probe()
        self._open += 1
        while len(self._probes) > _REMEMBERED or (
            len(self._probes) - self._open > WINDOW and next(iter(self._probes.values())).settled
        ):
            self._forget(next(iter(self._probes)))

    def settled(self, sequence: int) -> None:
        """No answer is awaited any more; a later one still corrects what was counted."""
        probe = self._probes.get(sequence)
        if probe and not probe.settled:
            probe.settled = True
            self._open -= 1

    def replied(self, sequence: int, number: int) -> bool:
        """An answer to the probe ``sequence`` came with the reflector's ``number``: whether it is the first."""
        probe = self._probes.get(sequence)
        if probe is None:
            return False
        if self._numbers.get(number, sequence) != sequence or number < self._highest - _REORDERED:
            # The reflector counts anew: it was restarted, or had forgotten the session.
            self._forget_before(sequence)
            self._stateful = False
            self._highest = max(self._numbers, default=-1)
        self._stateful = self._stateful or number != sequence
        first = not probe.counted
        if number not in self._numbers:
            self._numbers[number] = sequence
            probe.counted.append(number)
        self._highest = max(self._highest, number)
        self.settled(sequence)
        return first

    def passed(self, out: float, back: float) -> None:
        """The latest answer took ``out`` and ``back`` seconds, by two clocks: only changes and their sum count."""
        # No delay varies by more than a whole round trip: it was a clock that moved.
        self._out.add(out, out + back)
        self._back.add(back, out + back)

    def gap(self) -> None:
        """This machine may have missed answers: nothing sent so far is counted."""
        self._forget_before(next(reversed(self._probes), -1) + 1)

    def read(self) -> Directions:
        """What the recent probes say."""
        return Directions(*self._losses(), self._out.value, self._back.value)

    def _losses(self) -> tuple[float | None, float | None]:
        """Between the first and the last probe answered: beyond, nobody can say where a probe was lost."""
        # What comes after the first that is still open is not complete.
        probes = list(takewhile(lambda probe: probe.settled, self._probes.values()))[-WINDOW:]
        answered = [place for place, probe in enumerate(probes) if probe.counted]
        if len(answered) < 2:
            return None, None
        span = probes[answered[0] : answered[-1] + 1]
        unanswered = len(span) - len(answered)
        if not self._stateful:
            return (None, None) if unanswered else (0.0, 0.0)
        counted = [number for probe in span for number in probe.counted]
        # Where packets overtook each other at the ends of the span, others' numbers lie between these.
        back = min(unanswered, max(counted) - min(counted) + 1 - len(counted))
        out = unanswered - back
        return out / len(span), back / (len(span) - out)

    def _forget_before(self, sequence: int) -> None:
        while self._probes and next(iter(self._probes)) < sequence:
            self._forget(next(iter(self._probes)))

    def _forget(self, sequence: int) -> None:
        probe = self._probes.pop(sequence)
        self._open -= not probe.settled
        for number in probe.counted:
            del self._numbers[number]


@dataclass(slots=True)
class _Variation:
    """The smoothed difference of one delay and the next, in seconds (RFC 3550, section 6.4.1)."""

    value: float | None = None
    _before: float | None = None
    _limit: float = 0.0

    def add(self, delay: float, limit: float) -> None:
        """A delay of which only changes matter; a change by more than both this ``limit`` and the last one is none."""
        if self._before is not None and (change := abs(delay - self._before)) <= max(limit, self._limit):
            value = self.value or 0.0
            self.value = value + (change - value) * _WEIGHT
        self._before, self._limit = delay, limit
