"""The engine: `feed` events and the time, get effects. It never awaits and never fails on a known event.

One engine serves the daemon, replay and the simulations: they differ in where events come from and in
what becomes of effects, never in how a decision is made.
"""

from collections.abc import Callable, Mapping, Sequence
from math import floor, inf
from typing import Final, assert_never

from steerd.core import view_and_memory
from steerd.core.belief.path import Path
from steerd.core.cost.charges import Charges
from steerd.core.effects import Effect, PathChanged
from steerd.core.events import (
    Carried,
    Configured,
    Event,
    Hints,
    Installed,
    Link,
    Order,
    Outcome,
    PathMtu,
    PopState,
    Probed,
    Swept,
    Told,
    Tunnel,
    UplinkPrice,
)
from steerd.core.memory import Memory
from steerd.core.policy import onward
from steerd.core.policy.decisions import Decisions
from steerd.core.policy.drains_and_pins import Drains
from steerd.core.policy.obey import obey
from steerd.core.policy.policy import Policy
from steerd.core.settings import FIRST_WITHIN, PathId, PolicyId, Settings
from steerd.core.states import PathState
from steerd.core.views import View

CADENCES_EVERY: Final = 10.0
"""How often, in seconds, every path's patience is looked at again."""

STALL: Final = 60.0
"""Woken up later than this, in seconds, the engine does not re-live what it slept through: void time."""

STEP_MAX: Final = 2.0
"""A round counts for at most this many times the one before it."""

DOUBTFUL: Final = (PathState.UP, PathState.SUSPECT)
OVERDUE, LOCAL, VOID = Outcome.OVERDUE, Outcome.LOCAL, Outcome.VOID  # to look a member up costs a call each time


class Engine:
    """All of steerd's thinking. ``draw`` gives numbers from 0 to 1; ``epoch`` makes event ids unique over
    restarts; ``memory`` is what an earlier run's `memory` returned."""

    def __init__(
        self, settings: Settings, memory: Memory, *, now: float, epoch: int, draw: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.paths: dict[PathId, Path] = {}
        self.drains = Drains()
        self._decisions = Decisions(settings, self.drains, epoch=epoch, draw=draw)
        self._draw = draw
        self._charges = Charges()
        self._silent: dict[PathId, Path] = {}  # those whose newest probe was overdue
        self._heard = False  # whether anything was measured in this round
        self._round_began = self._cadences_at = now
        self._step = self._next = self._next_expiry = inf
        self._configure(settings, now)
        view_and_memory.restore(self._state(), memory, now)
        self._schedule()

    def feed(self, event: Event | None, now: float) -> Sequence[Effect]:
        """Run every deadline up to ``now`` at its own time, then take the event (None: a mere wake-up)."""
        if now >= self._next:
            self._run_deadlines(now)
        if isinstance(event, Probed):  # the hot one first: `match` looks twice as long
            self._probed(event, now)
        elif event is not None:
            self._told(event, now)
        return self._decisions.out.taken()

    def sweep(self, swept: Swept, now: float) -> Sequence[Effect]:
        """The door for traces, where a round is what was sampled at one time: the samples, and then the round's end. It
        does what `feed` does with each of them, needs ``settings.offline``, and asks for no cadence."""
        paths, rtts, at = self.paths, swept.rtts, swept.sent_at
        decisions = self._decisions
        for place, id_ in enumerate(swept.paths):  # `zip` takes longer to start than most rounds to end
            rtt, path = rtts[place], paths[id_]
            if rtt is None or not path.up:
                self._swept_oddly(path, rtt, at, now)
            else:
                path.measured(rtt, at, 0)
        self._heard = True
        if decisions.stranded or decisions.postponed:
            decisions.answered(now)
        self._end_round(now)
        return decisions.out.taken()

    def next_deadline(self) -> float:
        """When `feed` wants to be called at the latest; inf: only with an event."""
        return self._next

    def view(self, now: float) -> View:
        """A frozen snapshot for those who look."""
        return view_and_memory.view(self._state(), now)

    def memory(self, now: float) -> Memory:
        """What is to survive a restart."""
        return view_and_memory.memory(self._state(), now)

    def _state(self) -> view_and_memory.State:
        return view_and_memory.State(self.epoch, self.paths, self.policies, self.drains, self._decisions.out.declined)

    @property
    def epoch(self) -> int:
        return self._decisions.out.epoch

    @property
    def policies(self) -> Mapping[PolicyId, Policy]:
        return self._decisions.policies

    def _schedule(self) -> None:
        self._next_expiry = self._decisions.next_expiry()
        round_ends = inf if self.settings.offline else self._round_began + self.settings.round
        self._next = min(round_ends, self._next_expiry)

    def _run_deadlines(self, now: float) -> None:
        period = self.settings.round
        if not self.settings.offline and now - self._round_began > STALL:
            self._round_began += floor((now - self._round_began) / period - 1.0) * period
            self._heard = False
            self._schedule()
        while (at := self._next) <= now:
            if at >= self._next_expiry:
                self._decisions.expire(at)
            else:
                self._round_began = at - period  # keeps the grid free of rounding errors
                self._end_round(at)
            self._schedule()

    def _end_round(self, now: float) -> None:
        """Nothing was measured in a void round, so it counts for nothing; neither does sleep."""
        dt = 0.0
        if self._heard:
            dt = now - self._round_began
            if dt > STEP_MAX * self._step:
                dt = STEP_MAX * self._step
            if dt > 0.0:
                self._step = dt
        self._round_began, self._heard = now, False
        if self._silent:
            self._silent = {id_: path for id_, path in self._silent.items() if path.silent}
            for path in self._silent.values():
                path.end_round(now)
        self._decisions.end_round(dt, now)
        if now >= self._cadences_at:
            self._cadences_at = now + CADENCES_EVERY
            if self._charges.fade:
                self._weigh(now)
            self._decisions.carry(now)
            self._decisions.ask_cadences()

    def _told(self, event: Told, now: float) -> None:
        match event:
            case Link() | PathMtu() | Tunnel() | Carried():
                path = self.paths.get(event.path)
                if path is None:
                    self._decisions.out.decline(event, "unknown path")
                else:
                    self._of_path(path, event, now)
            case Installed():
                self._decisions.installed(event, now)
            case PopState():
                self._pop_state(event, now)
            case Hints():
                self._decisions.cadences.hint(event.pops, self.paths.values(), self.settings.max_active)
                self._decisions.ask_cadences()
            case UplinkPrice():
                self._charges.priced(event)
                self._weigh(now)
            case Order():
                refusal = obey(event, {path.pop for path in self.paths.values()}, self.policies, self.drains)
                if refusal is not None:
                    self._decisions.out.decline(event, refusal)
                else:
                    self._decisions.reconsider(now)
                self._schedule()
            case Configured():
                self._configure(event.settings, now)
                self._schedule()
            case _:
                assert_never(event)

    def _probed(self, event: Probed, now: float) -> None:
        path = self.paths.get(event.path)
        if path is None or event.leg >= len(path.legs):
            return self._decisions.out.decline(event, "unknown path")
        outcome = event.outcome
        if outcome is not LOCAL and outcome is not VOID:
            self._heard = True
        before, known = path.health.state, path.known
        changed = path.probed(event, now)
        if path.rate:
            self._decisions.heard(path)
        if outcome is OVERDUE:
            self._silent[path.id] = path
        return self._learned(path, before, known, changed, now)

    def _swept_oddly(self, path: Path, rtt: float | None, at: float, now: float) -> None:
        """A sample that may change the path's health."""
        before, known = path.health.state, path.known
        if rtt is not None:
            changed = path.answered(rtt, at, 0, now)
        else:
            changed = path.overdue(0, at, now)
            path.lost(0, at)
        self._learned(path, before, known, changed, now)

    def _learned(self, path: Path, before: PathState, known: bool, changed: bool, now: float) -> None:
        """Something became of a probe; ``before`` and ``known``: what was true of the path until then."""
        if changed or known is not path.known:
            self._health_changed(path, before, now)
        elif self._decisions.stranded or self._decisions.postponed:
            self._decisions.answered(now)

    def _of_path(self, path: Path, event: Link | PathMtu | Tunnel | Carried, now: float) -> None:
        before = path.health.state
        match event:
            case Link():
                if path.link(event.up, now, event.why, device=event.device):
                    self._health_changed(path, before, now)
            case Tunnel():
                # Suspicion moves nobody: it has the path and its rivals probed at once, and they decide.
                if path.tunnel(event.stale, now):
                    self._health_changed(path, before, now)
                else:
                    self._decisions.ask_cadences(path)
            case PathMtu():
                # A black hole is a matter of price: the rules look at the end of the round, and nothing is forced.
                path.sized(event)
                self._reprice(path)
            case Carried():
                path.carried(event.rate)
                self._decisions.carry(now)
            case _:
                assert_never(event)

    def _health_changed(self, path: Path, before: PathState, now: float) -> None:
        health = path.health
        if health.state is not before:
            used_by = tuple(one.id for one in self.policies.values() if one.assignment.wanted == path.id)
            self._decisions.out.tell(PathChanged(path.id, before, health.state, health.reason, now, used_by))
        # A mere doubt, or its end, changes nothing of what may be used, as long as nobody ordered anything.
        doubt = before in DOUBTFUL and health.state in DOUBTFUL and path.samples > 1 and not health.blind
        self._decisions.health_changed(path, now, doubt=doubt)
        self._decisions.ask_cadences(path)

    def _pop_state(self, event: PopState, now: float) -> None:
        if all(path.pop != event.pop for path in self.paths.values()):
            return self._decisions.out.decline(event, "unknown PoP")
        self._charges.said(event, now)
        self._weigh(now)
        if self.drains.accepts(event, now, self._decisions.out.decline):
            self._decisions.reconsider(now)
        return self._schedule()

    def _weigh(self, now: float) -> None:
        """A matter of price, as the size of packets is: the rules look at the end of the round."""
        for path in self._charges.weigh(self.paths.values(), now):
            self._reprice(path)
        onward.lead(self.policies.values(), self._charges.backbone, now)

    def _reprice(self, path: Path) -> None:
        for policy in self.policies.values():
            policy.reprice(path.id)

    def _configure(self, settings: Settings, now: float) -> None:
        old = self.paths
        self.paths = {}
        for one in settings.paths:
            path = old.get(one.path)
            if path is None or path.pop != one.pop:
                path = Path(one, half_life=settings.half_life, now=now, draw=self._draw)
            else:
                path.configure(one, half_life=settings.half_life, now=now)
            self.paths[one.path] = path
        anew = (settings.rule, settings.ignore_below) != (self.settings.rule, self.settings.ignore_below)
        heard_by = now + max((min(one.interval, FIRST_WITHIN) + one.timeout for one in settings.paths), default=0.0)
        self._decisions.configure(settings, self.paths, anew=anew, heard_by=heard_by)
        if settings.round != self.settings.round:
            self._round_began, self._step = now, inf
        self.settings, self._silent = settings, {}
        self._weigh(now)
        if old:
            self._decisions.reconsider(now)
        self._decisions.ask_cadences()
