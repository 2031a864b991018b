"""The rows of one path of a trace."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import sub
from statistics import median

from steerd.core.settings import PathId

Column = list[float | None]
"""What one path brought, in ms; None: lost."""

Choices = Sequence[tuple[int, PathId | None]]
"""From which sample on which path is in use; None: none yet. The first begins with sample 0."""

Piles = Sequence[tuple[int, Sequence[PathId]]]
"""From which sample on there are rows of which paths."""


class Track:
    """What the probes of one path brought, and at which of the trace's times: ranges of their numbers."""

    def __init__(self) -> None:
        self.values: Column = []
        self._begins, self._ends = array("q"), array("q")

    def add(self, begin: int, values: Sequence[float | None]) -> None:
        """Rows at as many times on end."""
        if self._ends and self._ends[-1] == begin:
            self._ends[-1] += len(values)
        else:
            self._begins.append(begin)
            self._ends.append(begin + len(values))
        self.values += values

    def ranges(self) -> Iterator[tuple[int, int]]:
        """From which of the trace's times to which one (that one left out) there are rows."""
        return zip(self._begins, self._ends, strict=True)

    def whole(self, count: int) -> bool:
        """Whether there is a row at each of so many times."""
        return len(self.values) == count

    def times(self, times: "array[float]") -> "array[float]":
        """When the rows were."""
        if self.whole(len(times)):
            return times
        return array("d", chain.from_iterable(times[begin:end] for begin, end in self.ranges()))


def gaps(times: "array[float]") -> list[float]:
    """The times from one row to the next, in seconds."""
    return list(map(sub, islice(times, 1, None), times))


def period(times: "array[float]") -> float:
    """The median time from one row to the next, in seconds; 0 of fewer than two."""
    return median(gaps(times)) if len(times) > 1 else 0.0


def exact_period(times: "array[float]") -> float:
    """As `period`, without a median's error where rows jitter, which adds up: the mean of what is near the median."""
    middle = period(times)
    close = [gap for gap in gaps(times) if abs(gap - middle) < middle / 2.0]
    return sum(close) / len(close) if close else middle
