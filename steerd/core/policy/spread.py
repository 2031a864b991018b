"""Several paths at once: which paths share a policy's traffic, and how much of it each takes.

The policy's choice always takes part, and is made as without sharing. Beside it stand the cheapest paths that cost
at most ``spread_within`` more. The parts are proportional to capacity and inversely proportional to cost.

Nothing here is urgent but to leave what cannot be used: whoever takes part stays unless it costs half as much again
as is allowed, or a rival is cheaper by half of it; and whatever else would change has to be so for `SETTLE` seconds
on end. So equal paths under noise stay as they are.
"""

from collections.abc import Sequence
from typing import Final

from steerd.core.belief.path import Path
from steerd.core.events import Share, Shares
from steerd.core.policy.eligibility import Eligibility
from steerd.core.rules.rule import SAMPLES_MIN
from steerd.core.settings import PathId, PolicySettings
from steerd.core.states import PathState

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

    __slots__ = ("_due_since", "_most", "_within", "active", "shares")

    def __init__(self, settings: PolicySettings) -> None:
        self.shares: Shares = ()
        self._due_since: float | None = None
        self.configure(settings)

    def configure(self, settings: PolicySettings) -> None:
        """The policy has these settings."""
        self._most, self._within = settings.spread, settings.spread_within
        self.active = bool(self.shares) or self._most > 1  # asked for every round of a replay

    def uses(self, path: PathId) -> bool:
        """Whether the path carries a share."""
        return any(share.path == path for share in self.shares)

    def adopt(self, shares: Shares) -> None:
        """What the kernel has is what was asked for."""
        self.shares = shares
        self._due_since = None
        self.active = bool(shares) or self._most > 1

    def renew(self, eligible: Eligibility) -> None:
        """The choice changed: the shares change with it, at once."""
        self.adopt(self._due(eligible))

    def review(self, eligible: Eligibility) -> bool:
        """Look whether other shares are due. Returns whether `shares` changed."""
        due = self._due(eligible)
        if not _differs(self.shares, due):
            self._due_since = None
            return False
        have = self.shares  # of this choice, and no more than may be?
        fits = not have or (have[0].path == eligible.wanted and len(have) <= self._most)
        if fits and all(_stays(eligible, share.path) for share in have[1:]):
            if self._due_since is None:
                self._due_since = eligible.now
            if eligible.now - self._due_since < SETTLE:
                return False
        self.adopt(due)
        return True

    def _due(self, eligible: Eligibility) -> Shares:
        """What the shares would be now, if nobody minded the change."""
        best, prices = eligible.current, eligible.prices
        if self._most == 1 or best is None:
            return ()

        def cost(path: Path) -> float:
            return prices[path.id].cost

        most = cost(best) + self._within
        staying = [
            eligible.paths[share.path]
            for share in self.shares
            if share.path != best.id and _stays(eligible, share.path)
        ]
        cheap = [path for path in staying if cost(path) <= most + (STAY - 1.0) * self._within]
        members = sorted(cheap, key=cost)[: self._most - 1]
        rivals = (
            path
            for path in eligible.paths.values()
            if path is not best and path not in members and _joins(eligible, path, best)
        )
        for rival in sorted((path for path in rivals if cost(path) <= most), key=cost):
            if len(members) < self._most - 1:
                members.append(rival)
            elif cost(rival) < cost(members[-1]) - EXCHANGE * self._within:
                members[-1] = rival
            members.sort(key=cost)
        return self._parts(eligible, [best, *members]) if members else ()

    def _parts(self, eligible: Eligibility, members: Sequence[Path]) -> Shares:
        known = {share.path: share.part for share in self.shares}
        unheard = any(not path.samples for path in members)
        if unheard and known.keys() == {path.id for path in members}:
            return tuple(Share(path.id, known[path.id]) for path in members)  # adopted; nothing is known better yet
        worth = [
            path.settings.capacity / (COST_MIN if unheard else max(COST_MIN, eligible.prices[path.id].cost))
            for path in members
        ]
        return tuple(Share(path.id, one / sum(worth)) for path, one in zip(members, worth, strict=True))


def _stays(eligible: Eligibility, id_: PathId) -> bool:
    """Whether the path may go on taking part, whatever it costs."""
    path = eligible.paths.get(id_)
    if path is None or path.health.state not in (PathState.UP, PathState.SUSPECT):
        return False
    # One that was adopted and not heard yet may stay: nothing is known against it.
    return _asked(eligible, path) and (not path.samples or eligible.excluded(id_) is None)


def _joins(eligible: Eligibility, path: Path, best: Path) -> bool:
    return (
        path.health.state is PathState.UP
        and path.health.held(eligible.now) <= 0.0
        and path.samples >= SAMPLES_MIN
        and best.samples > 0
        and _asked(eligible, path)
        and eligible.excluded(path.id) is None
    )


def _asked(eligible: Eligibility, path: Path) -> bool:
    """Whether nobody ordered traffic away from the path, even if only by preference."""
    pin, choice = eligible.pin, eligible.current
    aside = pin is not None and path.pop != pin.pop and choice is not None and choice.pop == pin.pop
    return not eligible.drains.discourages(path.pop) and eligible.pin_allows(path) and not aside


def _differs(have: Shares, due: Shares) -> bool:
    """Whether others take part, or any part is off by more than is tolerated."""
    parts = {share.path: share.part for share in have}
    if parts.keys() != {share.path for share in due}:
        return True
    return any(abs(parts[share.path] - share.part) > TOLERANCE for share in due)
