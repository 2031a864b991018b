"""The thread that writes what the store is given, in order, and answers what it is asked in between."""

import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from steerd.core.memory import Memory
from steerd.store.database import Database
from steerd.store.earlier import BELIEVED, Addresses
from steerd.store.recording import AGE_MAX, TOTAL_MAX, Entry, Header, Recording, make_room
from steerd.store.records import to_json
from steerd.store.sober import SoberClock

_log = logging.getLogger(__name__)

_QUEUE: Final = 4096
_BATCH: Final = 256
_CHUNKS: Final = 64
_SAID_EVERY: Final = 3600.0
_TIDIED_EVERY: Final = 3600.0
_FAILURES: Final = (sqlite3.Error, OSError, ValueError, TypeError)

Work = Callable[[Database], None]


class Remembered(NamedTuple):
    """What the next run is to know, as of this Unix time."""

    memory: Memory
    addresses: Addresses
    orders: Mapping[str, str]
    wall_ms: int


class Writer:
    """Takes what is to be written, and never waits for the disk. ``lost`` counts what was dropped. ``tidy``: recordings
    that are too old or too many are removed once an hour, by the sober clock."""

    def __init__(self, path: Path, sober: SoberClock, *, tidy: bool) -> None:
        self.lost = 0
        self._path = path
        self._sober = sober
        self._tidies = tidy
        self._work: queue.Queue[Work | None] = queue.Queue(_QUEUE)
        self._memory: Remembered | None = None
        self._header: Header | None = None
        self._chunks: deque[list[Entry]] = deque()
        self._silent_until = 0.0
        self._tidied_at = sober()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether anything is written, or can be asked."""
        return self._thread is not None

    def start(self, database: Database) -> None:
        """Write into this database, and close it in the end."""
        self._thread = threading.Thread(target=self._run, args=(database,), name="store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is waiting and end the thread. Blocks, for some seconds at most."""
        if self._thread is not None:
            with suppress(queue.Full):
                self._work.put(None, timeout=5.0)
            self._thread.join(timeout=10.0)
        self._thread = None

    def do(self, work: Work) -> bool:
        """Have the thread do this. False: its queue is full."""
        try:
            self._work.put_nowait(work)
        except queue.Full:
            self.lost += 1
            return False
        return True

    def remember(self, latest: Remembered) -> None:
        """Write this; only the latest counts."""
        self._memory = latest
        self._wake()

    def begin(self, header: Header) -> None:
        """A recording begins."""
        self._header = header

    def append(self, chunk: list[Entry]) -> bool:
        """Append to the recording. False: it has ended."""
        if self._header is None:
            return False
        self._chunks.append(chunk)
        self._wake()
        if len(self._chunks) > _CHUNKS:
            self._header = None  # a recording with a gap would not replay
            _log.warning("the recording ends: the disk is too slow")
        return self._header is not None

    def failed(self, error: Exception) -> None:
        """Log it, once an hour at most."""
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _SAID_EVERY
            _log.warning("the store cannot write, steering goes on without it: %s", error)

    def _wake(self) -> None:
        with suppress(queue.Full):  # then the thread is busy, and finds it later
            self._work.put_nowait(lambda _: None)

    # On the thread

    def _run(self, database: Database) -> None:
        recording: Recording | None = None
        more = True
        while more:
            batch = [self._work.get()]
            with suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._work.get_nowait())
            more = None not in batch
            self._write(database, [work for work in batch if work is not None])
            recording = self._write_recording(recording)
            self._tidy()
        if recording is not None:
            recording.close()
        database.close()

    def _write(self, database: Database, batch: list[Work]) -> None:
        """One transaction; after a failure one for each piece, so that a bad one fails alone."""
        latest, self._memory = self._memory, None
        if latest is not None:
            batch.append(lambda db: db.put(BELIEVED, self._sober()))
            batch.append(lambda db: db.put("orders", dict(latest.orders)))
            batch.append(lambda db: db.put("addresses", [[*key, address] for key, address in latest.addresses.items()]))
            batch.append(lambda db: db.put("memory", {"wall_ms": latest.wall_ms, "memory": to_json(latest.memory)}))
        try:
            for work in batch:
                work(database)
            database.commit()
        except _FAILURES as error:
            self.failed(error)
            if isinstance(error, sqlite3.Error):
                database.reopen_if_broken(error)
            failed = sum(not self._write_alone(database, work) for work in batch)
            self.lost += failed
            if failed and self._memory is None:
                self._memory = latest  # tried again with whatever comes next

    @staticmethod
    def _write_alone(database: Database, work: Work) -> bool:
        with suppress(*_FAILURES):
            database.rollback()
            work(database)
            database.commit()
            return True
        return False

    def _write_recording(self, recording: Recording | None) -> Recording | None:
        if self._header is None and not self._chunks:
            return recording
        try:
            if recording is None and self._header is not None:
                recording = Recording(self._path, self._header, wall=self._sober)
            while recording is not None and self._chunks:
                recording.append(self._chunks.popleft())
        except (OSError, TypeError) as error:
            _log.warning("the recording ends: %s", error)
            self._header = None
            self._chunks.clear()
            if recording is not None:
                recording.close()
            return None
        return recording

    def _tidy(self) -> None:
        """Remove old recordings, also of a daemon that runs for months."""
        if self._tidies and self._sober() - self._tidied_at >= _TIDIED_EVERY:
            self._tidied_at = self._sober()
            with suppress(OSError):
                make_room(self._path, TOTAL_MAX, self._tidied_at - AGE_MAX)
