"""The thread that writes what the store is given, in order, and answers what it is asked in between."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from steerd.core.memory import Memory
from steerd.faults import Boundary
from steerd.store.database import Database
from steerd.store.earlier import BELIEVED, Addresses
from steerd.store.recording import AGE_MAX, TOTAL_MAX, Entry, Header, Recording, make_room
from steerd.store.records import to_json
from steerd.store.sober import SoberClock
from steerd.text.seldom import Seldom

_log = logging.getLogger(__name__)

_QUEUE: Final = 4096
_BATCH: Final = 256
_CHUNKS: Final = 64
_SAID_EVERY: Final = 3600.0
_TIDIED_EVERY: Final = 3600.0
RETRIED_EVERY: Final = 5.0
"""Seconds between two tries at what could not be kept."""

Work = Callable[[Database], None]


class Remembered(NamedTuple):
    """What the next run is to know, as of this Unix time."""

    memory: Memory
    addresses: Addresses
    orders: Mapping[str, str]
    counts: Mapping[str, Any]
    wall_ms: int
    epoch: int


class Writer:
    """Takes what is to be written, and never waits for the disk. ``lost`` counts what was dropped; ``trouble`` says why
    the latest that the next run is to know is not kept (None: it is). ``tidy``: recordings that are too old or too many
    are removed once an hour, by the sober clock."""

    def __init__(self, path: Path, sober: SoberClock, *, tidy: bool) -> None:
        self.lost = 0
        self.trouble: str | None = None
        self._path = path
        self._sober = sober
        self._tidies = tidy
        self._work: queue.Queue[Work | None] = queue.Queue(_QUEUE)
        self._memory: Remembered | None = None
        self._header: Header | None = None
        self._chunks: deque[list[Entry]] = deque()
        self._kept: Remembered | None = None
        self._copied: object = None
        self._seldom = Seldom(_SAID_EVERY)
        self._boundary = Boundary("store")
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
        if self._seldom.said("failed") is not None:
            _log.warning("the store cannot write, steering goes on without it: %s", error)

    def _wake(self) -> None:
        with suppress(queue.Full):  # then the thread is busy, and finds it later
            self._work.put_nowait(lambda _: None)

    # On the thread

    def _run(self, database: Database) -> None:
        recording: Recording | None = None
        more = True
        while more:
            batch = self._batch()
            more = None not in batch
            with self._boundary:
                self._keep(database)
            with self._boundary:
                self._write(database, [work for work in batch if work is not None])
            with self._boundary:
                recording = self._write_recording(recording)
            with self._boundary:
                self._tidy()
        for one in (recording, database):
            if one is not None:
                with self._boundary:
                    one.close()

    def _batch(self) -> list[Work | None]:
        """What there is to do; nothing, when it is time to try again what could not be done."""
        with suppress(queue.Empty):
            batch = [self._work.get(timeout=RETRIED_EVERY if self.trouble else None)]
            with suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._work.get_nowait())
            return batch
        return []

    def _keep(self, database: Database) -> None:
        """The latest that the next run is to know, whenever it is new, and until it is kept."""
        latest = self._memory
        if latest is None or (latest is self._kept and self.trouble is None):
            return

        values: dict[str, Any] = {
            BELIEVED: self._sober(),
            "orders": dict(latest.orders),
            "counts": dict(latest.counts),
            "addresses": [[*key, address] for key, address in latest.addresses.items()],
            "memory": {"wall_ms": latest.wall_ms, "memory": to_json(latest.memory)},
        }

        def work(db: Database) -> None:
            before = db.get("epoch")  # the file may be another than at the start
            values["epoch"] = max(latest.epoch, before if isinstance(before, int) else 0)
            for key, value in values.items():
                db.put(key, value)

        database.again()
        error = self._transaction(database, [work])
        if error is not None:  # once more: room was made, or the file replaced
            error = self._transaction(database, [work])
        ordered = latest.memory.pins, latest.memory.drains, latest.orders, latest.counts
        if error is None and ordered != self._copied:
            with suppress(OSError):
                database.copy(values)
                self._copied = ordered
        self._kept = latest
        self.trouble = str(error) if error else None if database.persistent else "the disk cannot be used"

    def _write(self, database: Database, batch: list[Work]) -> None:
        """One transaction; after a failure one for each piece, so that a bad one fails alone."""
        if batch and self._transaction(database, batch):
            self.lost += sum(self._transaction(database, [work]) is not None for work in batch)

    def _transaction(self, database: Database, batch: list[Work]) -> Exception | None:
        try:
            for work in batch:
                work(database)
            database.commit()
        except Exception as error:  # noqa: BLE001 (whatever the disk, or what was on it, has brought)
            self.failed(error)
            if not database.reopen_if_broken(error):
                database.recover()
            return error
        return None

    def _write_recording(self, recording: Recording | None) -> Recording | None:
        if self._header is None and not self._chunks:
            return recording
        try:
            if recording is None and self._header is not None:
                recording = Recording(self._path, self._header, wall=self._sober)
            while recording is not None and self._chunks:
                recording.append(self._chunks.popleft())
        except Exception as error:  # noqa: BLE001 (whatever it is, the recording has a gap, and would not replay)
            _log.warning("the recording ends: %s", error)
            self._header = None
            self._chunks.clear()
            if recording is not None:
                with suppress(OSError):
                    recording.close()  # which writes what is left
            return None
        return recording

    def _tidy(self) -> None:
        """Remove old recordings, also of a daemon that runs for months."""
        now = self._sober()
        if self._tidies and abs(now - self._tidied_at) >= _TIDIED_EVERY:  # less: the clock was ahead then
            self._tidied_at = now
            with suppress(OSError):
                make_room(self._path, TOTAL_MAX, self._tidied_at - AGE_MAX)
