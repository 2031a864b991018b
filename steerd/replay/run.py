"""A trace through the engine: rows in, switches out. No steering logic of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

from steerd.core.engine import Engine
from steerd.core.model import Configured, Effect, Installed, Memory, Steer, Swept, Switched
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.replay.compare import compare
from steerd.replay.imports.imported import Import
from steerd.replay.outcome import Outcome, own_price, rule_name
from steerd.replay.price import Ledger, account
from steerd.replay.trace import Trace
from steerd.replay.track import Choices

EPOCH = 1
POLICY = PolicyId("trace")


class Rows(Protocol):
    """What can be replayed: a `Trace`, or one that is kept in memory. The attributes are as there."""

    paths: dict[str, PathId]
    cut_short: bool

    def groups(self) -> Iterator[Swept]: ...


class Choosing(Protocol):
    """What is told of each sample, and then of the choice that was made on it, if one was: a `Ledger`, or less."""

    def add(self, paths: Sequence[PathId], rtts: Sequence[float | None], time: float) -> None: ...

    def choose(self, path: PathId | None) -> None: ...


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


def run(
    file: Path | Import,
    settings: Settings,
    *,
    prices: Sequence[float] = (),
    baselines: bool = False,
    watchers: Sequence[Watcher] = (),
) -> Outcome:
    """Replay one trace.

    Settings without paths make every path of the trace a PoP of its own. ``prices``, in ms per switch, are those
    that J is settled at beside the rule's own. ``baselines``: with what other rules would have chosen.

    Raises:
        TraceError: see `Trace.groups`, and for an `Import` that of `ImportedTrace`.
    """
    known = names(settings)
    trace, ledger = file.trace(known) if isinstance(file, Import) else Trace(file, known), Ledger()
    one = _Run(trace, settings, ledger)
    one.feed(_watched(trace, watchers) if watchers else trace.groups())
    own = own_price(settings)
    samples = ledger.samples()
    return Outcome(
        trace=str(file),
        rule=rule_name(settings),
        rows=ledger.rows,
        names=trace.paths,
        switches=one.switches,
        began=ledger.times[0] if ledger.times else 0.0,
        samples=samples,
        account=account(samples, ledger.choices),
        choices=samples.placed(ledger.choices),
        prices=(own, *(price for price in prices if price != own)),
        baselines=compare(samples, cut_short=trace.cut_short) if baselines else {},
    )


def choices(rows: Rows, settings: Settings) -> Choices:
    """From which sample on the engine would have used which path, and nothing else: for those who replay the same
    rows again and again, and have priced them once."""
    one = _Run(rows, settings, chosen := _Chosen())
    one.feed(rows.groups())
    return chosen.choices


class _Chosen:
    def __init__(self) -> None:
        self.choices: list[tuple[int, PathId | None]] = [(0, None)]
        self._samples = 0

    def add(self, paths: Sequence[PathId], rtts: Sequence[float | None], time: float) -> None:  # noqa: ARG002
        self._samples += 1

    def choose(self, path: PathId | None) -> None:
        self.choices.append((self._samples, path))


class _Run:
    def __init__(self, trace: Rows, settings: Settings, ledger: Choosing) -> None:
        self.trace = trace
        self.ledger = ledger
        self.switches: list[dict[str, Any]] = []
        # A trace has one sequence of choices: the first policy's. Rounds end where a time ends.
        policies = settings.policies[:1] or (PolicySettings(POLICY),)
        self._settings = replace(settings, policies=policies, round=0.0)
        self._discover = not settings.paths
        self._engine: Engine | None = None

    def feed(self, groups: Iterator[Swept]) -> None:
        ledger, paths = self.ledger, self.trace.paths
        met = 0
        engine = None
        for swept in groups:
            time = swept.sent_at
            ledger.add(swept.paths, swept.rtts, time)
            if len(paths) > met:
                met = len(paths)
                engine = self._meet(time)
            if self.trace.cut_short:
                break
            assert engine is not None  # noqa: S101 (a group has a row, and a row has a path)
            effects = engine.feed(swept, time)
            if effects:
                self._carry_out(effects, engine, time)

    def _carry_out(self, effects: Sequence[Effect], engine: Engine, time: float) -> None:
        for effect in effects:
            if isinstance(effect, Steer):
                engine.feed(Installed(effect.policy, effect.best, effect.runner_up, shares=effect.shares), time)
            elif isinstance(effect, Switched):
                self.ledger.choose(effect.new)
                called = {path: name for name, path in self.trace.paths.items()}
                old = called[effect.old] if effect.old is not None else None
                new = called[effect.new] if effect.new is not None else None
                self.switches.append({"time_s": time, "from": old, "to": new, "reason": str(effect.reason)})

    def _meet(self, time: float) -> Engine:
        """Paths appeared that the engine may not know yet."""
        if self._discover:
            paths = tuple(PathSettings(path=path, pop=path, uplink=path) for path in self.trace.paths.values())
            self._settings = replace(self._settings, paths=paths)
        if self._engine is None:
            self._engine = Engine(self._settings, Memory(), now=time, epoch=EPOCH, draw=Random(0).random)  # noqa: S311
        elif self._discover:
            self._carry_out(self._engine.feed(Configured(self._settings), time), self._engine, time)
        return self._engine


def _watched(trace: Trace, watchers: Sequence[Watcher]) -> Iterator[Swept]:
    for swept in trace.groups():
        for watcher in watchers:
            watcher.sample(trace, swept)
        yield swept


def names(settings: Settings) -> Mapping[str, PathId]:
    """A trace may call a path by its full name, or by its PoP's where that has only one."""
    known: dict[str, PathId] = {}
    pops = [path.pop for path in settings.paths]
    for path in settings.paths:
        known[path.path] = path.path
        if pops.count(path.pop) == 1:
            known.setdefault(path.pop, path.path)
    return known
