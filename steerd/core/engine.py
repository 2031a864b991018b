"""The engine: `feed` events and the time, get effects. It never awaits and never fails on a known event.

One engine serves the daemon, replay and the simulations: they differ in where events come from and in
what becomes of effects, never in how a decision is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import floor, inf
from typing import Final, assert_never

from steerd.core import rules
from steerd.core.cost import Pricing
from steerd.core.decisions import Decisions
from steerd.core.load import Loads
from steerd.core.model import (
    Configured,
    Effect,
    Event,
    Installed,
    Link,
    Memory,
    Order,
    Outcome,
    PathChanged,
    PathMtu,
    PathState,
    PolicyState,
    PopState,
    Probed,
    Reason,
    Swept,
    Terms,
    Tunnel,
    Verb,
    View,
)
from steerd.core.orders import POP, Pin, remote
from steerd.core.path import Path
from steerd.core.policy import Policy
from steerd.core.settings import PathId, PolicyId, Settings
from steerd.core.snapshot import memory, restore, view

CADENCES_EVERY: Final = 10.0
"""How often, in seconds, every path's patience is looked at again."""

STALL: Final = 60.0
"""Woken up later than this, in seconds, the engine does not re-live what it slept through: void time."""

STEP_MAX: Final = 2.0
"""A round counts for at most this many times the one before it."""

DOUBTFUL: Final = (PathState.UP, PathState.SUSPECT)
REPLY, LOCAL, VOID = Outcome.REPLY, Outcome.LOCAL, Outcome.VOID  # to look a member up costs a call each time
NOTHING: Final[tuple[Effect, ...]] = ()


class Engine(Decisions):
    """All of steerd's thinking. ``draw`` gives numbers from 0 to 1; ``epoch`` makes event ids unique over
    restarts; ``memory`` is what an earlier run's `memory` returned."""

    def __init__(
        self, settings: Settings, memory: Memory, *, now: float, epoch: int, draw: Callable[[], float]
    ) -> None:
        timeouts = (one.interval + one.timeout for one in settings.paths)
        super().__init__(
            replace(settings, paths=(), policies=()), epoch=epoch, first_choice_by=now + max(timeouts, default=0.0)
        )
        self._draw = draw
        self._loads = Loads()
        self._heard = False  # whether anything was measured in this round
        self._round_began = now
        self._step = inf
        self._cadences_at = now
        self._next = inf
        self._configure(settings, now)
        restore(self, memory, now)
        self._schedule()

    def feed(self, event: Event | None, now: float) -> Sequence[Effect]:
        """Run every deadline up to ``now`` at its own time, then take the event (None: a mere wake-up)."""
        if now >= self._next:
            self._run_deadlines(now)
        if isinstance(event, Probed):  # the two hot ones first: `match` looks twice as long
            self._probed(event, now)
        elif isinstance(event, Swept):
            self._swept(event, now)
        else:
            self._told(event, now)
        if not self._effects:
            return NOTHING
        effects, self._effects = self._effects, []
        return effects

    def next_deadline(self) -> float:
        """When `feed` wants to be called at the latest; inf: only with an event."""
        return self._next

    def view(self, now: float) -> View:
        """A frozen snapshot for those who look."""
        return view(self, now)

    def memory(self, now: float) -> Memory:
        """What is to survive a restart."""
        return memory(self, now)

    # Time

    def _schedule(self) -> None:
        pins = (policy.pin.until for policy in self.policies.values() if policy.pin and policy.pin.until is not None)
        self._next_expiry = min(self.drains.next_expiry(), min(pins, default=inf))
        round_ends = self._round_began + self.settings.round if self.settings.round > 0.0 else inf
        self._next = min(round_ends, self._next_expiry)

    def _run_deadlines(self, now: float) -> None:
        period = self.settings.round
        if period > 0.0 and now - self._round_began > STALL:
            self._round_began += floor((now - self._round_began) / period - 1.0) * period
            self._heard = False
            self._schedule()
        while (at := self._next) <= now:
            if at >= self._next_expiry:
                self._expire(at)
            else:
                self._round_began = at - period  # keeps the grid free of rounding errors
                self._end_round(at)
            self._schedule()

    def _expire(self, now: float) -> None:
        ended = self.drains.expire(now)
        for policy in self.policies.values():
            if policy.pin is not None and policy.pin.until is not None and policy.pin.until <= now:
                policy.pin = None
                ended = True
        if ended:
            self._reconsider(now)

    def _end_round(self, now: float) -> None:
        """Nothing was measured in a void round, so it counts for nothing; neither does sleep."""
        dt = 0.0
        if self._heard:
            dt = now - self._round_began
            if dt > STEP_MAX * self._step:
                dt = STEP_MAX * self._step
            if dt > 0.0:
                self._step = dt
        self._round_began = now
        self._heard = False
        for policy in self.policies.values():
            if now >= policy.stale_at or policy.pending_since is not None or policy.current is None:
                self._look(policy, now, dt)
            elif (
                verdict := policy.rule.observe(policy.field, policy.current, dt, now)
            ) is not None and not policy.dwell(now):
                self._move(policy, verdict.to, Reason.BETTER, verdict.rule, verdict.margin, now)
            elif policy.spread.active:
                self._share(policy, now)
        if now >= self._cadences_at:
            self._cadences_at = now + CADENCES_EVERY
            if self._loads:
                self._weigh_loads(now)
            self._cadences()

    # Events

    def _told(
        self, event: Installed | Link | PathMtu | Tunnel | PopState | Order | Configured | None, now: float
    ) -> None:
        match event:
            case None:
                pass
            case Installed():
                self._installed(event, now)
            case Link():
                self._link(event, now)
            case PathMtu():
                self._sized(event)
            case Tunnel():
                self._tunnel(event, now)
            case PopState():
                self._pop_state(event, now)
            case Order():
                self._order(event, now)
                self._schedule()
            case Configured():
                self._configure(event.settings, now)
                self._schedule()
            case _:
                assert_never(event)

    def _probed(self, event: Probed, now: float) -> None:
        path = self.paths.get(event.path)
        if path is None or event.leg >= len(path.legs):
            self._decline(event, "unknown path")
            return
        before = path.health.state
        unheard = path.cost == inf
        outcome = event.outcome
        if outcome is not LOCAL and outcome is not VOID:
            self._heard = True
        changed = path.probed(event, now)
        if changed or (unheard and path.cost < inf):
            self._health_changed(path, before, now)
        elif self._stranded and outcome is REPLY:
            self._reconsider_stranded(now)

    def _swept(self, event: Swept, now: float) -> None:
        if self.settings.round > 0.0:
            self._decline(event, "rounds end by themselves")
            return
        paths, rtts, at = self.paths, event.rtts, event.sent_at
        for place, id_ in enumerate(event.paths):  # `zip` takes longer to start than most rounds to end
            rtt = rtts[place]
            if rtt is not None and id_ in paths and (path := paths[id_]).steady:
                path.steadily(rtt, at)
            else:
                self._swept_one(id_, rtt, at, now)
        if self._stranded:
            self._reconsider_stranded(now)
        self._heard = True
        self._end_round(now)

    def _swept_one(self, id_: PathId, rtt: float | None, at: float, now: float) -> None:
        """`_probed`, for a row of a round."""
        path = self.paths.get(id_)
        if path is None:
            return self._probed(Probed(id_, Outcome.LOST if rtt is None else REPLY, at), now)
        before = path.health.state
        if rtt is None:
            if path.overdue(0, at, now):
                self._health_changed(path, before, now)
            return path.lost(0, at)
        unheard = path.cost == inf
        if path.answered(rtt, at, 0, now) or (unheard and path.cost < inf):
            return self._health_changed(path, before, now)
        if self._stranded:
            self._reconsider_stranded(now)
        return None

    def _link(self, event: Link, now: float) -> None:
        path = self.paths.get(event.path)
        if path is None:
            self._decline(event, "unknown path")
            return
        before = path.health.state
        if path.link(event.up, now):
            self._health_changed(path, before, now)

    def _sized(self, event: PathMtu) -> None:
        """A black hole is a matter of price: the rules look at the end of the round, and nothing is forced."""
        path = self.paths.get(event.path)
        if path is None:
            self._decline(event, "unknown path")
        else:
            path.sized(event)

    def _tunnel(self, event: Tunnel, now: float) -> None:
        """Suspicion moves nobody: it has the path and its rivals probed at once, and they decide."""
        path = self.paths.get(event.path)
        if path is None:
            self._decline(event, "unknown path")
            return
        before = path.health.state
        if path.tunnel(event.stale, now):
            self._health_changed(path, before, now)
        else:
            self._cadences()

    def _health_changed(self, path: Path, before: PathState, now: float) -> None:
        health = path.health
        state = health.state
        if state is not before:
            self._effects.append(PathChanged(path.id, before, state, health.reason, now))
        # A mere doubt, or its end, changes nothing of what may be used, as long as nobody ordered anything.
        doubt = before in DOUBTFUL and state in DOUBTFUL and path.samples > 1 and not self.drains
        for policy in self.policies.values():
            stranded = policy.id in self._stranded
            if (doubt and policy.settled and not stranded) or path.id not in policy.paths:
                continue
            policy.stale_at = -inf
            forced = health.gone and (policy.wanted == path.id or policy.spread.uses(path.id))
            if forced or stranded:
                self._look(policy, now, None)
        self._cadences()

    def _pop_state(self, event: PopState, now: float) -> None:
        if all(path.pop != event.pop for path in self.paths.values()):
            return self._decline(event, "unknown PoP")
        self._loads.told(event.pop, event.load, now - event.age)
        self._weigh_loads(now)
        if event.accepting:
            if self.drains.remove(event.pop, POP):
                self._reconsider(now)
        elif POP not in self.drains.origin(event.pop).split(", "):
            self.drains.add(event.pop, POP, None)
            self._reconsider(now)
        return None

    def _weigh_loads(self, now: float) -> None:
        """A matter of price, as the size of packets is: the rules look at the end of the round."""
        shares = self._loads.shares(now)
        for path in self.paths.values():
            path.loaded(shares.get(path.pop, 0.0))

    def _order(self, event: Order, now: float) -> None:
        pops = {path.pop for path in self.paths.values()}
        match event.verb:
            case Verb.DRAIN | Verb.UNDRAIN:
                if event.subject not in pops:
                    return self._decline(event, "unknown PoP")
                if event.verb is Verb.DRAIN:
                    self.drains.add(event.subject, event.origin, event.until)
                elif not self.drains.remove(event.subject, event.origin):
                    return self._decline(event, "not drained by this origin")
            case Verb.PIN | Verb.UNPIN:
                policy = self.policies.get(PolicyId(event.subject))
                if policy is None:
                    return self._decline(event, "unknown policy")
                theirs = policy.pin is not None and remote(policy.pin.origin) != remote(event.origin)
                if event.verb is Verb.UNPIN:
                    if policy.pin is None:
                        return self._decline(event, "not pinned")
                    if theirs:
                        return self._decline(event, "pinned by somebody else: a pin of your own takes its place")
                    policy.pin = None
                elif theirs and remote(event.origin):
                    return self._decline(event, "pinned by an operator of this gateway")
                elif event.to is None or all(path.pop != event.to for path in policy.paths.values()):
                    return self._decline(event, "the policy may not use that PoP")
                else:
                    policy.pin = Pin(event.to, event.hard, event.until, event.origin)
            case _:
                assert_never(event.verb)
        return self._reconsider(now)

    def _installed(self, event: Installed, now: float) -> None:
        """Belief follows the kernel."""
        policy = self.policies.get(event.policy)
        if policy is None:
            return self._decline(event, "unknown policy")
        asked = policy.wanted if policy.pending_since is not None else None
        policy.choice, policy.runner_up, policy.shared = event.best, event.runner_up, event.shares
        policy.stale_at = -inf
        if event.error is None and (event.best == policy.wanted):
            policy.pending_since = None
            policy.error = event.mismatch
            if event.best is not None:
                policy.accepted(event.best)
            return None
        if event.error is not None:
            policy.error = event.error
            if asked is not None:
                policy.refuse(asked, event.error, now)
        elif policy.pending_since is not None:
            return None  # an older answer; the one to the last Steer is still to come
        elif event.best is None:  # taken away by somebody: ask again
            self._effects.append(policy.ask(now))
            return None
        policy.pending_since = None
        if event.error is None:
            policy.error = event.mismatch  # what was refused before is past
        adopted = policy.wanted is None and policy.last is None and event.error is None
        old, policy.wanted, policy.wanted_runner = policy.wanted, event.best, event.runner_up
        policy.spread.adopt(event.shares)
        policy.since = now
        if adopted:
            policy.state = PolicyState.STEERING
        elif old != event.best:
            margin: Terms = {}
            self._announce(policy, old, Reason.KERNEL, "kernel", margin, now)
        self._look(policy, now, None)
        return self._cadences()

    def _configure(self, settings: Settings, now: float) -> None:
        pricing = Pricing(settings)
        old = self.paths
        self.paths = {}
        for one in settings.paths:
            path = old.get(one.path)
            if path is None or path.settings.pop != one.pop:
                path = Path(one, pricing, half_life=settings.half_life, now=now, draw=self._draw)
            else:
                path.configure(one, pricing, half_life=settings.half_life, now=now)
            self.paths[one.path] = path
        same_rule = (settings.rule, settings.ignore_below) == (self.settings.rule, self.settings.ignore_below)
        policies: dict[PolicyId, Policy] = {}
        for wanted in settings.policies:
            policy = self.policies.get(wanted.policy)
            if policy is None:
                policy = Policy(wanted, self.paths, rules.make(settings))
            else:
                policy.configure(wanted, self.paths, policy.rule if same_rule else rules.make(settings))
            if policy.pin is not None and all(path.pop != policy.pin.pop for path in policy.paths.values()):
                policy.pin = None  # its PoP left the configuration
            policies[wanted.policy] = policy
        self.policies = policies
        self._stranded &= set(policies)
        if settings.round != self.settings.round:
            self._round_began, self._step = now, inf
        self.settings = settings
        if old:
            self._reconsider(now)
        self._weigh_loads(now)
        self._cadences()
