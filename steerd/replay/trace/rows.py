"""Traces kept in memory, as small as they can be: read once, replayed again and again."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from steerd.core.events import Swept
from steerd.core.settings import PathId
from steerd.replay.account.price import Account, Ledger, account
from steerd.replay.trace.reading import Trace


@dataclass(frozen=True, slots=True)
class Kept:
    """A trace: 8 bytes a row, and 12 a sample (all rows of one time). ``groups`` are the different sets of paths that
    samples have, ``group`` tells which one each has, and ``rtts`` (ms; NaN: lost) has their rows one after the other.
    ``names`` are the trace's own for the paths."""

    trace: str
    names: Mapping[PathId, str]
    groups: Sequence[Sequence[PathId]]
    times: "array[float]"
    group: "array[int]"
    rtts: "array[float]"
    cut_short: bool

    def replayed(self) -> "Replayed":
        """The rows, once more."""
        return Replayed(self)

    def account(self) -> Account:
        """What each path would have cost, each time being a sample."""
        ledger = Ledger(rounds=True)
        for swept in self.replayed().groups():
            ledger.add(swept.paths, swept.rtts, swept.sent_at)
        return account(ledger.samples(), ledger.choices)


class Replayed:
    """See `steerd.replay.subject.Rows`: the paths appear as they do while the trace is read."""

    def __init__(self, kept: Kept) -> None:
        self.paths: dict[str, PathId] = {}
        self.cut_short = False
        self._kept = kept

    def groups(self) -> Iterator[Swept]:
        """The samples, in order."""
        kept, groups = self._kept, self._kept.groups
        met: set[int] = set()
        begin, last = 0, len(kept.times) - 1
        for n, (time, group) in enumerate(zip(kept.times, kept.group, strict=True)):
            paths = groups[group]
            if group not in met:
                met.add(group)
                self.paths.update((kept.names[path], path) for path in paths if kept.names[path] not in self.paths)
            end = begin + len(paths)
            rtts = [None if rtt != rtt else rtt for rtt in kept.rtts[begin:end]]  # noqa: PLR0124 (NaN)
            begin = end
            if n == last:
                self.cut_short = kept.cut_short
            yield Swept(time, paths, rtts)


def read(file: Path, known: Mapping[str, PathId]) -> Kept:
    """Reads a trace; ``known`` as for `Trace`. Raises `TraceError`: see `Trace.groups`."""
    trace = Trace(file, known)
    return keep(trace, trace.groups())


def keep(trace: Trace, groups: Iterable[Swept]) -> Kept:
    """Keeps a trace while its ``groups`` are read. Raises what they raise."""
    times, group, rtts = array("d"), array("I"), array("d")
    places: dict[tuple[PathId, ...], int] = {}
    for swept in groups:
        times.append(swept.sent_at)
        group.append(places.setdefault(tuple(swept.paths), len(places)))
        rtts.extend(nan if rtt is None else rtt for rtt in swept.rtts)
    names: dict[PathId, str] = {}
    for name, path in trace.paths.items():
        names.setdefault(path, name)
    return Kept(str(trace.file), names, list(places), times, group, rtts, trace.cut_short)
