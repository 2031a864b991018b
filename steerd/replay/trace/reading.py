"""Reading traces: CSV, plain, .gz or .xz, header ``time_s,path,rtt_ms``, a blank ``rtt_ms`` is a lost probe."""

import csv
import gzip
import lzma
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from io import BufferedReader, TextIOWrapper
from math import inf
from pathlib import Path
from typing import Final

from steerd.core.events import Swept
from steerd.core.settings import PathId
from steerd.text.lines import printable

HEADER: Final = ["time_s", "path", "rtt_ms"]
LINE_MAX: Final = 1 << 18
"""Characters that are read as a line: a small file may inflate to any length. A field of so many is `csv`'s error."""
RTT_ABSURD: Final = 1e9

TIME_ABSURD: Final = 2.0**53  # seconds beyond which one second cannot be told from the next


class TraceError(Exception):
    """A trace that cannot be replayed; the message names the file and the line."""


class Trace:
    """A trace, read once from its start to its end. ``paths`` maps its names, as they appear, to paths. With ``known``
    names only those may appear; without, each stands for itself."""

    def __init__(self, file: Path, known: Mapping[str, PathId]) -> None:
        self.file = file
        self.paths: dict[str, PathId] = {}
        self.cut_short = False
        """Set with the last group if rows are missing at its end: a decision needs all rows of its time."""
        self._known = known
        self._raw: BufferedReader | None = None

    @property
    def bytes_read(self) -> int:
        """How far the file has been read, as it lies on the disk."""
        raw = self._raw
        return raw.tell() if raw is not None and not raw.closed and raw.seekable() else 0

    def groups(self) -> Iterator[Swept]:
        """The rows, all of one time together. Raises `TraceError`: unreadable, malformed, or out of order."""
        line = 1
        try:
            with self.file.open("rb") as self._raw:
                # utf-8-sig: without the mark that some spreadsheets begin a file with.
                plain = uncompressed(self._raw, self.file.suffix)
                text = TextIOWrapper(plain, encoding="utf-8-sig", newline="")
                reader = csv.reader(iter(partial(text.readline, LINE_MAX), ""))
                header = next(reader, None)
                if header is None:
                    raise self._error(1, f"is empty: a trace begins with {','.join(HEADER)!r}")
                if header != HEADER:
                    raise self._error(1, f"the header is {printable(','.join(header)):.60}, not {','.join(HEADER)}")
                try:
                    yield from self._gather(filter(None, reader))  # a blank line is no row
                finally:
                    line = reader.line_num
        except UnicodeDecodeError:
            raise self._error(line, "must be UTF-8 text") from None
        except ValueError as error:
            raise self._error(line, f"not a row of time_s,path,rtt_ms: {error}") from None
        except OSError as error:
            raise TraceError(f"{self.file}: cannot be read: {error.strerror or error}") from None
        except (EOFError, lzma.LZMAError, zlib.error, csv.Error) as error:
            raise self._error(line, f"cannot be read: {error}") from None

    def _gather(self, reader: Iterable[list[str]]) -> Iterator[Swept]:
        known, absurd = self.paths, RTT_ABSURD
        before: list[PathId] = []
        whole: set[tuple[int, tuple[PathId, ...]]] = set()  # fewer rows than before that were all there were
        paths: list[PathId] = []
        rtts: list[float | None] = []
        last, at = "", -inf
        for time, name, rtt in reader:
            if time != last:
                new = float(time)
                if not -TIME_ABSURD < new < TIME_ABSURD:
                    raise ValueError(f"time {time!r}")
                if new < at:
                    raise ValueError(f"time {time} comes after {last}: rows must be sorted by time")
                if new > at and paths:
                    yield Swept(at, paths, rtts)
                    if len(paths) < len(before) and before[: len(paths)] == paths:
                        whole.add((len(before), tuple(paths)))
                    before, paths, rtts = paths, [], []
                last, at = time, new
            try:
                paths.append(known[name])
            except KeyError:
                paths.append(self._meet(name))
            if rtt:
                value = float(rtt)
                if not 0.0 <= value < absurd:
                    raise ValueError(f"rtt_ms {rtt!r}")
                rtts.append(value)
            else:
                rtts.append(None)
        if paths:
            fewer = len(paths) < len(before) and before[: len(paths)] == paths
            self.cut_short = fewer and (len(before), tuple(paths)) not in whole
            yield Swept(at, paths, rtts)

    def _meet(self, name: str) -> PathId:
        path = self._known.get(name) if self._known else PathId(name)
        if path is None:
            known = ", ".join(sorted(self._known)[:8])
            raise ValueError(f"path {name!r} is not in the configuration, which knows {known}")
        self.paths[name] = path
        return path

    def _error(self, line: int, what: str) -> TraceError:
        return TraceError(f"{self.file}:{line}: {what}")


def uncompressed(raw: BufferedReader, suffix: str) -> gzip.GzipFile | lzma.LZMAFile | BufferedReader:
    """What is in a file whose name ends in ``suffix``: .gz and .xz are compressed, any other is plain."""
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    return lzma.LZMAFile(raw) if suffix == ".xz" else raw
