"""Tuning from its beginning to its verdict: split, search on one side, judge on the other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steerd.core.settings import Settings
from steerd.tune import verdict
from steerd.tune.evaluate import Bench, evaluator
from steerd.tune.knobs import Change, Knobs
from steerd.tune.rows import Kept
from steerd.tune.search import Found, Limits, Search
from steerd.tune.settle import Settled, block_length
from steerd.tune.sides import Side, side
from steerd.tune.split import Split
from steerd.tune.verdict import Gain


class Present(NamedTuple):
    """The present configuration: its settings, its knobs, and the price of a switch in ms."""

    settings: Settings
    knobs: Knobs
    price: float


@dataclass(frozen=True, slots=True)
class Judged:
    """The best knobs that were found, if they are not the present ones, and what speaks against them: nothing if
    they are to be recommended."""

    knobs: Knobs
    seen: Gain
    unseen: Gain
    objections: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tuning:
    """All that is to be told; ``judged`` is None where nothing beat the present knobs on the seen part."""

    present: Present
    split: Split
    found: Found
    seen: Side
    unseen: Side
    judged: Judged | None

    @property
    def changes(self) -> list[Change]:
        """What is recommended to be written: nothing where nothing better was found."""
        if self.judged is None or self.judged.objections:
            return []
        return self.present.knobs.changes(self.judged.knobs)


def tune(
    present: Present,
    parts: Split,
    limits: Limits,
    *,
    keep: Iterable[str] = (),
    watch: Callable[[int], None] | None = None,
) -> Tuning | None:
    """Search, and judge. For ``keep`` and ``watch`` see `Search`. None: the limit left no time for a single
    candidate."""
    found = _search(present, parts.seen, limits, keep, watch)
    if found is None:
        return None
    tried = list(dict.fromkeys([present.knobs, found.best]))
    seen = side(parts.seen, tried, present.settings, present.price)
    unseen = side(parts.unseen, tried, present.settings, present.price)
    return Tuning(present, parts, found, seen, unseen, _judge(present.knobs, found.best, parts, seen, unseen))


def _search(
    present: Present, parts: Sequence[Kept], limits: Limits, keep: Iterable[str], watch: Callable[[int], None] | None
) -> Found | None:
    length = block_length(parts)
    settled = [Settled(part.account(), present.price, length) for part in parts]
    bench = Bench(parts, settled, present.settings, present.price)
    with evaluator(bench) as trying:
        return Search(present.knobs, trying, limits, keep=keep, watch=watch).run()


def _judge(old: Knobs, new: Knobs, parts: Split, seen: Side, unseen: Side) -> Judged | None:
    if new == old:
        return None
    seen_gain, unseen_gain = (
        verdict.gain(one.blocks[old], one.blocks[new], one.staying, one.optimum, one.counted) for one in (seen, unseen)
    )
    traces = [
        (part.trace, before, after)
        for part, before, after in zip(parts.unseen, unseen.js[old], unseen.js[new], strict=True)
    ]
    return Judged(new, seen_gain, unseen_gain, verdict.objections(seen_gain, unseen_gain, traces))
