"""The engine that a trace is replayed with, and what it decides. No steering logic of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final, Protocol

from steerd.core.effects import Cadence, Effect, Fact, Steer, Switched, carry_out
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Swept
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings

EPOCH: Final = 1
POLICY: Final = PolicyId("trace")


class Rows(Protocol):
    """What can be replayed: a `Trace`, or one that is kept in memory. The attributes are as there."""

    paths: dict[str, PathId]
    cut_short: bool

    def groups(self) -> Iterator[Swept]: ...


class Choosing(Protocol):
    """What is told of each sample, and then of the choice that was made on it, if one was: a `Ledger`, or less."""

    def add(self, paths: Sequence[PathId], rtts: Sequence[float | None], time: float) -> None: ...

    def choose(self, path: PathId | None) -> None: ...


class Chosen:
    """Keeps the choices alone: from which time on which path is in use."""

    def __init__(self) -> None:
        self.choices: list[tuple[int, PathId | None]] = [(0, None)]
        self._times = 0

    def add(self, paths: Sequence[PathId], rtts: Sequence[float | None], time: float) -> None:  # noqa: ARG002
        self._times += 1

    def choose(self, path: PathId | None) -> None:
        self.choices.append((self._times, path))


class Subject:
    """Makes the engine, tells it of paths as they appear, and answers what it wants as a kernel would that does all of
    it at once. ``paths`` are those that appeared, by their names; ``round_`` as `Settings.round`. ``switches`` are as
    ``steerd replay --json`` prints them."""

    def __init__(self, paths: dict[str, PathId], settings: Settings, ledger: Choosing, round_: float) -> None:
        self.paths = paths
        self.ledger = ledger
        self.engine: Engine | None = None
        self.switches: list[dict[str, Any]] = []
        # A trace has one sequence of choices: the first policy's.
        policies = settings.policies[:1] or (PolicySettings(POLICY),)
        # It has one row of a path, however many targets the configuration has for it.
        ways = tuple(replace(path, legs=1) for path in settings.paths)
        self._settings = replace(settings, paths=ways, policies=policies, round=round_)
        self._discover = not settings.paths
        self._answers: list[Installed] = []
        self._now = self._time = 0.0

    def meet(self, now: float, time: float) -> Engine:
        """Paths appeared that the engine may not know yet. ``now`` is its clock, ``time`` that of the trace."""
        if self._discover:
            paths = tuple(PathSettings(path=path, pop=path, uplink=path) for path in self.paths.values())
            self._settings = replace(self._settings, paths=paths)
        if self.engine is None:
            self.engine = Engine(self._settings, Memory(), now=now, epoch=EPOCH, draw=Random(0).random)  # noqa: S311
        elif self._discover:
            self.obey(self.engine.feed(Configured(self._settings), now), self.engine, now, time)
        return self.engine

    def obey(self, effects: Iterable[Effect], engine: Engine, now: float, time: float) -> None:
        """Do what the engine wants, and take down what it decided on the rows up to ``time``."""
        self._now, self._time = now, time
        carry_out(effects, self)
        while self._answers:
            carry_out(engine.feed(self._answers.pop(0), now), self)

    # As `steerd.core.effects.Hands`

    def cadence(self, wanted: Cadence) -> None:
        """The rows are there, whatever is asked for."""

    def steer(self, wanted: Steer) -> None:
        self._answers.append(Installed(wanted.policy, wanted.best, wanted.runner_up, shares=wanted.shares))

    def fact(self, fact: Fact) -> None:
        if isinstance(fact, Switched):
            self.ledger.choose(fact.new)
            called = {path: name for name, path in self.paths.items()}
            old = called[fact.old] if fact.old is not None else None
            new = called[fact.new] if fact.new is not None else None
            self.switches.append({"time_s": self._time, "from": old, "to": new, "reason": str(fact.reason)})
