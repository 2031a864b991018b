"""Recordings: every engine event with its time, after a header that holds all that the engine began with.

One gzip file of JSON lines a run, `recording-EPOCH.jsonl.gz`. Each batch is a gzip member: after a crash all but the
last can be read. The first line is the header, every other one `[time, event]`; null for a wake-up after a long
silence.
"""

import gzip
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from steerd.core.events import Event, Observed
from steerd.core.memory import Memory
from steerd.core.settings import Settings
from steerd.store.records import RecordError, from_json, to_json

VERSION: Final = 2
"""2: the panel of rules. 1 is that of steerd 0.1, whose rule is gone: a replay decides anew."""
RUN_MAX: Final = 256 << 20
"""Bytes of one recording, which ends there."""
TOTAL_MAX: Final = 512 << 20
"""Bytes of all recordings in a folder: the oldest go."""
RESERVED: Final = 16 << 20
"""Bytes that stay free on the disk: what a restart must not forget needs room, too."""
LINE_MAX: Final = 16 << 20
"""Characters that are read as a line: a file of some kB may inflate to any length."""
PATTERN: Final = "recording-*.jsonl.gz"
AGE_MAX: Final = 14 * 86_400.0
"""Seconds that a recording covers, and for which it is kept after its end."""

Entry = tuple[float, Event | Observed | None]
"""What the engine was fed, or what was seen beside it, and when."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the engine was made with: the same again, fed the recorded events, does the same. `wall_ms` is the Unix time
    at `now`; `seed` that of the engine's draws; `version` the recording's."""

    settings: Settings
    memory: Memory
    seed: int
    epoch: int
    now: float
    wall_ms: int
    version: int = VERSION

    @property
    def exact(self) -> bool:
        """Whether this steerd decides as the one that recorded it."""
        return self.version == VERSION


class Recording:
    """The file being written. Blocks; for the store's own thread."""

    def __init__(
        self,
        folder: Path,
        header: Header,
        *,
        run_max: int = RUN_MAX,
        total_max: int = TOTAL_MAX,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._left = run_max
        self._until = header.now + AGE_MAX
        make_room(folder, total_max - run_max, wall() - AGE_MAX)
        line = {name: to_json(getattr(header, name)) for name in Header.__slots__}
        file = folder / f"recording-{header.epoch}.jsonl.gz"
        self._file: BinaryIO = file.open("wb")
        self.close = self._file.close
        try:
            self._write([json.dumps(line)])
        except OSError:
            file.unlink()
            self.close()
            raise

    def append(self, events: Sequence[Entry]) -> None:
        """Write a batch. OSError: it cannot be written, or the recording has reached its greatest size or age."""
        if events and events[-1][0] > self._until:
            raise OSError("it has reached its greatest age")
        self._write([json.dumps([now, event and to_json(event)], separators=(",", ":")) for now, event in events])

    def _write(self, lines: Sequence[str]) -> None:
        member = gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=1, mtime=0)
        self._left -= len(member)
        if self._left < 0:
            raise OSError("it has reached its greatest size")
        disk = os.statvfs(self._file.fileno())
        if disk.f_bavail * disk.f_frsize < RESERVED + len(member):
            raise OSError(f"the disk has less than {RESERVED >> 20} MiB left")
        self._file.write(member)
        self._file.flush()


def make_room(folder: Path, allowed: int, since: float) -> None:
    """Remove recordings that ended before ``since`` (Unix time), and the oldest beyond ``allowed`` bytes. OSError."""
    for file in recordings(folder)[::-1]:
        status = file.stat()
        allowed -= status.st_size
        if allowed < 0 or status.st_mtime < since:
            file.unlink()


def recordings(folder: Path) -> Sequence[Path]:
    """The recordings in a folder, the one written to last at the end."""
    return sorted(folder.glob(PATTERN), key=lambda file: file.stat().st_mtime)


def read(file: Path) -> tuple[Header, Iterator[Entry]]:
    """A recording's header and what the engine was fed, read lazily, without a last batch that a crash cut off.
    RecordError: not a recording, or a line that is none; OSError: it cannot be read."""
    lines = _lines(file)
    try:
        header = _header(json.loads(next(lines, "")))
    except RecordError as error:
        raise RecordError(f"{file}:1: {error}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise RecordError(f"{file}:1: not the beginning of a recording") from error
    return header, _events(file, lines)


def _header(first: Any) -> Header:
    version = first["version"]
    if type(version) is not int or not 1 <= version <= VERSION:
        raise RecordError(f"a recording of version {version}; this steerd reads versions 1 to {VERSION}")
    settings, memory = from_json(first["settings"]), from_json(first["memory"])
    seed, epoch, wall_ms = (int(first[name]) for name in ("seed", "epoch", "wall_ms"))
    return Header(settings, memory, seed, epoch, float(first["now"]), wall_ms, version)


def _lines(file: Path) -> Iterator[str]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as opened:
            yield from iter(partial(opened.readline, LINE_MAX), "")
    except (EOFError, zlib.error):
        return  # cut off
    except UnicodeDecodeError:
        raise RecordError(f"{file}: is no UTF-8 text") from None


def _events(file: Path, lines: Iterator[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 2):
        try:
            now, event = json.loads(line)
            yield float(now), None if event is None else from_json(event)
        except (ValueError, TypeError, RecursionError) as error:
            raise RecordError(f"{file}:{number}: {error}") from error
