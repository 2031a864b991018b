"""One policy: what it may use, what it wants, what the kernel has for it, and who decides for it."""

from collections.abc import Callable, Mapping
from typing import Final

from steerd.core.belief.path import Path, Role
from steerd.core.cost.backbone import Backbone, Way
from steerd.core.cost.own_load import OwnLoad
from steerd.core.cost.own_queue import LASTED
from steerd.core.cost.price import Price
from steerd.core.cost.tariff import tariff
from steerd.core.effects import Steer, Switched
from steerd.core.memory import Standing
from steerd.core.policy.assignment import Assignment
from steerd.core.policy.candidates import Candidates
from steerd.core.policy.drains_and_pins import Drains, Pin
from steerd.core.policy.eligibility import Eligibility
from steerd.core.policy.gate import Gate
from steerd.core.policy.spread import Spread
from steerd.core.rules.panel import Panel, members
from steerd.core.rules.threshold import Threshold
from steerd.core.rules.work_function import WorkFunction
from steerd.core.settings import PanelSettings, PathId, PolicySettings, Settings, ThresholdSettings
from steerd.core.states import PolicyState, Reason

STEERING: Final = PolicyState.STEERING

Rule = Panel | Threshold
"""What decides when nothing forces a choice."""


def rule_of(settings: Settings) -> Rule:
    """The rule that the settings ask for, with nothing learned yet."""
    rule = settings.rule
    if isinstance(rule, ThresholdSettings):
        return Threshold(rule, settings.ignore_below)
    if isinstance(rule, PanelSettings):
        every = members(rule.price, settings.ignore_below)
        only = [one for one in every if one.name == rule.only] if rule.only else every
        return Panel(only, rule.price, settings.ignore_below)
    return Panel([WorkFunction(rule.price)], rule.price, settings.ignore_below)


class Policy:
    """The mutable state of one policy. ``here``: the choice's place among the candidates that the rule is shown, None
    where that is to be looked at. ``since``: when the choice was made or adopted; ``last``: the last switch;
    ``blocked_by``: why nothing may be used, while its traffic is blocked. ``ways``: from each PoP to its service, where
    one is known (None: to be looked at). ``loaded``: what the policy carries may tell in what is measured of its path,
    so that each round is to be looked at."""

    def __init__(
        self, settings: PolicySettings, common: Settings, paths: Mapping[PathId, Path], draw: Callable[[], float]
    ) -> None:
        self.id = settings.policy
        self.assignment = Assignment()
        self.state = PolicyState.NONE
        self.since: float | None = None
        self.event_id = ""
        self.last: Switched | None = None
        self.blocked_by: Reason | None = None
        self.pin: Pin | None = None
        self.rule = rule_of(common)
        self.spread = Spread(settings)
        self.candidates = Candidates(common.max_active)
        self.own_load = OwnLoad()
        self.gate = Gate(draw)
        self.loaded = self._busy = False
        self._outage_over: float | None = None  # when something on the dead uplink was first heard again
        self._burden = 0.0  # what the others are charged
        self.here: int | None = None  # the choice's place among the candidates that are shown
        self.prices: dict[PathId, Price] = {}
        self.ways: Mapping[str, Way] | None = None
        self._take(settings, common, paths)

    def configure(
        self, settings: PolicySettings, common: Settings, paths: Mapping[PathId, Path], *, anew: bool
    ) -> None:
        """Take new settings; the choice, the pin and what the rule remembers of paths that stay are kept. ``anew``: the
        rule is another one."""
        if anew:
            self.rule = rule_of(common)
        self.spread.configure(settings)
        self._take(settings, common, paths)
        if self.pin is not None and all(path.pop != self.pin.pop for path in self.paths.values()):
            self.pin = None  # its PoP left the configuration

    def pinned(self, pin: Pin | None) -> None:
        """Use this PoP from now on; None: any."""
        self.pin = pin

    # What it costs

    def reprice(self, path: PathId) -> None:
        """What does not depend on the path's probes has changed."""
        price = self.prices.get(path)
        if price is not None and price.renew():
            self.expire()

    def lead(self, backbone: Backbone, now: float) -> None:
        """Charge each path for the way from its PoP to the policy's service."""
        self.ways = ways = backbone.ways(self.settings, self._common, now)
        unknown = self._common.backbone_max
        for price in self.prices.values():
            way = ways.get(price.path.pop)
            if price.renew(backbone=unknown if way is None else way.cost):
                self.expire()

    def carry(self, now: float) -> None:
        """Charge every path but those in use for what the policy's own traffic would add there."""
        current, own = self.current, self.own_load
        shared = self.spread.active  # then it is not known how much of it would go where
        before, self.loaded = self.loaded, current is not None and not shared and own.concerns(current)
        self._busy = current is not None and self.loaded and own.queues(current, now)
        if not before and not self.loaded and not self._burden:
            return
        for price in self.prices.values():
            price.calm(own.quiet(price.path, now) if self.loaded and price.path is current else ())
        burden = 0.0 if current is None or shared else self._rtt_weight * own.burden(current.rate, now)
        self._burden = burden
        changed = [price.renew(0.0 if price.path is current else burden) for price in self.prices.values()]
        if any(changed):
            self.expire()

    def heard(self, path: Path) -> None:
        """A probe of a path that carries traffic may have been answered."""
        if self.loaded and path is self.current:
            self.own_load.heard(path)

    def learn(self, now: float) -> None:
        """A round ended: it shows what our own traffic does to the path, and perhaps what the last switch did."""
        current = self.current
        if current is not None:
            if self.own_load.look(now):
                self.carry(now)
            quiet = self.own_load.quiet(current, now)
            self.prices[current.id].calm(quiet)
            if quiet and self.own_load.moved and isinstance(self.rule, Panel):
                self.rule.moved(current, self._rtt_weight * self.own_load.moved, LASTED)

    # What it may do

    def eligibility(self, drains: Drains, now: float) -> Eligibility:
        """Which paths it may use now."""
        kernel = self.assignment
        return Eligibility(
            self.paths, self.prices, self.forbidden, kernel.wanted, self.pin, drains,
            kernel.refusal, kernel.refused_until(now), now,
        )  # fmt: skip

    def dwell(self, now: float) -> float:
        """For how many more seconds only force may move the policy: its ``min_dwell`` from the last switch. What an
        earlier run left counts as switched to when it was adopted."""
        if self.since is None:
            return 0.0
        return max(0.0, self.since + self.settings.min_dwell - now)

    def follows(self, to: PathId, dt: float, now: float) -> bool:
        """Whether the policy moves there, as its rule says at the end of a round of ``dt`` seconds. Not if it has not
        been long enough where it is, or it is being learned what its traffic does there (neither holds it on an uplink
        whose cap is as good as reached), and not while its gate is shut."""
        current = self.current
        held = self.dwell(now) > 0.0 or self.own_load.measuring(now)
        if current is None or (held and not current.spared):
            return False
        return self.gate.opens(self.prices[current.id], self.prices[to], dt, now)

    def proven(self, path: PathId) -> bool:
        """Whether the path has answered a probe since the choice fell silent, if it did."""
        doubted_at = None if self.current is None else self.current.health.doubted_at
        return doubted_at is None or self.paths[path].answered_at >= doubted_at

    @property
    def current(self) -> Path | None:
        """The path that is wanted now; None: there is none, or the policy may not use it any more."""
        return None if self.assignment.wanted is None else self.paths.get(self.assignment.wanted)

    @property
    def settled(self) -> bool:
        """On a path that is measured, by nobody's order."""
        sighted = self.current is not None and not self.current.health.blind
        return self.state is STEERING and self.assignment.wanted is not None and self.pin is None and sighted

    def returning(self, now: float) -> bool:
        """Whether a local outage has just ended, and the current path was not asked again since: what shares its
        uplink answers, so it probably does too."""
        current = self.current
        if self.state is not PolicyState.LOCAL_OUTAGE or current is None:
            return False
        if self._outage_over is None:
            self._outage_over = now
        return now < self._outage_over + current.settings.interval + current.settings.timeout

    # What the rule is shown

    def role(self, path: Path) -> Role | None:
        """What the path is to this policy; None: it may not use it."""
        if path.id not in self.paths:
            return None
        if path.id == self.assignment.wanted or self.spread.uses(path.id):
            return Role.BUSY if self._busy else Role.CHOSEN
        return self.candidates.role(path)

    def review(self, eligible: Eligibility) -> bool:
        """Look whether other paths are to be candidates. True if any are."""
        assignment = self.assignment
        shares = (share.path for share in self.spread.shares)
        used = [one for one in (assignment.wanted, assignment.runner, *shares) if one is not None]
        return self.candidates.review(eligible, used)

    def show(self, eligible: Eligibility) -> None:
        """Make anew what the rule is shown, if that may have changed."""
        if eligible.now >= self.candidates.stale_at:
            self.here = self.candidates.show(eligible)

    def outlook(self) -> str:
        """What would have to change for the choice to change."""
        if self.assignment.wanted is None:
            return "the first path that answers is taken"
        if self.here is None:
            if self.current is not None and not self.current.health.gone:
                return f"{self.assignment.wanted} is compared with its rivals again at the end of this round"
            return f"{self.assignment.wanted} is not answering: the first path that answers is taken"
        return self.rule.outlook(self.candidates.shown, self.here)

    def standing(self, now: float) -> Standing | None:
        """What the rule has made of itself so far; None: it keeps nothing."""
        return self.rule.standing(now) if isinstance(self.rule, Panel) else None

    def restore(self, standing: Standing, now: float) -> None:
        """Take up what an earlier run's rule made of itself."""
        if isinstance(self.rule, Panel):
            self.rule.restore(standing, now)

    # What becomes of it

    def enter(self, state: PolicyState, *, blocked_by: Reason | None = None) -> None:
        """It is in this state now."""
        self.state = state
        self.blocked_by = blocked_by
        if state is PolicyState.LOCAL_OUTAGE:
            self._outage_over = None

    def move(self, to: PathId | None, now: float) -> None:
        """Want another choice; its runner-up and its shares are still to be found."""
        self.own_load.switched(self.current, None if to is None else self.paths[to], now)
        self.assignment.want(to, None)
        self.enter(STEERING)
        self.since = now
        self.expire()
        self.carry(now)

    def adopted(self, now: float) -> None:
        """What the kernel has is the choice from now on."""
        self.since = now
        self.spread.adopt(self.assignment.shares)
        self.expire()
        self.carry(now)

    def announced(self, switched: Switched) -> None:
        """This is the last switch."""
        self.event_id = switched.event_id
        self.last = switched

    def ask(self, now: float) -> Steer:
        """What is wanted, as the kernel is to be asked for it; an answer is awaited from now on."""
        assignment = self.assignment
        assignment.ask(now)
        return Steer(self.id, assignment.wanted, assignment.runner, self.event_id, self.spread.shares)

    def expire(self) -> None:
        """What may be used may have changed."""
        self.candidates.expire()
        self.here = None

    def _take(self, settings: PolicySettings, common: Settings, paths: Mapping[PathId, Path]) -> None:
        self.settings, self._common, self.ways = settings, common, None
        self.forbidden = dict(settings.forbidden)
        self.paths = {id_: path for id_, path in paths.items() if id_ not in self.forbidden}
        worths = dict(settings.preferred)
        own, before, weight = tariff(settings, common), self.prices, settings.bias_weight
        self._rtt_weight = own.rtt_weight
        self.prices = {
            id_: Price(
                path, own, common, bias=weight * path.settings.bias, worth=worths.get(id_, 0.0), bias_weight=weight
            )
            for id_, path in self.paths.items()
        }
        for id_ in before.keys() & self.prices.keys():
            self.prices[id_].renew(before[id_].own_load)
        self.candidates.configure(common.max_active, len(self.paths))
        self.gate.configure(common.gate)
        self.own_load.configure(lone=not common.gate)
        self.expire()
