"""Paths that were probed each at its own moments, on one grid, because a trace compares them time by time.

The step is the shortest of the paths' periods. A sample goes to the step nearest to it, or to the one after the last of
its path while that is less than `KEEP` steps off: so a path probed near the middle between two steps has one row in
each, and not two and none by turns. A clock that drifts skips a step now and then, or has two rows in one.
"""

from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from steerd.core.events import Swept
from steerd.core.settings import PathId
from steerd.replay.imports.series import Series

KEEP: Final = 0.75

STEP_MIN: Final = 1e-3  # seconds: below, probes were not sent at a period


class Row(NamedTuple):
    """A sample on the grid. ``order`` is that of its path, so that all times have their rows in the same order."""

    step: int
    order: int
    rtt: float | None


def period(series: Mapping[str, Series]) -> float:
    """The step of the grid, in seconds: the shortest of the paths' median periods."""
    periods = [each for each in (one.period() for one in series.values()) if each >= STEP_MIN]
    return min(periods, default=1.0)


def swept(series: Mapping[PathId, Series], step: float) -> Iterator[Swept]:
    """The samples of all paths, those of one step together."""
    origin = min(one.start for one in series.values())
    paths = list(series)
    each = [_rows(one, order, origin, step) for order, one in enumerate(series.values())]
    rows = merge(*each, key=itemgetter(0, 1))  # never by RTT, which may be None
    for number, found in groupby(rows, key=itemgetter(0)):
        together = list(found)
        names, rtts = [paths[row.order] for row in together], [row.rtt for row in together]
        yield Swept(round(origin + number * step, 6), names, rtts)


def _rows(series: Series, order: int, origin: float, step: float) -> Iterator[Row]:
    last: int | None = None
    for at, rtt in series.rows():
        exact = (at - origin) / step
        if last is not None and abs(exact - (last + 1)) <= KEEP:
            last += 1
        else:
            nearest = round(exact)
            last = nearest if last is None else max(last, nearest)
        yield Row(last, order, rtt)
