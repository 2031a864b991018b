"""What a sequence of choices cost on a trace: J, and how much of the possible gain was left.

A choice made on the rows of T pays from the next ``time_s`` on: a reply its RTT (at most `RTT_MAX`), a lost probe the
path's median + `LOST`; each switch costs the price C; the first `FREE` samples are free. For samples, and for a path
without a row in one, see `steerd.replay.account.samples`.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import inf, nan
from statistics import median
from typing import Final, NamedTuple

from steerd.core.settings import PathId
from steerd.replay.account.samples import Samples, judged
from steerd.replay.trace.track import Choices, Column, Track

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


class Account:
    """What each path brought and would have cost at every sample of a trace, and so what any choices cost."""

    def __init__(self, columns: Mapping[PathId, Column], samples: int) -> None:
        self.columns = columns
        self.samples = samples
        self.costs = {path: _paid(column) for path, column in columns.items()} if samples else {}
        self.untouched = {path for path, cost in self.costs.items() if cost is columns[path]}
        """Paths all of whose samples cost what was measured: none was lost, none costs more than may be."""
        self._optima: dict[float, float] = {}

    def spans(self, choices: Choices, free: int = FREE) -> Iterator[tuple[PathId | None, int, int]]:
        """Which path pays for the samples from which one to which one (that one left out), but the ``free`` ones."""
        ends = [begin for begin, _ in choices[1:]] + [self.samples]
        for (begin, choice), end in zip(choices, ends, strict=True):
            first = max(begin, free)
            if first < end:
                yield choice, first, end

    def score(self, choices: Choices, price: float) -> Score:
        """What the choices cost at ``price`` ms per switch."""
        counted = self.samples - FREE
        if counted <= 0:
            return Score(0, nan, nan, nan, nan)
        stay = sum(self.costs[self.start()][FREE:])
        got = self._got(choices, price)
        best = self._optima.get(price)
        if best is None:
            best = self._optima[price] = _optimum(list(self.costs.values()), price)
        gap = (got - best) / (stay - best) if stay > best else nan
        return Score(counted, got / counted, stay / counted, best / counted, gap)

    def start(self) -> PathId:
        """The path that was best at the first sample."""
        first = {path: inf if column[0] is None else column[0] for path, column in self.columns.items()}
        return min(first, key=first.__getitem__)

    def _got(self, choices: Choices, price: float) -> float:
        paid = 0.0
        last: PathId | None = None
        for choice, begin, end in self.spans(choices):
            if choice != last and last is not None:
                paid += price
            paid += RTT_MAX * (end - begin) if choice is None else sum(self.costs[choice][begin:end])
            last = choice
        return paid


class Ledger:
    """Collects what paths brought at each time, and which was in use. ``rounds``: each time is a sample."""

    def __init__(self, *, rounds: bool = False) -> None:
        self.rows = 0
        self.choices: list[tuple[int, PathId | None]] = [(0, None)]
        self.times = array("d")
        self._rounds = rounds
        self._tracks: dict[PathId, Track] = {}
        self._piles: list[tuple[int, Sequence[PathId]]] = []
        # Times with the same paths pile up row by row, and are cut into tracks when other paths come: most traces are
        # one pile, and slicing that costs next to nothing.
        self._paths: Sequence[PathId] = ()
        self._pile: list[float | None] = []
        self._cut_at = 0

    def add(self, paths: Sequence[PathId], rtts: Sequence[float | None], time: float | None = None) -> None:
        """What the probe of each path brought at this time, in seconds; None: a second after the last."""
        if paths != self._paths:
            self._cut()
            self._paths = paths
        self._pile += rtts
        self.times.append(len(self.times) if time is None else time)

    def choose(self, path: PathId | None) -> None:
        """From the next time on ``path`` is in use, and pays."""
        self.choices.append((len(self.times), path))

    def samples(self) -> Samples:
        """All that was collected, as samples."""
        self._cut()
        return judged(self._tracks, self.times, self._piles, rounds=self._rounds)

    def _cut(self) -> None:
        pile, width, begin = self._pile, len(self._paths), self._cut_at
        if not pile:
            return
        for path, place in dict(zip(self._paths, range(width), strict=True)).items():
            # A second row of the same time: the later one counts.
            self._tracks.setdefault(path, Track()).add(begin, pile[place::width])
        self._piles.append((begin, self._paths))
        self.rows += len(pile)
        self._cut_at = len(self.times)
        self._pile = []


def account(samples: Samples, choices: Choices) -> Account:
    """What every path would have cost, also those in use that never had a row."""
    count = len(samples.times)
    columns = dict(samples.columns)
    for _, path in choices:
        if path is not None and path not in columns:
            columns[path] = [None] * count
    return Account(columns, count)


def _paid(column: list[float | None]) -> list[float]:
    """What each sample of a path costs whoever is on it."""
    paid = [value for value in column if value is not None]
    lost = min(median(paid) + LOST, RTT_MAX) if 0 < len(paid) < len(column) else RTT_MAX
    if not paid or max(paid) <= RTT_MAX:
        return column if len(paid) == len(column) else [lost if value is None else value for value in column]  # type: ignore[return-value]
    return [lost if value is None else min(value, RTT_MAX) for value in column]


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
