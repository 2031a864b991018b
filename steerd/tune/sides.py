"""What the present knobs and those found bring on either side of the split."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, nan
from typing import NamedTuple

from steerd.core.settings import Settings
from steerd.replay.figures import P95, answered, moves, nearest_rank
from steerd.replay.run import choices
from steerd.tune.knobs import Knobs
from steerd.tune.rows import Kept
from steerd.tune.settle import Settled, block_length


class Result(NamedTuple):
    """What one setting brought on one side; the names are those of ``steerd replay --json``. NaN: nothing to tell."""

    j: float
    gap_left: float
    switches_per_hour: float
    rtt_mean_ms: float
    rtt_p95_ms: float


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the split: what every setting brought, what its blocks cost, and J of each part with it; what
    the blocks cost when staying where the first sample was best; the whole cost in hindsight, in ms; and the number
    of samples that J counts."""

    results: Mapping[Knobs, Result]
    blocks: Mapping[Knobs, Sequence[float]]
    js: Mapping[Knobs, Sequence[float]]
    staying: Sequence[float]
    optimum: float
    counted: int


@dataclass(slots=True)
class _Sum:
    paid: float = 0.0
    moves: int = 0
    rtts: "array[float]" = field(default_factory=lambda: array("f"))


def side(parts: Sequence[Kept], tried: Sequence[Knobs], settings: Settings, price: float) -> Side:
    """Replay each part with each setting. Samples weigh the same, so J is the whole cost by all samples."""
    length = block_length(parts)
    sums = {knobs: _Sum() for knobs in tried}
    blocks: dict[Knobs, list[float]] = {knobs: [] for knobs in tried}
    js: dict[Knobs, list[float]] = {knobs: [] for knobs in tried}
    staying: list[float] = []
    best = seconds = 0.0
    counted = 0
    for part in parts:
        account = part.account()
        settled = Settled(account, price, length)
        counted += part.counted
        seconds += part.seconds
        staying += settled.blocks([(0, account.start())])
        for n, (knobs, total) in enumerate(sums.items()):
            chosen = choices(part.replayed(), knobs.settings(settings, price))
            score = account.score(chosen, price)
            if n == 0:
                best += score.j_optimum * score.samples
            total.paid += score.j * score.samples
            total.moves += moves(chosen)
            total.rtts.extend(answered(account, chosen)[0])
            blocks[knobs] += settled.blocks(chosen)
            js[knobs].append(score.j)
    start = sum(staying)
    results = {knobs: _result(total, start, best, counted, seconds) for knobs, total in sums.items()}
    return Side(results, blocks, js, staying, best, counted)


def _result(total: _Sum, start: float, best: float, counted: int, seconds: float) -> Result:
    return Result(
        j=total.paid / counted,
        gap_left=(total.paid - best) / (start - best) if start > best else nan,
        switches_per_hour=total.moves / seconds * 3600.0 if seconds > 0.0 else nan,
        rtt_mean_ms=fsum(total.rtts) / len(total.rtts) if total.rtts else nan,
        rtt_p95_ms=nearest_rank(total.rtts, P95),
    )
