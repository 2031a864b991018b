"""Several paths at once: which paths share a policy's traffic, and how much of it each takes.

The policy's choice always takes part, and is made as without sharing. Beside it stand the cheapest paths that cost
at most ``spread_within`` more. The parts are proportional to capacity and inversely proportional to cost.

Nothing here is urgent but to leave what can not be used: whoever takes part stays unless it costs half as much again
as is allowed, or a rival is cheaper by half of it; and whatever else would change has to be so for `SETTLE` seconds
on end. So equal paths under noise stay as they are.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from steerd.core.model import PathState, Share, Shares
from steerd.core.standing import SAMPLES_MIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steerd.core.orders import Drains
    from steerd.core.path import Path
    from steerd.core.policy import Policy
    from steerd.core.settings import PathId

SETTLE: Final = 10.0
"""Seconds for which other shares must be due before they are asked for."""

TOLERANCE: Final = 0.10
"""A part that is off by no more than so much of the whole is left as it is."""

STAY: Final = 1.5
"""Who takes part may cost so many times the allowed difference."""

EXCHANGE: Final = 0.5
"""A rival takes another's place if it is cheaper by this share of the allowed difference."""

COST_MIN: Final = 1.0
"""Milliseconds: what costs less, a preferred path for one, has the part of what costs this."""


class Spread:
    """The shares of one policy's traffic: ``shares`` as asked of the kernel, the choice's first; empty when the choice
    has all of it. ``active``: there is anything to be looked after."""

    __slots__ = ("_due_since", "_policy", "active", "shares")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.shares: Shares = ()
        self._due_since: float | None = None
        self.active = False

    def configured(self) -> None:
        """The policy has other settings."""
        self.active = bool(self.shares) or self._policy.settings.spread > 1  # asked for every row of a replay

    def uses(self, path: PathId) -> bool:
        return any(share.path == path for share in self.shares)

    def adopt(self, shares: Shares) -> None:
        """What the kernel has is what was asked for."""
        self.shares = shares
        self._due_since = None
        self.configured()

    def renew(self, drains: Drains, now: float) -> None:
        """The choice changed: the shares change with it, at once."""
        self.adopt(self._due(drains, now))

    def review(self, drains: Drains, now: float) -> bool:
        """Look whether other shares are due. Returns whether `shares` changed."""
        due = self._due(drains, now)
        if not _differs(self.shares, due):
            self._due_since = None
            return False
        if all(self._stays(share.path, drains, now) for share in self.shares[1:]) and self._fits():
            if self._due_since is None:
                self._due_since = now
            if now - self._due_since < SETTLE:
                return False
        self.adopt(due)
        return True

    def _fits(self) -> bool:
        """Whether the shares are of this choice, and no more than may be."""
        policy = self._policy
        return not self.shares or (self.shares[0].path == policy.wanted and len(self.shares) <= policy.settings.spread)

    def _due(self, drains: Drains, now: float) -> Shares:
        """What the shares would be now, if nobody minded the change."""
        policy = self._policy
        if policy.settings.spread == 1 or policy.wanted not in policy.paths:
            return ()
        best = policy.paths[policy.wanted]
        within = policy.settings.spread_within
        most = self._cost(best) + within
        staying = [
            policy.paths[share.path]
            for share in self.shares
            if share.path != best.id and self._stays(share.path, drains, now)
        ]
        cheap = [path for path in staying if self._cost(path) <= most + (STAY - 1.0) * within]
        members = sorted(cheap, key=self._cost)[: policy.settings.spread - 1]
        rivals = (
            path
            for path in policy.paths.values()
            if path is not best and path not in members and self._joins(path, best, drains, now)
        )
        for rival in sorted((path for path in rivals if self._cost(path) <= most), key=self._cost):
            if len(members) < policy.settings.spread - 1:
                members.append(rival)
            elif self._cost(rival) < self._cost(members[-1]) - EXCHANGE * within:
                members[-1] = rival
            members.sort(key=self._cost)
        return self._parts([best, *members]) if members else ()

    def _parts(self, members: Sequence[Path]) -> Shares:
        known = {share.path: share.part for share in self.shares}
        unheard = any(self._cost(path) == inf for path in members)
        if unheard and known.keys() == {path.id for path in members}:
            return tuple(Share(path.id, known[path.id]) for path in members)  # adopted; nothing is known better yet
        worth = [
            path.settings.capacity / (COST_MIN if unheard else max(COST_MIN, self._cost(path))) for path in members
        ]
        return tuple(Share(path.id, one / sum(worth)) for path, one in zip(members, worth, strict=True))

    def _cost(self, path: Path) -> float:
        return self._policy.priced[path.id].cost

    def _stays(self, id_: PathId, drains: Drains, now: float) -> bool:
        """Whether the path may go on taking part, whatever it costs."""
        policy = self._policy
        path = policy.paths.get(id_)
        if path is None or path.health.state not in (PathState.UP, PathState.SUSPECT):
            return False
        # One that was adopted and not heard yet may stay: nothing is known against it.
        return self._asked(path, drains) and (path.cost == inf or policy.excluded(id_, drains, now) is None)

    def _joins(self, path: Path, best: Path, drains: Drains, now: float) -> bool:
        policy = self._policy
        return (
            path.health.state is PathState.UP
            and path.health.held(now) <= 0.0
            and path.samples >= SAMPLES_MIN
            and self._cost(best) < inf
            and self._asked(path, drains)
            and policy.excluded(path.id, drains, now) is None
        )

    def _asked(self, path: Path, drains: Drains) -> bool:
        """Whether nobody ordered traffic away from the path, even if only by preference."""
        policy = self._policy
        pin, choice = policy.pin, policy.paths.get(policy.wanted) if policy.wanted is not None else None
        aside = pin is not None and path.pop != pin.pop and choice is not None and choice.pop == pin.pop
        return not drains.discourages(path.pop) and policy.pin_allows(path, drains) and not aside


def _differs(have: Shares, due: Shares) -> bool:
    """Whether others take part, or any part is off by more than is tolerated."""
    parts = {share.path: share.part for share in have}
    if parts.keys() != {share.path for share in due}:
        return True
    return any(abs(parts[share.path] - share.part) > TOLERANCE for share in due)
