"""An engine in a network of one's making, driven as the daemon does it: probes at the cadence that it asks for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from steerd.core.effects import Cadence, Effect, PolicyChanged, Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Carried, Event, Installed, Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.views import PolicyView, View

Delay = Callable[[float], float | None]
"""The RTT in ms of a probe that is sent at a time; None: it is lost."""

STEP = 0.1  # seconds between two looks at who is to be probed


def steady(rtt: float, noise: float = 0.3, seed: int = 1) -> Delay:
    """Around one RTT, with normal noise."""
    draw = Random(seed + int(rtt * 1000))
    return lambda _: rtt + draw.gauss(0.0, noise)


def stepped(before: float, at: float, after: float | None) -> Delay:
    """One RTT, and from a time on another, or none."""
    first, then = steady(before), None if after is None else steady(after)
    return lambda now: first(now) if now < at else None if then is None else then(now)


class Driven:
    """``delays`` by path, `POP/NAME`. ``rates``: what paths carry while they are in use, in bytes a second. ``used``:
    the choices are appended to it as they are made, for delays that depend on them."""

    def __init__(
        self,
        delays: Mapping[str, Delay],
        *,
        policies: tuple[PolicySettings, ...] = (PolicySettings(PolicyId("default")),),
        settings: Settings | None = None,
        memory: Memory | None = None,
        rates: Mapping[str, float] | None = None,
        used: list[str | None] | None = None,
    ) -> None:
        self.delays = dict(delays)
        paths = tuple(PathSettings(PathId(path), path.partition("/")[0], path) for path in delays)
        self.settings = replace(settings or Settings(), paths=paths, policies=policies)
        self.engine = Engine(self.settings, memory or Memory(), now=0.0, epoch=17, draw=Random(3).random)
        self.now = 0.0
        self.switches: list[Switched] = []
        self.states: list[PolicyChanged] = []
        self._rates = rates or {}
        self._every: dict[str, float | None] = {}
        self._due = {path: 0.01 * place for place, path in enumerate(self.delays)}
        self._settled: list[tuple[float, Event]] = []
        self.used: list[str | None] = [] if used is None else used
        self._took(self.engine.feed(None, 0.0))

    def feed(self, event: Event | None) -> list[Effect]:
        """Tell the engine something now. Returns what it wants first, before what comes of that."""
        effects = list(self.engine.feed(event, self.now))
        self._took(effects)
        return effects

    def run(self, until: float) -> "Driven":
        """Let the time pass until then."""
        while self.now < until - 1e-9:
            self.now = round(self.now + STEP, 6)
            for path, at in self._due.items():
                every = self._every.get(path)
                if at <= self.now and every is not None:
                    self._due[path] = max(at + every, self.now)
                    self._probe(path)
            for event in [event for at, event in self._settled if at <= self.now]:
                self.feed(event)
            self._settled = [(at, event) for at, event in self._settled if at > self.now]
            self.feed(None)
        return self

    def view(self) -> View:
        return self.engine.view(self.now)

    def policy(self) -> PolicyView:
        """The first one."""
        return self.view().policies[0]

    def _probe(self, path: str) -> None:
        rtt, sent, id_ = self.delays[path](self.now), self.now, PathId(path)
        if rtt is not None:
            self._settled.append((sent + rtt / 1e3, Probed(id_, Outcome.REPLY, sent, rtt / 1e3)))
            return
        patience = self.engine.paths[id_].patience
        self._settled.append((sent + patience, Probed(id_, Outcome.OVERDUE, sent)))
        self._settled.append((sent + 1.0, Probed(id_, Outcome.LOST, sent)))

    def _took(self, effects: "list[Effect] | tuple[Effect, ...]") -> None:
        for effect in effects:
            if isinstance(effect, Cadence):
                before, self._every[effect.path] = self._every.get(effect.path), effect.every
                if effect.every is not None and (before is None or effect.every < before):
                    self._due[effect.path] = min(self._due[effect.path], self.now + effect.every)
            elif isinstance(effect, Switched):
                self.switches.append(effect)
            elif isinstance(effect, PolicyChanged):
                self.states.append(effect)
            elif isinstance(effect, Steer):
                self._carry(effect.best)
                self.feed(Installed(effect.policy, effect.best, effect.runner_up, shares=effect.shares))

    def _carry(self, best: PathId | None) -> None:
        before = self.used[-1] if self.used else None
        self.used.append(best)
        for path, rate in self._rates.items():
            if path in (best, before):
                self.feed(Carried(PathId(path), rate if path == best else 0.0))
