"""What a sequence of choices cost on a trace: J, and how much of the possible gain was left.

A choice made on the rows of T pays from the next ``time_s`` on: a reply its RTT (at most `RTT_MAX`), a
lost probe the path's median + `LOST`; each switch pays the price C; the first `FREE` samples are free. A
path that has no row at some time pays what it paid last.
"""

from collections.abc import Sequence
from itertools import islice
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
    """Collects what each path would have cost, sample by sample, and which of them was in use."""

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[PathId, list[float | None]] = {}  # None: lost
        self._samples = 0
        self._choices: list[tuple[int, PathId | None]] = [(0, None)]  # from which sample on; None: none yet
        # Samples with the same paths pile up row by row, and are cut into columns when other paths come: most
        # traces are one pile, and slicing that costs next to nothing.
        self._paths: Sequence[PathId] = ()
        self._pile: list[float | None] = []

    def add(self, paths: Sequence[PathId], rtts: Sequence[float | None]) -> None:
        """A sample: what the probe of each path brought."""
        if paths != self._paths:
            self._cut()
            self._paths = paths
        self._pile += rtts

    def choose(self, path: PathId | None) -> None:
        """From the next sample on ``path`` is in use, and pays."""
        self._cut()
        self._choices.append((self._samples, path))

    def score(self, price: float) -> Score:
        """Settle the account at ``price`` ms per switch."""
        self._cut()
        length = self._samples
        counted = length - FREE
        if counted <= 0:
            return Score(max(0, counted), nan, nan, nan, nan)
        costs: dict[PathId, list[float]] = {}
        for path, column in self._columns.items():
            _fill(column, length)
            costs[path] = _paid(column)
        first = {path: inf if column[0] is None else column[0] for path, column in self._columns.items()}
        stay = sum(costs[min(first, key=first.__getitem__)][FREE:])
        got = self._got(costs, price)
        best = _optimum(list(costs.values()), price)
        gap = (got - best) / (stay - best) if stay > best else nan
        return Score(counted, got / counted, stay / counted, best / counted, gap)

    def _cut(self) -> None:
        pile, width, begin = self._pile, len(self._paths), self._samples
        if not pile:
            return
        for place, path in enumerate(self._paths):
            column = self._columns.setdefault(path, [])
            if len(column) < begin:
                _fill(column, begin)
            column[begin:] = pile[place::width]  # a second row of the same time: the later one counts
        self.rows += len(pile)
        self._samples += len(pile) // width
        self._pile = []

    def _got(self, costs: dict[PathId, list[float]], price: float) -> float:
        paid = 0.0
        last: PathId | None = None
        ends = [begin for begin, _ in self._choices[1:]] + [self._samples]
        for (begin, choice), end in zip(self._choices, ends, strict=True):
            counted = range(max(begin, FREE), end)
            if not counted:
                continue
            if choice != last and last is not None:
                paid += price
            paid += RTT_MAX * len(counted) if choice is None else sum(costs[choice][counted.start : end])
            last = choice
        return paid


def _fill(column: list[float | None], length: int) -> None:
    """A path that has no row at some time is worth there what it was worth last."""
    column += [column[-1] if column else None] * (length - len(column))


def _paid(column: list[float | None]) -> list[float]:
    """What each sample of a path costs whoever is on it."""
    paid = [value for value in column if value is not None]
    if len(paid) < len(column):
        lost = median(paid) + LOST if paid else RTT_MAX
        paid = [lost if value is None else value for value in column]
    return paid if max(paid) <= RTT_MAX else [value if value < RTT_MAX else RTT_MAX for value in paid]


def _optimum(costs: list[list[float]], price: float) -> float:
    """The cheapest sequence in hindsight: a Viterbi pass over the paths."""
    if len(costs) == 1:
        return sum(costs[0][FREE:])
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
