"""Which key is due when. Pure: the time is an argument, and every key keeps its own phase on the grid."""

import math
from dataclasses import dataclass
from typing import Generic, TypeVar
from zlib import crc32

from steerd.core.settings import FIRST_WITHIN
from steerd.probe.timing.wheel import Wheel

Key = TypeVar("Key")

GRAIN = 0.005
"""Seconds: the finest step of the probing grid."""

TICK = 0.1
"""Seconds from one look to the next, at most: it is wake-ups that cost, more than probes."""

_TICKS_PER_PERIOD = 10  # at least, as far as the grid is fine enough
_ROUNDING = 1e-4  # ticks
_LATE = 2 * TICK  # seconds: a slot later than this, or than half its period, is skipped; by one tick any may be late


def phase(name: str, seed: int) -> float:
    """Where in its period ``name`` is probed, from 0 to 1: the same at every start with the same seed."""
    return crc32(name.encode(), seed & 0xFFFFFFFF) / 2**32


def next_slot(phase: float, period: float, after: float) -> float:
    """The first ``(k + phase) * period`` after that time."""
    return (math.floor(after / period - phase) + 1 + phase) * period


@dataclass(slots=True)
class _Beat:
    phase: float
    period: float = math.inf
    due: float = math.inf
    fired: float = -math.inf


class Schedule(Generic[Key]):
    """Keys that fall due at ``(k + phase) * period``.

    ``skipped`` counts the slots that passed during a stall: no burst makes up for them. ``shortest`` is the shortest
    period in use; infinity if every key rests.
    """

    def __init__(self) -> None:
        self._beats: dict[Key, _Beat] = {}
        self._wheel: Wheel[tuple[Key, float]] = Wheel(GRAIN)
        self.skipped = 0
        self.shortest = math.inf
        self.next_at = self._wheel.next_at

    def add(self, key: Key, phase: float) -> None:
        """Know ``key``, at rest until it is given a period."""
        self._beats[key] = _Beat(phase)

    def remove(self, key: Key) -> None:
        del self._beats[key]
        self._look()

    def every(self, key: Key, period: float | None, now: float) -> None:
        """Make ``key`` due every ``period`` seconds (None: rest): at once if it last was more than a period ago, within
        `FIRST_WITHIN` if it never was."""
        beat = self._beats[key]
        wanted = math.inf if period is None else period
        if beat.period == wanted:
            return
        beat.period = wanted
        self._look()
        if period is None:
            beat.due = math.inf
        elif -math.inf < beat.fired <= now - period:
            self._put(key, beat, now)
        elif beat.fired == -math.inf and period > FIRST_WITHIN:
            self._put(key, beat, now + beat.phase * FIRST_WITHIN)
        else:
            self._put(key, beat, next_slot(beat.phase, period, max(now, beat.fired + period / 2)))

    def take(self, now: float) -> list[Key]:
        """The keys due by ``now``, each once, and each already put back for its next slot."""
        taken = []
        for key, due in self._wheel.take(now):
            beat = self._beats.get(key)
            if beat is None or beat.due != due:
                continue
            late = now - due
            if late > min(_LATE, beat.period / 2):
                self.skipped += 1 + math.floor(late / beat.period)
            else:
                beat.fired = due
                taken.append(key)
            # Half a period is the least distance of two probes, also where a cadence was changed off the grid.
            self._put(key, beat, next_slot(beat.phase, beat.period, max(now, due + beat.period / 2)))
        return taken

    def tick_after(self, at: float, now: float) -> float:
        """When to look for what is due at ``at``: on a grid that is as fine as the shortest period asks for, and later
        than ``now``."""
        grains = math.floor(min(TICK, self.shortest / _TICKS_PER_PERIOD) / GRAIN + _ROUNDING)
        tick = GRAIN * max(1, grains)
        return tick * max(math.ceil(at / tick - _ROUNDING), math.floor(now / tick + _ROUNDING) + 1)

    def _look(self) -> None:
        self.shortest = min((beat.period for beat in self._beats.values()), default=math.inf)

    def _put(self, key: Key, beat: _Beat, due: float) -> None:
        beat.due = due
        self._wheel.put((key, due), due)
