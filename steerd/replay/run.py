"""A trace through the engine: rows in, switches out. No steering logic of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from steerd.core.engine import Engine
from steerd.core.model import Configured, Effect, Installed, Memory, Steer, Swept, Switched
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.replay.outcome import Outcome, own_price, rule_name
from steerd.replay.price import Ledger
from steerd.replay.trace import Trace

EPOCH = 1
POLICY = PolicyId("trace")


class Watcher(Protocol):
    """Looks on while a trace is replayed."""

    def sample(self, trace: Trace, swept: Swept) -> None:
        """All rows of one time, before the engine sees them."""
        ...


def replay(file: Path, settings: Settings, *, price: float | None = None) -> dict[str, Any]:
    """Replay one trace; the result is the object that ``steerd replay --json`` prints. For arguments and errors see
    `run`; with ``price`` J is settled at that instead of the rule's own."""
    outcome = run(file, settings)
    return (outcome if price is None else replace(outcome, prices=(price,))).report()


def run(file: Path, settings: Settings, *, prices: Sequence[float] = (), watchers: Sequence[Watcher] = ()) -> Outcome:
    """Replay one trace.

    Settings without paths make every path of the trace a PoP of its own. ``prices``, in ms per switch, are those
    that J is settled at beside the rule's own.

    Raises:
        TraceError: see `Trace.groups`.
    """
    one = _Run(file, settings)
    one.feed(watchers)
    own = own_price(settings)
    account = one.ledger.account()
    return Outcome(
        trace=str(file),
        rule=rule_name(settings),
        rows=one.ledger.rows,
        names=one.trace.paths,
        switches=one.switches,
        seconds=one.until - one.since,
        account=account,
        choices=one.ledger.choices,
        prices=(own, *(price for price in prices if price != own)),
    )


class _Run:
    def __init__(self, file: Path, settings: Settings) -> None:
        known = _names(settings)
        self.trace = Trace(file, known)
        self.ledger = Ledger()
        self.switches: list[dict[str, Any]] = []
        self.since = self.until = 0.0
        # A trace has one sequence of choices: the first policy's. Rounds end where a time ends.
        policies = settings.policies[:1] or (PolicySettings(POLICY),)
        self._settings = replace(settings, policies=policies, round=0.0)
        self._discover = not known
        self._engine: Engine | None = None

    def feed(self, watchers: Sequence[Watcher]) -> None:
        ledger, paths = self.ledger, self.trace.paths
        met = 0
        engine = None
        time = 0.0
        for swept in self._watched(watchers) if watchers else self.trace.groups():
            time = swept.sent_at
            ledger.add(swept.paths, swept.rtts)
            if len(paths) > met:
                met = len(paths)
                engine = self._meet(time)
            if self.trace.cut_short:
                break
            assert engine is not None  # noqa: S101 (a group has a row, and a row has a path)
            effects = engine.feed(swept, time)
            if effects:
                self._carry_out(effects, engine, time)
        self.until = time

    def _watched(self, watchers: Sequence[Watcher]) -> Iterator[Swept]:
        for swept in self.trace.groups():
            for watcher in watchers:
                watcher.sample(self.trace, swept)
            yield swept

    def _carry_out(self, effects: Sequence[Effect], engine: Engine, time: float) -> None:
        for effect in effects:
            if isinstance(effect, Steer):
                engine.feed(Installed(effect.policy, effect.best, effect.runner_up), time)
            elif isinstance(effect, Switched):
                self.ledger.choose(effect.new)
                names = {path: name for name, path in self.trace.paths.items()}
                old = names[effect.old] if effect.old is not None else None
                new = names[effect.new] if effect.new is not None else None
                self.switches.append({"time_s": time, "from": old, "to": new, "reason": str(effect.reason)})

    def _meet(self, time: float) -> Engine:
        """Paths appeared that the engine may not know yet."""
        if self._discover:
            paths = tuple(PathSettings(path=path, pop=path, uplink=path) for path in self.trace.paths.values())
            self._settings = replace(self._settings, paths=paths)
        if self._engine is None:
            self.since = time
            self._engine = Engine(self._settings, Memory(), now=time, epoch=EPOCH, draw=Random(0).random)  # noqa: S311
        elif self._discover:
            self._carry_out(self._engine.feed(Configured(self._settings), time), self._engine, time)
        return self._engine


def _names(settings: Settings) -> Mapping[str, PathId]:
    """A trace may call a path by its full name, or by its PoP's where that has only one."""
    names: dict[str, PathId] = {}
    pops = [path.pop for path in settings.paths]
    for path in settings.paths:
        names[path.path] = path.path
        if pops.count(path.pop) == 1:
            names.setdefault(path.pop, path.path)
    return names
