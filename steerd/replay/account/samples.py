"""A trace as samples: what every path was worth at each.

A sample is all rows of one time where paths have their rows at the same times, else a step of their `Grid`.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.trace.grid import Grid, apart
from steerd.replay.trace.track import Choices, Column, Piles, Track, exact_period, gaps, period

GONE: Final = 5.0  # for so many of its periods a path without a row is worth what it was worth last; then it is lost
PAUSE: Final = 60.0
"""Periods: where there are no rows for longer, nothing was sampled, and the time counts as one period."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A trace as its choices are priced on it. ``columns`` have what each path was worth at each of ``times``, in ms
    (None: lost). ``step`` is that of the grid, in seconds; None: each time of the trace is a sample. ``seconds`` were
    sampled; beside them ``pauses`` took ``paused`` seconds in all."""

    times: "array[float]"
    columns: Mapping[PathId, Column]
    step: float | None
    seconds: float
    pauses: int
    paused: float
    _step_of: Sequence[int]
    _piles: Piles
    _gone: Mapping[PathId, Sequence[range]]

    def placed(self, choices: Choices) -> Choices:
        """Choices by the trace's times as choices by samples: one made within a sample pays from the next one on."""
        if self.step is None:
            return choices
        return [(self._step_of[begin - 1] + 1 if begin else 0, path) for begin, path in choices]

    def shown(self) -> Iterator[tuple[float, dict[PathId, float | None]]]:
        """What other rules see: each sample's time, and what paths with a row brought; those that are gone, nothing."""
        turns: dict[int, list[PathId]] = {}
        for path, spans in self._gone.items():
            for span in spans:
                turns.setdefault(span.start, []).append(path)
                turns.setdefault(span.stop, []).append(path)
        gone: dict[PathId, None] = {}
        for (begin, paths), (end, _) in pairwise([*self._piles, (len(self.times), ())]):
            names = list(dict.fromkeys(paths))
            rows = zip(*(self.columns[path][begin:end] for path in names), strict=True)
            for number, values in enumerate(rows, begin):
                for path in turns.get(number, ()):
                    if path in gone:
                        del gone[path]
                    else:
                        gone[path] = None
                brought = dict(zip(names, values, strict=True))
                yield self.times[number], {**brought, **gone} if gone else brought


def judged(tracks: Mapping[PathId, Track], times: "array[float]", piles: Piles, *, rounds: bool = False) -> Samples:
    """The samples of a trace with rows at these times. ``rounds``: they are on a grid."""
    busiest = max(tracks.values(), key=lambda track: len(track.values), default=Track())
    every = period(busiest.times(times))
    longest = PAUSE * every
    long = [gap - every for gap in gaps(times) if gap > longest > 0.0]
    seconds = times[-1] - times[0] - sum(long) if times else 0.0
    step: float | None = None
    step_of: Sequence[int] = ()
    if not rounds and apart(times, piles, every):
        step = exact_period(busiest.times(times))
        grid = Grid(times, step)
        tracks = {path: grid.aligned(track) for path, track in tracks.items()}
        times, piles, step_of = grid.times, grid.piles(tracks), grid.step_of
    columns, gone = {}, {}
    for path, track in tracks.items():
        columns[path], gone[path] = _filled(track, times, every)
    return Samples(times, columns, step, seconds, len(long), sum(long), step_of, piles, gone)


def _filled(track: Track, times: "array[float]", every: float) -> tuple[Column, Sequence[range]]:
    """What a path was worth at each of the times, and when it was gone."""
    if track.whole(len(times)):
        return track.values, ()
    rows = track.times(times)
    own = period(rows) or every
    column: Column = []
    gone = []
    place = 0
    for begin, end in [*track.ranges(), (len(times), len(times))]:
        if not place:
            column += [None] * begin
        elif len(column) < begin:
            # A path that has been probed more seldom for a while has its newest period.
            alive = rows[place - 1] + GONE * max(own, rows[place - 1] - rows[max(place - 2, 0)])
            lost = bisect_right(times, alive, len(column), begin)
            column += [column[-1]] * (lost - len(column)) + [None] * (begin - lost)
            if lost < begin:
                gone.append(range(lost, begin))
        column += track.values[place : place + end - begin]
        place += end - begin
    return column, gone
