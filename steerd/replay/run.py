"""A trace through the engine: rows in, switches out. No steering logic of its own."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from steerd.core.events import Swept
from steerd.core.settings import PathId, Settings
from steerd.replay.account.outcome import Outcome, own_price, rule_name
from steerd.replay.account.price import Ledger, account
from steerd.replay.compare import compare
from steerd.replay.imports.imported import Import
from steerd.replay.probed import AsProbed
from steerd.replay.subject import Choosing, Chosen, Rows, Subject
from steerd.replay.trace.reading import Trace
from steerd.replay.trace.rows import keep
from steerd.replay.trace.track import Choices, period


class Watcher(Protocol):
    """Looks on while a trace is replayed."""

    def sample(self, trace: Trace, swept: Swept) -> None:
        """All rows of one time, before the engine sees them."""
        ...


def run(
    file: Path | Import,
    settings: Settings,
    *,
    prices: Sequence[float] = (),
    baselines: bool = False,
    as_probed: bool = False,
    watchers: Sequence[Watcher] = (),
) -> Outcome:
    """Replay one trace.

    Settings without paths make every path of the trace a PoP of its own. ``prices``, in ms per switch, are those
    that J is settled at beside the rule's own. ``baselines``: with what other rules would have chosen. ``as_probed``:
    the engine sees the samples that it asks for, see `AsProbed`; all are judged.

    Raises:
        TraceError: see `Trace.groups`, and for an `Import` that of `ImportedTrace`.
    """
    known = names(settings)
    trace, ledger = file.trace(known) if isinstance(file, Import) else Trace(file, known), Ledger()
    groups = _watched(trace, watchers) if watchers else trace.groups()
    own = own_price(settings)
    more: dict[str, Any] = {}
    if as_probed:
        kept = keep(trace, groups)
        for swept in kept.replayed().groups():
            ledger.add(swept.paths, swept.rtts, swept.sent_at)
        samples = ledger.samples()
        rows, chosen = kept.replayed(), Chosen()
        some = AsProbed(rows, settings, chosen, samples.step or period(samples.times) or 1.0)
        some.feed(rows.groups())
        switches, made = some.switches, chosen.choices
        more["probed"] = {"count": some.fed, "ratio": some.fed / ledger.rows if ledger.rows else 0.0}
    else:
        one = _Run(trace, settings, ledger)
        one.feed(groups)
        samples = ledger.samples()
        switches, made = one.switches, ledger.choices
    return Outcome(
        trace=str(file),
        rule=rule_name(settings),
        rows=ledger.rows,
        names=trace.paths,
        switches=switches,
        began=ledger.times[0] if ledger.times else 0.0,
        samples=samples,
        account=account(samples, made),
        choices=samples.placed(made),
        prices=(own, *(price for price in prices if price != own)),
        baselines=compare(samples, settings, cut_short=trace.cut_short) if baselines else {},
        more=more,
    )


def choices(rows: Rows, settings: Settings) -> Choices:
    """From which sample on the engine would have used which path, and nothing else: for those who replay the same
    rows again and again, and have priced them once."""
    one = _Run(rows, settings, chosen := Chosen())
    one.feed(rows.groups())
    return chosen.choices


class _Run(Subject):
    """Feeds the rows of each time together; rounds end where a time ends."""

    def __init__(self, rows: Rows, settings: Settings, ledger: Choosing) -> None:
        super().__init__(rows.paths, settings, ledger, 0.0)
        self._rows = rows

    def feed(self, groups: Iterator[Swept]) -> None:
        ledger, paths = self.ledger, self.paths
        met = 0
        engine = None
        for swept in groups:
            time = swept.sent_at
            ledger.add(swept.paths, swept.rtts, time)
            if len(paths) > met:
                met = len(paths)
                engine = self.meet(time, time)
            if self._rows.cut_short:
                break
            assert engine is not None  # noqa: S101 (a group has a row, and a row has a path)
            effects = engine.sweep(swept, time)
            if effects:
                self.obey(effects, engine, time, time)


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
