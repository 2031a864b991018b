"""One policy: which paths it may use now, in which order, and whether it is forced to move.

The order of precedence: what the policy forbids, drain, hard pin, health, soft pin, cost.
"""

from collections.abc import Mapping
from math import inf, log2
from typing import Final

from steerd.core.cost import tariff
from steerd.core.health import HOLD_BASE
from steerd.core.model import PathState, PolicyState, Reason, Shares, Steer, Switched, Terms
from steerd.core.orders import Drains, Pin
from steerd.core.path import Path
from steerd.core.quote import Quote
from steerd.core.rules import Rule, Standing
from steerd.core.settings import PathId, PolicySettings
from steerd.core.spread import Spread

STEERING: Final = PolicyState.STEERING

REFUSED_FIRST: Final = 1.0
REFUSED_MAX: Final = 60.0
"""A path that the kernel refused is left alone for a while, doubling from the first to the last."""

AWAITED: Final = 0.25
"""Seconds: from when the choice is down, a better path than those that have answered since is awaited for so long."""


class Policy:
    """The mutable state of one policy. ``wanted`` is what was asked of the kernel, ``choice`` what it has."""

    def __init__(self, settings: PolicySettings, paths: Mapping[PathId, Path], rule: Rule) -> None:
        self.id = settings.policy
        self.choice: PathId | None = None
        self.runner_up: PathId | None = None
        self.shared: Shares = ()  # as the kernel has it; `spread` knows what was asked for
        self.wanted: PathId | None = None
        self.wanted_runner: PathId | None = None
        self.pending_since: float | None = None  # a Steer is out, and no Installed has answered it
        self.error: str | None = None
        self.since: float | None = None
        self.event_id = ""
        self.last: Switched | None = None
        self.state = PolicyState.NONE
        self.blocked_by: Reason | None = None
        self.outage_over: float | None = None  # when something on the dead uplink was first heard again
        self.pin: Pin | None = None
        self.field: list[Standing] = []
        self.current: Standing | None = None  # the choice's, when it was made and its cost is known
        self.stale_at = -inf  # when `field` has to be made anew; -inf: now
        self._refused: dict[PathId, tuple[float, float, str]] = {}  # until, wait, error
        self.spread = Spread(self)
        self.configure(settings, paths, rule)

    def configure(self, settings: PolicySettings, paths: Mapping[PathId, Path], rule: Rule) -> None:
        """Take new settings; the choice, the pin and what the rule remembers of paths that stay are kept."""
        old = getattr(self, "standings", {})
        self.settings = settings
        self.rule = rule
        self.spread.configured()
        self.forbidden = dict(settings.forbidden)
        self.paths = {id_: path for id_, path in paths.items() if id_ not in self.forbidden}
        worths = dict(settings.preferred)
        self.priced: dict[PathId, Path | Quote] = {}
        for id_, path in self.paths.items():
            own = tariff(settings, path.pricing)
            self.priced[id_] = path if own is None else Quote(path, own, worths.get(id_, 0.0))
        self.standings = {id_: old.get(id_) or Standing(path) for id_, path in self.paths.items()}
        for id_, standing in self.standings.items():
            standing.belief = self.priced[id_]
        self.stale_at = -inf

    # What it costs

    def terms(self, path: PathId) -> Terms:
        """What this policy takes the path to cost, term by term, in ms; empty when nothing is known."""
        return self.priced[path].terms()

    def shown(self, path: PathId) -> Terms:
        """What else this policy looks at of the path: ``mos`` where that is its objective."""
        priced = self.priced[path]
        return priced.shown() if isinstance(priced, Quote) else {}

    # What is asked of the kernel

    def ask(self, now: float) -> Steer:
        """For what is wanted; an answer is awaited from now on."""
        self.pending_since = now
        return Steer(self.id, self.wanted, self.wanted_runner, self.event_id, self.spread.shares)

    # What is allowed

    def dwell(self, now: float) -> float:
        """For how many more seconds only force may move the policy: its ``min_dwell`` from the last switch. What an
        earlier run left counts as switched to when it was adopted."""
        if self.since is None:
            return 0.0
        return max(0.0, self.since + self.settings.min_dwell - now)

    def excluded(self, path: PathId, drains: Drains, now: float) -> str | None:
        """Why the policy may not move to this path now, or None."""
        if path in self.forbidden:
            return self.forbidden[path]
        candidate = self.paths[path]
        if drains.forbids(candidate.pop):
            return f"{candidate.pop} is drained ({drains.origin(candidate.pop)})"
        if not self.pin_allows(candidate, drains):
            return f"the policy is pinned to {self.pin.pop}" if self.pin else None
        health = candidate.health
        if health.gone:
            return f"{health.state}: {health.explanation}"
        if candidate.cost == inf:
            return "nothing heard yet"
        refused = self._refused.get(path)
        if refused is not None and now < refused[0]:
            return f"the kernel refused it: {refused[2]}"
        return None

    def passed_over(self, path: PathId, drains: Drains, now: float) -> str | None:
        """Why the policy would rather not move to this path now, whatever it costs, or None: what excludes it, and who
        asks that its PoP be left while there is another."""
        why = self.excluded(path, drains, now)
        pop = None if path in self.forbidden else self.paths[path].pop
        if why is None and pop is not None and drains.discourages(pop) and path != self.wanted:
            return f"{pop} is to be left ({drains.origin(pop)})"
        return why

    def refuse(self, path: PathId, error: str, now: float) -> None:
        """The kernel refused this path: leave it alone, longer each time."""
        wait = min(REFUSED_MAX, 2.0 * self._refused[path][1]) if path in self._refused else REFUSED_FIRST
        self._refused[path] = (now + wait, wait, error)
        self.stale_at = -inf

    def refused(self, path: PathId, now: float) -> bool:
        """Whether the kernel refused this path, and it is too early to ask again."""
        refused = self._refused.get(path)
        return refused is not None and now < refused[0]

    def accepted(self, path: PathId) -> None:
        self._refused.pop(path, None)

    # Forced moves

    def forced(self, drains: Drains, now: float) -> Reason | None:
        """Why the policy has to leave where it is, whatever that costs; None: it may stay."""
        if self.wanted is None:
            return self.blocked_by or Reason.START
        path = self.paths.get(self.wanted)
        if path is None:
            return Reason.POLICY
        if drains.forbids(path.pop) or (drains.discourages(path.pop) and self._undrained(path, drains, now)):
            return Reason.DRAIN
        if not self.pin_allows(path, drains):
            return Reason.PIN
        if path.health.state is PathState.ABSENT:
            return Reason.ABSENT
        if path.health.state is PathState.DOWN:
            return Reason.DOWN
        pin = self.pin
        if pin is not None and path.pop != pin.pop:
            pinned = (one for one in self.paths.values() if one.pop == pin.pop and one.health.state is PathState.UP)
            if any(self.excluded(one.id, drains, now) is None for one in pinned):
                return Reason.PIN
        return None

    def target(self, reason: Reason, drains: Drains, now: float) -> Path | None:
        """The cheapest path to move to when forced; None if there is none yet."""
        silent = self._silent_since(reason)
        choices = [
            path
            for path in self.paths.values()
            if path.id != self.wanted and self.excluded(path.id, drains, now) is None and path.answered_at > silent
        ]
        return min(choices, key=lambda path: self._rank(path, drains, now), default=None)

    def awaits(self, target: Path, reason: Reason, drains: Drains, now: float, *, ignore_below: float) -> bool:
        """Whether to leave a silent path a little later than for ``target``, since nothing speaks against a path that
        ranks before it (a cost counts from ``ignore_below`` ms on) but that its answer is still on the way. Who was
        probed first is chance; to take the next best for that would be a switch more, and another one back."""
        silent = self._silent_since(reason)
        if self.wanted is None or silent == -inf or now >= self.paths[self.wanted].health.since + AWAITED:
            return False
        *first, cost = self._rank(target, drains, now)
        before = (*first, cost - ignore_below)
        return any(
            path.health.state is PathState.UP
            and path.answered_at <= silent
            and self.excluded(path.id, drains, now) is None
            and self._rank(path, drains, now) < before
            for path in self.paths.values()
        )

    def hopeless(self, drains: Drains, now: float) -> bool:
        """Nothing may be used, and nothing is about to: no allowed path even might answer."""
        return not any(
            not path.health.gone
            and (path.cost == inf or self.excluded(path.id, drains, now) is None)
            and not drains.forbids(path.pop)
            and self.pin_allows(path, drains)
            for path in self.paths.values()
        )

    def local_outage(self, reason: Reason) -> bool:
        """Whether nothing on the current path's uplink answers, so that the fault is on this side."""
        if reason is not Reason.DOWN or self.wanted not in self.paths:
            return False
        uplink = self.paths[self.wanted].settings.uplink
        shared = [path for path in self.paths.values() if path.settings.uplink == uplink]
        return len(shared) > 1 and not any(path.health.answering for path in shared)

    def returning(self, now: float) -> bool:
        """Whether a local outage has just ended, and the current path was not asked again since: what shares its
        uplink answers, so it probably does too."""
        if self.state is not PolicyState.LOCAL_OUTAGE or self.wanted is None:
            return False
        if self.outage_over is None:
            self.outage_over = now
        settings = self.paths[self.wanted].settings
        return now < self.outage_over + settings.interval + settings.timeout

    def second(self, best: Path, drains: Drains, now: float) -> PathId | None:
        """The runner-up: healthy, undrained, by preference on another uplink than the best."""
        choices = [
            path
            for path in self.paths.values()
            if path is not best
            and not self.spread.uses(path.id)
            and path.health.state is PathState.UP
            and not drains.discourages(path.pop)
            and self.excluded(path.id, drains, now) is None
        ]
        uplink = best.settings.uplink
        ranked = sorted(choices, key=lambda path: (path.settings.uplink == uplink, self._rank(path, drains, now)))
        return ranked[0].id if ranked else None

    def runner_up_serves(self, drains: Drains) -> bool:
        """Whether the present runner-up may stay: it is kept as long as it can do its work."""
        path = self.paths.get(self.wanted_runner) if self.wanted_runner is not None else None
        if path is None or path.id == self.wanted or self.spread.uses(path.id):
            return False
        if drains.discourages(path.pop) or not self.pin_allows(path, drains):
            return False
        # One that was adopted and not heard yet may stay: nothing is known against it.
        return path.health.state in (PathState.UP, PathState.SUSPECT)

    @property
    def settled(self) -> bool:
        """On a path, by nobody's order."""
        return self.state is STEERING and self.wanted is not None and self.pin is None

    # What the rule is shown

    def refresh(self, drains: Drains, now: float) -> None:
        """Make `field` anew if what it depends on may have changed."""
        if now < self.stale_at:
            return
        stale_at = inf
        pin = self.pin
        self.field = []
        self.current = None
        for standing in self.standings.values():
            path = self.paths[standing.path]
            health = path.health
            heard = path.cost < inf and health.state in (PathState.UP, PathState.SUSPECT)
            mine = path.id == self.wanted and path.cost < inf
            if not (heard or mine) or drains.forbids(path.pop) or (drains.discourages(path.pop) and not mine):
                standing.forget()
                continue
            self.field.append(standing)
            if mine:
                self.current = standing
            standing.doubt = log2(1.0 + health.hold_length / HOLD_BASE) if now < health.hold_until else 0.0
            standing.open = self.excluded(path.id, drains, now) is None and (
                pin is None or path.pop == pin.pop or not self._pin_usable(pin, drains, now)
            )
            for time in (health.hold_until, self._refused.get(path.id, (0.0,))[0]):
                if now < time < stale_at:
                    stale_at = time
        self.stale_at = stale_at

    def pin_allows(self, path: Path, drains: Drains) -> bool:
        pin = self.pin
        if pin is None or not pin.hard or path.pop == pin.pop or drains.forbids(pin.pop):
            return True
        return all(one.pop != pin.pop for one in self.paths.values())

    def _silent_since(self, reason: Reason) -> float:
        """When the first unanswered probe of the choice was sent, if it is left for being silent; -inf: it is not."""
        if reason is not Reason.DOWN or self.wanted is None:
            return -inf
        doubted = self.paths[self.wanted].health.doubted_at
        return -inf if doubted is None else doubted

    def _pin_usable(self, pin: Pin, drains: Drains, now: float) -> bool:
        return any(
            path.pop == pin.pop and not path.health.gone and self.excluded(path.id, drains, now) is None
            for path in self.paths.values()
        )

    def _undrained(self, path: Path, drains: Drains, now: float) -> bool:
        """Whether there is a path to move to whose PoP nobody wants drained."""
        return any(
            other is not path
            and other.health.answering
            and not drains.discourages(other.pop)
            and self.excluded(other.id, drains, now) is None
            for other in self.paths.values()
        )

    def _rank(self, path: Path, drains: Drains, now: float) -> tuple[bool, bool, bool, bool, float]:
        health = path.health
        return (
            self.pin is not None and path.pop != self.pin.pop,
            drains.discourages(path.pop),
            not health.answering,
            health.state is not PathState.UP or health.held(now) > 0.0,
            self.priced[path.id].cost,
        )
