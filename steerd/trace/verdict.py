"""What a trace means, in words. Pure: hops in, a sentence out."""

from collections.abc import Sequence
from itertools import accumulate, pairwise, takewhile
from typing import Final

from steerd.trace.result import ELSEWHERE, Hop, MtuState, TargetTrace

STEP: Final = 10.0
SHARE: Final = 1 / 3
"""A growth of delay between two hops is told from so many ms on, and from this share of the target's delay."""

_LOOP: Final = 3


def verdict(traces: Sequence[TargetTrace]) -> str:
    """One sentence for a path: the families together where they fare alike."""
    each = [(trace.family, of_target(trace)) for trace in traces]
    if len({text for _, text in each}) == 1:
        return each[0][1]
    return "; ".join(f"IPv{family}: {text}" for family, text in each) or "there is nothing to trace to"


def of_target(trace: TargetTrace) -> str:
    """The sentence for one target."""
    mtu, where = trace.mtu, _where(trace)
    if mtu is None or mtu.state is not MtuState.BLACK_HOLE:
        return where
    return f"{where}; packets of more than {mtu.size} bytes vanish without an error"


def _where(trace: TargetTrace) -> str:
    if trace.refused is not None:
        return f"this machine cannot send: {trace.refused}"
    answering = [hop for hop in trace.hops if hop.answered]
    if not answering:
        if trace.reached:
            return "the target answers, without telling at which hop"
        return "no hop answered: check this gateway; for a tunnel, check both ends"
    last = answering[-1]
    if last.target:
        return _reached(trace.hops, last)
    if last.error == ELSEWHERE:
        who = " and ".join(last.addresses)
        return f"{who} {ELSEWHERE}: something changes the source of its answers (SNAT at the far side?)"
    if last.error is not None:
        return _refused(trace, last)
    if loop := _loop(answering):
        return loop
    if trace.reached:
        return f"the target answers, beyond {_named(last)}, without telling at which hop"
    return f"answers until {_named(last)}, nothing beyond"


def _reached(hops: Sequence[Hop], target: Hop) -> str:
    if target.error is not None:
        return f'the target answers with "{target.error}"'
    if target.hop == 1:
        first = "the first hop is the target (a tunnel shows no hops)"
        return first if target.answered == target.sent else f"{first}; it answers {target.answered} of {target.sent}"
    findings = [text for text in (_loss(hops, target), _step(hops, target)) if text]
    if findings:
        return "; ".join(["the target answers", *findings])
    within = "" if target.best_ms is None else f", in {_ms(target.best_ms)}"
    return f"the target answers, at hop {target.hop}{within}"


def _refused(trace: TargetTrace, last: Hop) -> str:
    if trace.source in last.addresses:
        return f'this machine itself says "{last.error}": check this gateway'
    said = f'says "{last.error}"'
    # The router that can go no further answers for the hop behind it too: name it by where it was seen first.
    who = next(hop for hop in trace.hops if set(hop.addresses) & set(last.addresses))
    before = next((hop for hop in reversed(trace.hops) if hop.hop < who.hop and hop.answered), None)
    if who.error is None or who.hop == 1 or (before is not None and before.hop == who.hop - 1):
        return f"{_named(who)} {said}"
    # Routers limit such answers: the first one need not be that of the router's own hop.
    return f"{', '.join(who.addresses)}, {f'beyond {_named(before)}' if before else 'before any hop'}, {said}"


def _loss(hops: Sequence[Hop], target: Hop) -> str | None:
    """Loss counts where it goes on to the target: a router before it may only limit its own answers."""
    answering = reversed([hop for hop in hops if hop.hop <= target.hop and hop.answered])
    lossy = list(takewhile(lambda hop: hop.answered != hop.sent, answering))
    return f"loss begins at hop {lossy[-1].hop}" if lossy else None


def _step(hops: Sequence[Hop], target: Hop) -> str | None:
    """The greatest growth of delay that lasts: no later hop answers faster."""
    timed = [(hop.hop, hop.best_ms) for hop in reversed(hops) if hop.hop <= target.hop and hop.best_ms is not None]
    floors = accumulate((best for _, best in timed), min)
    lasting = [(number, floor) for (number, _), floor in zip(timed, floors, strict=True)]
    steps = [(after - before, first, second) for (second, after), (first, before) in pairwise(lasting)]
    growth, first, second = max(steps, default=(0.0, 0, 0))
    if growth < STEP or target.best_ms is None or growth < SHARE * target.best_ms:
        return None
    return f"the delay grows by {growth:.0f} ms between hop {first} and hop {second}"


def _loop(answering: Sequence[Hop]) -> str | None:
    seen: dict[str, list[int]] = {}
    for hop in answering:
        for address in hop.addresses:
            seen.setdefault(address, []).append(hop.hop)
    again = sorted((hops[0], address) for address, hops in seen.items() if len(hops) >= _LOOP)
    if not again:
        return None
    return f"goes in circles from hop {again[0][0]} on, by {' and '.join(address for _, address in again[:2])}"


def _named(hop: Hop) -> str:
    return f"hop {hop.hop} ({', '.join(hop.addresses)})"


def _ms(value: float) -> str:
    return f"{value:.2f} ms" if value < 1 else f"{value:.1f} ms"
