"""Forced moves: when a policy has to leave where it is, whatever that costs, and where to."""

from collections.abc import Callable, Sequence
from math import exp, inf
from typing import Final

from steerd.core.belief.path import Path
from steerd.core.effects import Terms
from steerd.core.policy.eligibility import Eligibility
from steerd.core.settings import PathId
from steerd.core.states import PathState, Reason

AWAITED: Final = 0.25
"""Seconds: from when the choice is down, a better path than those that have answered since is awaited for so long."""


def forced(eligible: Eligibility) -> Reason | None:
    """Why the policy has to leave the path that is wanted; None: it may stay."""
    drains, path = eligible.drains, eligible.current
    if path is None:
        return Reason.POLICY
    if drains.forbids(path.pop) or (drains.discourages(path.pop) and eligible.undrained()):
        return Reason.DRAIN
    if not eligible.pin_allows(path):
        return Reason.PIN
    if path.health.state is PathState.ABSENT:
        return Reason.ABSENT
    if path.health.state is PathState.DOWN or (path.health.blind and eligible.sighted()):
        return Reason.DOWN
    if eligible.pin is not None and path.pop != eligible.pin.pop and eligible.pinned(up=True):
        return Reason.PIN
    return None


def target(eligible: Eligibility, reason: Reason) -> Path | None:
    """The first by rank of the paths to move to; None if there is none yet. A path that is left for being silent is
    left for one that answered a probe sent since its silence began."""
    return min(_choices(eligible, reason), key=eligible.rank, default=None)


def spread(
    eligible: Eligibility, best: Path, reason: Reason, within: float, draw: Callable[[], float]
) -> tuple[Path, Terms]:
    """Where to move, of ``best`` and those that only cost puts behind it: drawn, with weight exp(-excess / ``within``),
    both in ms; and what was compared. When a PoP dies, all that were there are to go, and the best is the same for
    many: so they part without a word to each other, and nobody goes where it is much worse."""
    *before, least = eligible.rank(best)
    ranks = [(path, eligible.rank(path)) for path in _choices(eligible, reason)]
    equals = [(path, cost) for path, (*first, cost) in ranks if first == before]
    if len(equals) < 2 or least == inf or not within or reason is Reason.START:
        return best, {}
    weights = [exp((least - cost) / within) for _, cost in equals]
    left = draw() * sum(weights)
    for (path, _), weight in zip(equals, weights, strict=True):
        left -= weight
        if left < 0.0:
            return path, {} if path is best else {"best": least, "within": within}
    return best, {}


def awaits(eligible: Eligibility, to: Path, reason: Reason, *, ignore_below: float) -> bool:
    """Whether to leave a silent path a little later than for ``to``, since nothing speaks against a path that
    ranks before it (a cost counts from ``ignore_below`` ms on) but that its answer is still on the way. Who was
    probed first is chance; to take the next best for that would be a switch more, and another one back."""
    silent, current = _silent(eligible, reason), eligible.current
    if current is None or silent == -inf or eligible.now >= current.health.since + AWAITED:
        return False
    *first, cost = eligible.rank(to)
    before = (*first, cost - ignore_below)
    return any(
        path.health.state is PathState.UP
        and path.answered_at <= silent
        and eligible.excluded(path.id) is None
        and eligible.rank(path) < before
        for path in eligible.paths.values()
    )


def local_outage(eligible: Eligibility, reason: Reason) -> bool:
    """Whether nothing on the current path's uplink answers, so that the fault is on this side."""
    if reason is not Reason.DOWN or eligible.current is None:
        return False
    uplink = eligible.current.settings.uplink
    shared = [path for path in eligible.paths.values() if path.settings.uplink == uplink]
    return len(shared) > 1 and not any(path.health.answering for path in shared)


def second(eligible: Eligibility, best: Path, shares: Callable[[PathId], bool]) -> PathId | None:
    """The runner-up: healthy, undrained, by preference on another uplink than the best, and none that ``shares``."""
    choices = [
        path
        for path in eligible.paths.values()
        if path is not best
        and not shares(path.id)
        and path.health.state is PathState.UP
        and not eligible.drains.discourages(path.pop)
        and eligible.excluded(path.id) is None
    ]
    uplink = best.settings.uplink
    ranked = min(choices, key=lambda path: (path.settings.uplink == uplink, eligible.rank(path)), default=None)
    return None if ranked is None else ranked.id


def serves(eligible: Eligibility, runner: PathId | None, shares: Callable[[PathId], bool]) -> bool:
    """Whether the present runner-up may stay: it is kept as long as it can do its work."""
    path = eligible.paths.get(runner) if runner is not None else None
    if path is None or path.id == eligible.wanted or shares(path.id):
        return False
    if eligible.drains.discourages(path.pop) or not eligible.pin_allows(path):
        return False
    # One that was adopted and not heard yet may stay: nothing is known against it.
    return path.health.state in (PathState.UP, PathState.SUSPECT)


def _choices(eligible: Eligibility, reason: Reason) -> Sequence[Path]:
    silent, current = _silent(eligible, reason), eligible.current
    choices = [
        path
        for path in eligible.paths.values()
        if path.id != eligible.wanted and path.answered_at > silent and eligible.excluded(path.id) is None
    ]
    if not choices and not (current is not None and eligible.half(current)):
        halves = (path for path in eligible.paths.values() if path.id != eligible.wanted and eligible.half(path))
        choices = [path for path in halves if path.answered_by_half(eligible.now) > silent]
    return choices


def _silent(eligible: Eligibility, reason: Reason) -> float:
    return eligible.silent_since() if reason is Reason.DOWN else -inf
