"""Rows that every path has at moments of its own, put on the grid of one period.

A daemon's probes are spread over the period. If each of their times were a sample, the order in which paths happen to
be probed would decide how a rule is rated.
"""

from array import array
from collections.abc import Mapping
from itertools import accumulate, chain, islice, pairwise
from math import floor
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.trace.track import Piles, Track

APART: Final = 0.01
"""Share of times within the period of others, with none of their paths, up to which paths share their times."""

NEAR: Final = 0.9  # within the period means within this share of it
PHASES: Final = 1000  # times that are looked at to see in which part of the period there are rows


def apart(times: "array[float]", piles: Piles, period: float) -> bool:
    """Whether paths have their rows at moments of their own."""
    near = NEAR * period
    count = sum(
        times[begin] - times[begin - 1] < near and not set(before) & set(after)
        for (_, before), (begin, after) in pairwise(piles)
    )
    return count > APART * len(times)


class Grid:
    """The steps of a period that have rows. ``times`` are their ends; ``step_of`` has the step of each trace time."""

    def __init__(self, times: "array[float]", period: float) -> None:
        origin = _origin(times, period)
        self._cells = [floor((time - origin) / period) for time in times]
        self._steps = {cell: number for number, cell in enumerate(dict.fromkeys(self._cells))}
        self.times = array("d", (round(origin + (cell + 1) * period, 6) for cell in self._steps))
        self.step_of = [self._steps[cell] for cell in self._cells]

    def aligned(self, track: Track) -> Track:
        """The rows of a path, at most one in each step. Of two in one step the first belongs to the step before, if
        that has none: it came a little late, as a lost probe does, which is known when the next one is sent. Otherwise
        a lost one counts, or the later one."""
        found: dict[int, float | None] = {}
        rows = chain.from_iterable(range(begin, end) for begin, end in track.ranges())
        for time, value in zip(rows, track.values, strict=True):
            step = self.step_of[time]
            if step not in found:
                found[step] = value
                continue
            before = self._steps.get(self._cells[time] - 1)
            if before is not None and before not in found:
                found[before] = found.pop(step)
                found[step] = value
            elif found[step] is not None:
                found[step] = value
        aligned = Track()
        for step, value in found.items():
            aligned.add(step, [value])
        return aligned

    def piles(self, tracks: Mapping[PathId, Track]) -> Piles:
        """Every path is worth something in each step since its first row."""
        met: dict[int, list[PathId]] = {}
        for path, track in tracks.items():
            begin, _ = next(track.ranges())
            met.setdefault(begin, []).append(path)
        begins = sorted(met)
        return list(zip(begins, accumulate(met[begin] for begin in begins), strict=True))


def _origin(times: "array[float]", period: float) -> float:
    """A time in the middle of a long part of the period in which no row comes, so that rows that come a little early or
    late stay in their steps; of those the last before the first row, so that the first step has a row of every path."""
    first = times[0]
    phases = sorted((time - first) % period for time in islice(times, PHASES))
    gaps = [(after - before, before) for before, after in pairwise([*phases, phases[0] + period])]
    widest = max(gaps)[0]
    width, at = next(gap for gap in reversed(gaps) if gap[0] >= widest / 2.0)
    return first + at + width / 2.0 - period
