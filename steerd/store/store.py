"""The store's face: called from the event loop, never waits; one thread of its own does the writing."""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from steerd.core.effects import Switched
from steerd.core.events import Event
from steerd.core.memory import Memory
from steerd.core.settings import Settings
from steerd.store.database import Database, Limits
from steerd.store.recording import AGE_MAX, TOTAL_MAX, Entry, Header, Recording, make_room
from steerd.store.records import RecordError, from_json, to_json

_log = logging.getLogger(__name__)

_QUEUE: Final = 4096
_BATCH: Final = 256
_CHUNK: Final = 2048
_CHUNK_SECONDS: Final = 5.0

_CHUNKS: Final = 64
_SAID_EVERY: Final = 3600.0
_TIDIED_EVERY: Final = 3600.0
_FAILURES: Final = (sqlite3.Error, OSError, ValueError, TypeError)

_Work = Callable[[Database], None]
_Found = TypeVar("_Found")


Addresses = Mapping[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class StoredState:
    """What an earlier run left. `epoch` is this run's: greater than any before it. `addresses` are those of targets
    that are host names, by name and family; `orders` what was signed, by topic."""

    epoch: int
    memory: Memory
    addresses: Addresses = field(default_factory=dict)
    orders: Mapping[str, str] = field(default_factory=dict)


class Store:
    """Decisions with their traces, memory and recordings in the folder `path`.

    Everything but `open` and `close` returns at once. What cannot be written is given up, counted in `lost`,
    and logged once an hour. `wall` is the wall clock, in seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        record: bool = False,
        limits: Limits | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.lost = 0
        self._path = path
        self._record = record
        self._limits = limits or Limits()
        self._wall = wall
        self._work: queue.Queue[_Work | None] = queue.Queue(_QUEUE)
        self._memory: tuple[Memory, Addresses, Mapping[str, str], int] | None = None
        self._header: Header | None = None
        self._chunk: list[Entry] = []
        self._chunks: deque[list[Entry]] = deque()
        self._silent_until = 0.0
        self._tidied_at = wall()
        self._thread: threading.Thread | None = None

    def open(self) -> StoredState:
        """Reads what is there and starts the writing thread. Blocks; call it before steering begins. Never
        raises: without a usable folder everything works, and nothing survives."""
        database = Database(self._path, self._limits)
        wall = self._wall()
        epoch, memory, addresses, orders = int(wall), Memory(), _addresses(None), _orders(None)
        try:
            stored = database.get("epoch")
            epoch = max(stored + 1 if isinstance(stored, int) else 0, epoch)
            database.put("epoch", epoch)
            memory = _aged(database.get("memory"), wall)
            addresses = _addresses(database.get("addresses"))
            orders = _orders(database.get("orders"))
            database.prune(int(wall * 1000))
            database.commit()
        except sqlite3.Error as error:
            self._failed(error)
        self._thread = threading.Thread(target=self._run, args=(database,), name="store", daemon=True)
        self._thread.start()
        return StoredState(epoch, memory, addresses, orders)

    def begin(self, *, settings: Settings, memory: Memory, seed: int, epoch: int, now: float) -> None:
        """Starts this run's recording, if there is to be one: with all that the engine was made with."""
        if self._record:
            self._header = Header(settings, memory, seed, epoch, now, int(self._wall() * 1000))

    def record(self, event: Event | None, now: float) -> None:
        """Appends what the engine was fed to the recording, in batches; nothing without a recording."""
        if self._header is None:
            return
        self._chunk.append((now, event))
        if len(self._chunk) >= _CHUNK or now - self._chunk[0][0] >= _CHUNK_SECONDS:
            self._flush_chunk()

    def remember(
        self, memory: Memory, addresses: Addresses | None = None, orders: Mapping[str, str] | None = None
    ) -> None:
        """Keeps the engine's memory, the addresses of targets that are names, and signed orders; only the latest
        counts."""
        self._memory = (memory, addresses or {}, orders or {}, int(self._wall() * 1000))
        self._wake()

    def decided(self, switched: Switched, wall_ms: int) -> None:
        """Keeps a decision."""
        self._do(lambda database: database.add_decision(wall_ms, to_json(switched)))

    def traced(self, event_id: str, wall_ms: int, trace: Mapping[str, Any]) -> None:
        """Keeps what was traced after a decision that is kept."""
        self._do(lambda database: database.add_trace(event_id, wall_ms, dict(trace)))

    async def history(self, since_s: float, limit: int) -> list[dict[str, Any]]:
        """The decisions of the last `since_s` seconds, newest first, at most `limit`: `Switched` as JSON, with
        `wall_ms`, and with `trace` where one was made."""
        since_ms = int((self._wall() - since_s) * 1000)

        def read(database: Database) -> list[dict[str, Any]]:
            traces = database.traces(since_ms)
            return [
                {"wall_ms": wall_ms, **body, "trace": traces.get(body.get("event_id", ""))}
                for wall_ms, body in database.decisions(since_ms, limit)
            ]

        return await self._read(read) or []

    async def decision(self, event_id: str) -> dict[str, Any] | None:
        """One decision as `history` has it; None: none of this id is kept."""

        def read(database: Database) -> dict[str, Any] | None:
            found = database.decision(event_id)
            if found is None:
                return None
            wall_ms, body = found
            return {"wall_ms": wall_ms, **body, "trace": database.trace(event_id)}

        return await self._read(read)

    async def trace(self, event_id: str) -> dict[str, Any] | None:
        """What was traced after this decision, or None."""
        return await self._read(lambda database: database.trace(event_id))

    async def _read(self, read: Callable[[Database], _Found]) -> _Found | None:
        """What the thread finds; None if it can not look."""
        if self._thread is None:
            return None
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Found | None] = loop.create_future()

        def work(database: Database) -> None:
            found: _Found | None = None
            try:
                found = read(database)
            finally:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(_answer, answer, found)

        return await answer if self._do(work) else None

    def close(self) -> None:
        """Writes what is waiting and ends the thread. Blocks, for some seconds at most."""
        if self._thread is None:
            return
        self._flush_chunk()
        with suppress(queue.Full):
            self._work.put(None, timeout=5.0)
        self._thread.join(timeout=10.0)
        self._thread = None

    def _do(self, work: _Work) -> bool:
        try:
            self._work.put_nowait(work)
        except queue.Full:
            self.lost += 1
            return False
        return True

    def _wake(self) -> None:
        with suppress(queue.Full):  # then the thread is busy, and finds what there is when it comes round
            self._work.put_nowait(_nothing)

    def _flush_chunk(self) -> None:
        if not self._chunk:
            return
        self._chunks.append(self._chunk)
        self._chunk = []
        self._wake()
        if len(self._chunks) > _CHUNKS:
            self._header = None  # a recording with a gap would not replay: better one that ends
            _log.warning("the recording cannot be written fast enough, and ends")

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

    def _write(self, database: Database, batch: list[_Work]) -> None:
        """One transaction; after a failure one for each piece, so that a bad one spoils no other."""
        latest, self._memory = self._memory, None
        if latest is not None:
            memory, addresses, orders, wall_ms = latest
            batch.append(lambda db: db.put("orders", dict(orders)))
            batch.append(lambda db: db.put("addresses", [[*key, address] for key, address in addresses.items()]))
            batch.append(lambda db: db.put("memory", {"wall_ms": wall_ms, "memory": to_json(memory)}))
        try:
            for work in batch:
                work(database)
            database.commit()
        except _FAILURES as error:
            self._failed(error)
            if isinstance(error, sqlite3.Error):
                database.reopen_if_broken(error)
            failed = sum(not self._write_alone(database, work) for work in batch)
            self.lost += failed
            if failed and self._memory is None:
                self._memory = latest  # tried again with whatever comes next

    def _write_alone(self, database: Database, work: _Work) -> bool:
        try:
            database.rollback()
            work(database)
            database.commit()
        except _FAILURES:
            return False
        return True

    def _write_recording(self, recording: Recording | None) -> Recording | None:
        if self._header is None and not self._chunks:
            return recording
        try:
            if recording is None and self._header is not None:
                recording = Recording(self._path, self._header, wall=self._wall)
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
        """Recordings grow old while a daemon runs for months."""
        if self._record and self._wall() - self._tidied_at >= _TIDIED_EVERY:
            self._tidied_at = self._wall()
            with suppress(OSError):
                make_room(self._path, TOTAL_MAX, self._tidied_at - AGE_MAX)

    def _failed(self, error: Exception) -> None:
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _SAID_EVERY
            _log.warning("the store cannot write, steering goes on without it: %s", error)


def _nothing(_: Database) -> None:
    """Wakes the thread."""


def _answer(answer: asyncio.Future[_Found | None], found: _Found | None) -> None:
    if not answer.done():
        answer.set_result(found)


def _addresses(stored: Any) -> Addresses:
    """The targets' addresses, if what was stored is such."""
    try:
        return {(str(name), int(family)): str(address) for name, family, address in stored}
    except (TypeError, ValueError):
        return {}


def _orders(stored: Any) -> Mapping[str, str]:
    """The signed orders by topic, if what was stored is such."""
    if not isinstance(stored, dict):
        return {}
    return {topic: payload for topic, payload in stored.items() if isinstance(payload, str)}


def _aged(stored: Any, wall: float) -> Memory:
    """The memory as it is now: what runs out went on running out while steerd was down. A clock that went
    backwards stops it for that time."""
    try:
        memory = from_json(stored["memory"])
        away = max(0.0, wall - stored["wall_ms"] / 1000)
    except (RecordError, KeyError, TypeError):
        return Memory()
    if not isinstance(memory, Memory):
        return Memory()
    return Memory(
        pins=tuple(replace(pin, left=_left(pin.left, away)) for pin in memory.pins if _stands(pin.left, away)),
        drains=tuple(replace(one, left=_left(one.left, away)) for one in memory.drains if _stands(one.left, away)),
        holds=tuple(replace(hold, age=hold.age + away, left=max(0.0, hold.left - away)) for hold in memory.holds),
        sizes=memory.sizes,
        rules=tuple(replace(one, leads_for=one.leads_for + away) for one in memory.rules),
        burdens=tuple(replace(one, age=one.age + away) for one in memory.burdens),
    )


def _stands(left: float | None, away: float) -> bool:
    return left is None or left > away


def _left(left: float | None, away: float) -> float | None:
    return None if left is None else left - away
