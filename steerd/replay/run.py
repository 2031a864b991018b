"""A trace through the engine: rows in, switches out. No steering logic of its own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from steerd.core.engine import Engine
from steerd.core.model import Installed, Memory, Outcome, Probed, RoundEnded, Steer, Switched
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, RegretSettings, Settings
from steerd.replay.price import Ledger
from steerd.replay.trace import Trace, TraceError

EPOCH = 1
POLICY = PolicyId("trace")


def replay(file: Path, settings: Settings, *, price: float | None = None) -> dict[str, Any]:
    """Replay one trace; the result is the object that CONTRACT documents for ``steerd replay --json``.

    Settings without paths make every path of the trace a PoP of its own. ``price``, in ms per switch, is
    for J; by default it is the rule's own.

    Raises:
        TraceError: see `Trace.groups`; also when the trace has a path that the settings do not know.
    """
    run = _Run(file, settings)
    run.feed()
    if price is None:
        price = settings.rule.price if isinstance(settings.rule, RegretSettings) else RegretSettings().price
    score = run.ledger.score(price)
    summary = {name: _json(value) for name, value in score._asdict().items()}
    return {
        "trace": str(file),
        "switches": run.switches,
        "summary": {"rows": run.rows, "paths": run.trace.names, "switches": run.moves, "price": price, **summary},
    }


class _Run:
    def __init__(self, file: Path, settings: Settings) -> None:
        self.trace = Trace(file)
        self.ledger = Ledger()
        self.switches: list[dict[str, Any]] = []
        self.rows = 0
        self.moves = 0
        self._names = _trace_names(settings)
        # The trace has one column of choices: the first policy's. Rounds end where a time ends.
        policies = settings.policies[:1] or (PolicySettings(POLICY),)
        self._settings = replace(settings, policies=policies, round=0.0)
        self._paths: list[PathId] = []
        self._numbers: dict[PathId, int] = {}
        self._engine: Engine | None = None

    def feed(self) -> None:
        choice = -1
        ledger, paths = self.ledger, self._paths
        reply, overdue, lost = Outcome.REPLY, Outcome.OVERDUE, Outcome.LOST
        round_ended = RoundEnded()
        for time, rows in self.trace.groups():
            ledger.add(rows, choice)
            self.rows += len(rows)
            if len(paths) < len(self.trace.names):
                self._meet(time)
            engine = self._engine
            if engine is None:
                continue
            feed = engine.feed
            effects = []
            for number, rtt in rows:
                path = paths[number]
                if rtt is None:
                    effects += feed(Probed(path, overdue, time), time)
                    effects += feed(Probed(path, lost, time), time)
                elif got := feed(Probed(path, reply, time, rtt * 1e-3), time):
                    effects += got
            effects += feed(round_ended, time)
            for effect in effects:
                if isinstance(effect, Steer):
                    feed(Installed(effect.policy, effect.best, effect.runner_up), time)
                elif isinstance(effect, Switched):
                    choice = self._numbers[effect.new] if effect.new is not None else -1
                    self._note(effect, time)

    def _note(self, effect: Switched, time: float) -> None:
        names = self.trace.names
        old = names[self._numbers[effect.old]] if effect.old is not None else None
        new = names[self._numbers[effect.new]] if effect.new is not None else None
        self.switches.append({"time_s": time, "from": old, "to": new, "reason": str(effect.reason)})
        self.moves += old is not None

    def _meet(self, time: float) -> None:
        """Paths appeared: the settings know them, or each becomes a PoP of its own."""
        for name in self.trace.names[len(self._paths) :]:
            path = self._names.get(name) if self._names else PathId(name)
            if path is None:
                known = ", ".join(sorted(self._names)[:8])
                raise TraceError(f"{self.trace.file}: path {name!r} is not in the configuration, which knows {known}")
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
        if not self._names:
            paths = tuple(PathSettings(path=path, pop=path, uplink=path) for path in self._paths)
            self._settings = replace(self._settings, paths=paths)
        if self._engine is None:
            self._engine = Engine(self._settings, Memory(), now=time, epoch=EPOCH, draw=Random(0).random)  # noqa: S311
        elif not self._names:
            self._add_paths(time)

    def _add_paths(self, time: float) -> None:
        from steerd.core.model import Configured

        assert self._engine is not None  # noqa: S101
        self._engine.feed(Configured(self._settings), time)


def _trace_names(settings: Settings) -> Mapping[str, PathId]:
    """A trace may call a path by its full name, or by its PoP's where that has only one."""
    names: dict[str, PathId] = {}
    pops = [path.pop for path in settings.paths]
    for path in settings.paths:
        names[path.path] = path.path
        if pops.count(path.pop) == 1:
            names.setdefault(path.pop, path.path)
    return names


def _json(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 (NaN is not JSON)
