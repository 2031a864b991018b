"""A bounded search of the knobs: one after the other along its grid, from several starts."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import stdev
from time import monotonic
from typing import Final

from steerd.config.document import Document
from steerd.tune.evaluate import Blocks, Evaluator
from steerd.tune.knobs import KNOBS, Knobs, Rule

RANDOM: Final = 16
"""Random starts that are tried for each rule; the search goes on from the best."""

NEAR: Final = 2
"""Values on either side that are tried of each knob; in the first pass also every second one of the whole grid."""

PASSES: Final = 6
"""Passes over all knobs from one start, at most."""

STEP: Final = 1e-4
"""What is better by less than this share is not better."""

SPENT: Final = 0.05
"""Of what was found, so much is given away for knobs that stay as they are, or go to their defaults."""

SEED: Final = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: after so many candidates, or seconds."""

    candidates: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Found:
    """The best of all candidates that were tried, and how many that were.

    ``stopped`` is the limit that ended the search early, if one did: ``"time"`` or ``"candidates"``; ``untried``
    says in words what was left then.
    """

    best: Knobs
    tried: int
    stopped: str | None
    untried: Sequence[str]


class _StoppedError(Exception):
    pass


class Search:
    """One search. ``keep`` names keys that stay as they are; ``watch`` is told after each candidate how many were
    tried."""

    def __init__(
        self,
        present: Knobs,
        evaluator: Evaluator,
        limits: Limits,
        *,
        keep: Iterable[str] = (),
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self._present = present
        self._evaluator = evaluator
        self._limits = limits
        self._deadline = monotonic() + limits.seconds
        self._keep = frozenset(keep)
        self._watch = watch
        self._default = Knobs.of(Document())
        self._random = Random(SEED)  # noqa: S311
        self._blocks: dict[Knobs, Blocks] = {}
        self._costs: dict[Knobs, float] = {}
        self._stopped: str | None = None

    def run(self) -> Found | None:
        """Search until nothing better is found, or to a limit. None: not even the present knobs could be tried."""
        stages = list(self._stages())
        untried = [what for what, _ in stages]
        try:
            self._evaluate([self._present])
            for _, stage in stages:
                stage()
                untried.pop(0)
        except _StoppedError:
            pass
        if self._present not in self._costs:
            return None
        tried = len(self._costs)
        best = self._spare(self._best())
        return Found(best, tried, self._stopped, untried)

    def _stages(self) -> Iterator[tuple[str, Callable[[], None]]]:
        rules: list[Rule] = ["regret", "threshold"]
        rules.sort(key=lambda rule: rule != self._present.rule)
        for rule in rules:
            if rule == self._present.rule:
                yield "the surroundings of the present values", lambda: self._descend(self._present)
            elif "rule" in self._keep:
                continue
            yield f'rule = "{rule}" from other starts', lambda rule=rule: self._elsewhere(rule)  # type: ignore[misc]

    def _elsewhere(self, rule: Rule) -> None:
        """From the best of the defaults, of what was found for the other rule, and of random values."""
        kept = {key: self._present.value(key) for key in self._keep}
        starts = [self._default.put({**kept, "rule": rule}), self._best().put({"rule": rule})]
        for _ in range(RANDOM):
            drawn = {key: self._random.choice(knob.grid) for key, knob in KNOBS.items()}
            starts.append(self._present.put({**drawn, **kept, "rule": rule}))
        starts = [self._idle(start) for start in starts]
        self._evaluate(starts)
        self._descend(min(starts, key=self._costs.__getitem__))

    def _idle(self, knobs: Knobs) -> Knobs:
        """What does nothing with this rule stays as it is."""
        works = {"rule", *knobs.numbers()}
        return self._present.put({key: knobs.value(key) for key in works})

    def _descend(self, start: Knobs) -> None:
        """Each knob in turn to its best value, until none gets better."""
        here = start
        for n in range(PASSES):
            before = here
            for key in here.numbers():
                if key in self._keep:
                    continue
                line = [here.put({key: value}) for value in _around(KNOBS[key].grid, here.value(key), whole=n == 0)]
                self._evaluate(line)
                best = min(line, key=self._costs.__getitem__)
                if self._better(best, here):
                    here = best
            if here == before:
                return

    def _better(self, one: Knobs, other: Knobs) -> bool:
        return self._costs[one] < self._costs[other] * (1.0 - STEP)

    def _best(self) -> Knobs:
        """The cheapest; another rule than the present one must be cheaper by a `STEP`."""
        own = min(self._of_rule(same=True), key=self._costs.__getitem__)
        other = min(self._of_rule(same=False), key=self._costs.__getitem__, default=own)
        return other if self._better(other, own) else own

    def _of_rule(self, *, same: bool) -> Iterator[Knobs]:
        return (knobs for knobs in self._costs if (knobs.rule == self._present.rule) is same)

    def _spare(self, best: Knobs) -> Knobs:
        """What is as good as the best, and less far fetched: knobs stay as they are, or at least go to their
        defaults, where that costs no more than `SPENT`, or than one standard error of what it costs: what is
        best of hundreds on these traces owes some of that to chance."""
        kept = {key: self._present.value(key) for key in self._keep}
        defaults = [self._idle(self._default.put({**kept, "rule": rule})) for rule in (self._present.rule, best.rule)]
        own = min(self._of_rule(same=True), key=self._costs.__getitem__)
        spared = next((one for one in (*defaults, own) if one in self._costs and self._spent_well(one, best)), best)
        while True:
            simpler = list(self._simpler(spared))
            try:
                self._evaluate(simpler)
            except _StoppedError:
                simpler = [knobs for knobs in simpler if knobs in self._costs]
            simpler = [knobs for knobs in simpler if self._spent_well(knobs, best)]
            if not simpler:
                return spared
            spared = min(simpler, key=self._costs.__getitem__)

    def _simpler(self, knobs: Knobs) -> Iterator[Knobs]:
        """With one knob at its present value, or at its default instead of another one."""
        for key in knobs.numbers():
            if key in self._keep:
                continue
            value, present, default = knobs.value(key), self._present.value(key), self._default.value(key)
            if value != present:
                yield knobs.put({key: present})
                if value != default:
                    yield knobs.put({key: default})

    def _spent_well(self, simpler: Knobs, best: Knobs) -> bool:
        spent = self._costs[simpler] - self._costs[best]
        won = self._costs[self._present] - self._costs[best]
        return spent <= max(SPENT * won, _error(self._blocks[simpler], self._blocks[best]))

    def _evaluate(self, candidates: Sequence[Knobs]) -> None:
        """Raises _StoppedError at a limit: some of the candidates may then have been tried."""
        new = [knobs for knobs in dict.fromkeys(candidates) if knobs not in self._costs]
        room = self._limits.candidates - len(self._costs)
        for knobs, blocks in self._evaluator.evaluate(new[:room], self._deadline):
            self._blocks[knobs] = blocks
            self._costs[knobs] = sum(blocks)
            if self._watch is not None:
                self._watch(len(self._costs))
        if new and new[-1] not in self._costs:
            self._stopped = "candidates" if len(self._costs) >= self._limits.candidates else "time"
            raise _StoppedError


def _around(grid: Sequence[float], value: float, *, whole: bool) -> list[float]:
    """Values near this one, and with ``whole`` from all over the grid."""
    below, above = bisect_left(grid, value), bisect_right(grid, value)
    near = {*grid[max(0, below - NEAR) : below], *grid[above : above + NEAR], value}
    return sorted({*near, *grid[::2]} if whole else near)


def _error(one: Blocks, other: Blocks) -> float:
    """The standard error of the difference of the sums, block by block."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    return stdev(differences) * sqrt(len(differences)) if len(differences) > 1 else 0.0
