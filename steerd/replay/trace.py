"""Reading traces: CSV, plain, .gz or .xz, header ``time_s,path,rtt_ms``, a blank ``rtt_ms`` is a lost probe."""

import csv
import gzip
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

HEADER = ["time_s", "path", "rtt_ms"]


class TraceError(Exception):
    """A trace that can not be replayed; the message names the file and the line."""


class Group(NamedTuple):
    """All rows of one ``time_s``: the path's number in order of appearance, and its RTT in ms (None: lost)."""

    time: float
    rows: list[tuple[int, float | None]]


class Trace:
    """A trace, read once from its start to its end. ``names`` grows as paths appear."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.names: list[str] = []

    def groups(self) -> Iterator[Group]:
        """The rows, gathered by time.

        Raises:
            TraceError: the file can not be read, a row is malformed, or the rows are not sorted.
        """
        line = 1
        try:
            with _open(self.file) as stream:
                reader = csv.reader(stream)
                header = next(reader, None)
                if header != HEADER:
                    raise self._error(1, f"the header is {','.join(header or [])!r}, not {','.join(HEADER)!r}")
                numbers: dict[str, int] = {}
                rows: list[tuple[int, float | None]] = []
                time = last = ""
                at = float("-inf")
                for line, (time, path, rtt) in enumerate(reader, 2):  # noqa: B007
                    if time != last:
                        new = float(time)
                        if not new > at:
                            if new < at:
                                raise self._error(line, f"time {time} comes after {last}: rows must be sorted by time")
                        else:
                            if rows:
                                yield Group(at, rows)
                                rows = []
                            if new == float("inf"):
                                raise ValueError(time)
                            at = new
                        last = time
                    number = numbers.get(path)
                    if number is None:
                        number = numbers[path] = len(self.names)
                        self.names.append(path)
                    if rtt:
                        value = float(rtt)
                        if not 0.0 <= value < 1e9:
                            raise ValueError(rtt)
                        rows.append((number, value))
                    else:
                        rows.append((number, None))
                if rows:
                    yield Group(at, rows)
        except ValueError as error:
            raise self._error(line + 1, f"not a row of time_s,path,rtt_ms ({error})") from None
        except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, csv.Error) as error:
            raise self._error(line, f"can not be read: {error}") from None

    def _error(self, line: int, what: str) -> TraceError:
        return TraceError(f"{self.file}:{line}: {what}")


@contextmanager
def _open(file: Path) -> Iterator[TextIO]:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(file.suffix, open)
    with opener(file, "rt", encoding="utf-8", newline="") as stream:  # type: ignore[operator]
        yield stream
