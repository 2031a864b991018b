"""What a sequence of choices cost on a trace: J, and how much of the possible gain was left.

A choice made on the rows of T pays from the next ``time_s`` on: a reply its RTT (at most `RTT_MAX`), a
lost probe the path's median + `LOST`; each switch pays the price C; the first `FREE` samples are free. A
path that has no row at some time pays what it paid last.
"""

from collections.abc import Sequence
from math import inf, nan
from statistics import median
from typing import Final, NamedTuple

RTT_MAX: Final = 2000.0
LOST: Final = 200.0
FREE: Final = 20


class Score(NamedTuple):
    """J of the choices, of staying where the best first sample was, and of the best in hindsight, in ms per
    sample; ``gap_left`` is the share of the possible gain that was not had (NaN where none was possible)."""

    samples: int
    j: float
    j_start: float
    j_optimum: float
    gap_left: float


class Ledger:
    """Collects what each path would have cost, sample by sample."""

    def __init__(self) -> None:
        self._columns: list[list[float]] = []  # per path; NaN: lost, or not there yet
        self._seen: list[list[float]] = []
        self.choices: list[int] = []  # the path that pays for each sample; -1: none yet

    def add(self, rows: Sequence[tuple[int, float | None]], choice: int) -> None:
        """A sample, and the path that was in use when it was taken."""
        length = len(self.choices)
        columns = self._columns
        for path, rtt in rows:
            while path >= len(columns):
                columns.append([])
                self._seen.append([])
            column = columns[path]
            if len(column) < length:
                column.extend([column[-1] if column else nan] * (length - len(column)))
            value = nan if rtt is None else rtt if rtt < RTT_MAX else RTT_MAX
            if len(column) > length:
                column[length] = value  # a second row of the same time: the later one counts
            else:
                column.append(value)
            if rtt is not None:
                self._seen[path].append(value)
        self.choices.append(choice)

    def score(self, price: float) -> Score:
        """Settle the account at ``price`` ms per switch."""
        length = len(self.choices)
        for column in self._columns:
            column.extend([column[-1]] * (length - len(column)))
        lost = [median(seen) + LOST if seen else RTT_MAX for seen in self._seen]
        costs = [
            [value if value == value else lost[path] for value in column]  # noqa: PLR0124 (NaN)
            for path, column in enumerate(self._columns)
        ]
        counted = length - FREE
        if counted <= 0 or not costs:
            return Score(max(0, counted), nan, nan, nan, nan)
        got = self._got(costs, price)
        start = min(range(len(costs)), key=lambda path: (self._first(path), path))
        stay = sum(costs[start][FREE:])
        best = _optimum(costs, price)
        gap = (got - best) / (stay - best) if stay > best else nan
        return Score(counted, got / counted, stay / counted, best / counted, gap)

    def _first(self, path: int) -> float:
        value = self._columns[path][0]
        return value if value == value else inf  # noqa: PLR0124

    def _got(self, costs: list[list[float]], price: float) -> float:
        total = 0.0
        before = self.choices[FREE]
        for at in range(FREE, len(self.choices)):
            choice = self.choices[at]
            if choice != before and before >= 0:
                total += price
            before = choice
            total += costs[choice][at] if choice >= 0 else RTT_MAX
        return total


def _optimum(costs: list[list[float]], price: float) -> float:
    """The cheapest sequence in hindsight: a Viterbi pass over the paths."""
    totals = [0.0] * len(costs)
    for sample in zip(*(column[FREE:] for column in costs), strict=True):
        ceiling = min(totals) + price
        totals = [(total if total < ceiling else ceiling) + cost for total, cost in zip(totals, sample, strict=True)]
    return min(totals)
