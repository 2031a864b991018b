"""What a sequence of choices cost on a trace: J, and how much of the possible gain was left.

A choice made on the rows of T pays from the next ``time_s`` on: a reply its RTT (at most `RTT_MAX`), a
lost probe the path's median + `LOST`; each switch pays the price C; the first `FREE` samples are free. A
path that has no row at some time pays what it paid last.
"""

from collections.abc import Sequence
from itertools import islice, pairwise
from math import inf, nan
from statistics import median
from typing import Final, NamedTuple

from steerd.core.settings import PathId

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
        self._columns: dict[PathId, list[float | None]] = {}  # None: lost
        self.rows = 0
        self.choices: list[PathId | None] = []  # the path that pays for each sample; None: none yet

    def add(self, rows: Sequence[tuple[PathId, float | None]], choice: PathId | None) -> None:
        """A sample, and the path that was in use when it was taken."""
        choices, columns = self.choices, self._columns
        length = len(choices)
        self.rows += len(rows)
        for path, rtt in rows:
            column = columns[path] if path in columns else columns.setdefault(path, [])
            if len(column) == length:
                column.append(rtt)
            elif len(column) > length:
                column[length] = rtt  # a second row of the same time: the later one counts
            else:
                self._fill(column, length)
                column.append(rtt)
        choices.append(choice)

    def score(self, price: float) -> Score:
        """Settle the account at ``price`` ms per switch."""
        length = len(self.choices)
        counted = length - FREE
        if counted <= 0:
            return Score(max(0, counted), nan, nan, nan, nan)
        costs: dict[PathId | None, list[float]] = {}
        for path, column in self._columns.items():
            self._fill(column, length)
            costs[path] = _paid(column)
        first = {path: inf if column[0] is None else column[0] for path, column in self._columns.items()}
        stay = sum(costs[min(first, key=first.__getitem__)][FREE:])
        got = self._got(costs, price)
        best = _optimum(list(costs.values()), price)
        gap = (got - best) / (stay - best) if stay > best else nan
        return Score(counted, got / counted, stay / counted, best / counted, gap)

    def _fill(self, column: list[float | None], length: int) -> None:
        """A path that has no row at some time is worth there what it was worth last."""
        column.extend([column[-1] if column else None] * (length - len(column)))

    def _got(self, costs: dict[PathId | None, list[float]], price: float) -> float:
        choices = self.choices[FREE:]
        moves = sum(1 for old, new in pairwise(choices) if old != new and old is not None)
        paid = sum(RTT_MAX if choice is None else costs[choice][at] for at, choice in enumerate(choices, FREE))
        return paid + moves * price


def _paid(column: list[float | None]) -> list[float]:
    """What each sample of a path costs whoever is on it."""
    seen = [value for value in column if value is not None]
    if len(seen) < len(column):
        lost = median(seen) + LOST if seen else RTT_MAX
        seen = [lost if value is None else value for value in column]
    return seen if max(seen) <= RTT_MAX else [value if value < RTT_MAX else RTT_MAX for value in seen]


def _optimum(costs: list[list[float]], price: float) -> float:
    """The cheapest sequence in hindsight: a Viterbi pass over the paths."""
    totals = [0.0] * len(costs)
    low = 0.0
    for sample in islice(zip(*costs, strict=True), FREE, None):
        ceiling = low + price
        low = inf
        for path, cost in enumerate(sample):
            total = totals[path]
            if total > ceiling:
                total = ceiling  # cheaper to have come over from the cheapest
            totals[path] = total = total + cost
            if total < low:
                low = total
    return low
