"""The engine that a trace is replayed with, and what it decides. No steering logic of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final, Protocol

from steerd.core.effects import Effect, Steer, Switched
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


def as_traced(paths: Sequence[PathSettings]) -> tuple[PathSettings, ...]:
    """A trace has one row of a path, however many targets the configuration has for it."""
    return tuple(replace(path, legs=1) for path in paths)


class Subject:
    """Makes the engine, tells it of paths as they appear, and answers what it wants as a kernel would that does all of
    it at once. ``round_`` as `Settings.round`. ``switches`` are as ``steerd replay --json`` prints them."""

    def __init__(self, rows: Rows, settings: Settings, ledger: Choosing, round_: float) -> None:
        self.rows = rows
        self.ledger = ledger
        self.switches: list[dict[str, Any]] = []
        # A trace has one sequence of choices: the first policy's.
        policies = settings.policies[:1] or (PolicySettings(POLICY),)
        self._settings = replace(settings, paths=as_traced(settings.paths), policies=policies, round=round_)
        self._discover = not settings.paths
        self._engine: Engine | None = None

    def meet(self, now: float, time: float) -> Engine:
        """Paths appeared that the engine may not know yet. ``now`` is its clock, ``time`` that of the trace."""
        if self._discover:
            paths = tuple(PathSettings(path=path, pop=path, uplink=path) for path in self.rows.paths.values())
            self._settings = replace(self._settings, paths=paths)
        if self._engine is None:
            self._engine = Engine(self._settings, Memory(), now=now, epoch=EPOCH, draw=Random(0).random)  # noqa: S311
        elif self._discover:
            self.carry_out(self._engine.feed(Configured(self._settings), now), self._engine, now, time)
        return self._engine

    def carry_out(self, effects: Sequence[Effect], engine: Engine, now: float, time: float) -> None:
        """Do what the engine wants, and take down what it decided on the rows up to ``time``."""
        todo = list(effects)
        for effect in todo:
            if isinstance(effect, Steer):
                answer = Installed(effect.policy, effect.best, effect.runner_up, shares=effect.shares)
                todo += engine.feed(answer, now)
            elif isinstance(effect, Switched):
                self.ledger.choose(effect.new)
                called = {path: name for name, path in self.rows.paths.items()}
                old = called[effect.old] if effect.old is not None else None
                new = called[effect.new] if effect.new is not None else None
                self.switches.append({"time_s": time, "from": old, "to": new, "reason": str(effect.reason)})
            else:
                self.other(effect, now)

    def other(self, effect: Effect, now: float) -> None:
        """What else the engine wants or says."""
