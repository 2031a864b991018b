"""What a region's gateways measured, put together so that a third of them may lie and nobody notices.

A median of n values is not moved beyond the honest ones' range while fewer than half lie (its breakdown point is 1/2:
Hampel 1971); means, also trimmed ones, are moved by each liar.
"""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Final

from steerd.core.states import PathState
from steerd.fleet.heard import Gateway
from steerd.share.messages import PathRollup

LEAST: Final = 5
"""So many gateways must have seen a PoP: of fewer, two liars are a majority."""

USABLE: Final = (PathState.UP, PathState.SUSPECT)


def rolled_up(gateways: Iterable[Gateway], now: float, stale_after: float) -> list[PathRollup]:
    """Of each PoP that at least `LEAST` known gateways measure now: the median of their RTTs, each gateway's best path
    to it, and the median absolute deviation; the median of their losses. Sorted by PoP."""
    seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for gateway in gateways:
        if not gateway.known or gateway.scored_at is None or now - gateway.scored_at > stale_after:
            continue
        best: dict[str, tuple[float, float]] = {}
        for path in gateway.paths:
            if path.state in USABLE and path.rtt is not None:
                one = path.rtt, path.loss
                best[path.pop] = min(best.get(path.pop, one), one)
        for pop, one in best.items():
            seen[pop].append(one)
    return [_of(pop, found) for pop, found in sorted(seen.items()) if len(found) >= LEAST]


def _of(pop: str, found: list[tuple[float, float]]) -> PathRollup:
    middle = median(rtt for rtt, _ in found)
    return PathRollup(
        pop=pop,
        median_rtt_us=round(middle * 1000),
        mad_us=round(median(abs(rtt - middle) for rtt, _ in found) * 1000),
        loss_ppm=round(median(loss for _, loss in found) * 1_000_000),
        gateways=len(found),
    )
