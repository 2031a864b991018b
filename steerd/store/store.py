"""The store as the event loop sees it: it never waits, as a thread of its own writes."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from steerd.core.effects import Switched
from steerd.core.events import Event, Observed
from steerd.core.memory import Memory
from steerd.core.settings import Settings
from steerd.status.notes import Note
from steerd.store.database import Database, Kind, Limits
from steerd.store.earlier import Addresses, StoredState, read
from steerd.store.recording import Entry, Header
from steerd.store.records import to_json
from steerd.store.sober import SoberClock
from steerd.store.writer import Remembered, Writer

ANSWER: Final = 5.0
"""Seconds to wait for the disk when something is asked."""

_CHUNK: Final = 2048
_CHUNK_SECONDS: Final = 5.0

_Found = TypeVar("_Found")


class Store:
    """Decisions with their traces, memory and recordings in the folder `path`. Only `open` and `close` block. What
    cannot be written is dropped, counted in `lost`, and logged once an hour. `wall` gives Unix time, in seconds."""

    def __init__(
        self,
        path: Path,
        *,
        record: bool = False,
        limits: Limits | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._record = record
        self._limits = limits or Limits()
        self._wall = wall
        self._sober = SoberClock(wall)
        self._writer = Writer(path, self._sober, tidy=record)
        self._recording = False
        self._epoch = 0
        self._chunk: list[Entry] = []

    @property
    def lost(self) -> int:
        """How many writes were dropped."""
        return self._writer.lost

    def open(self) -> StoredState:
        """Read the stored state and start the writing thread. Blocks; call it before steering begins. Without a usable
        folder everything works, and nothing survives."""
        database = Database(self._path, self._limits, self._sober)
        found = read(database, self._wall(), self._sober, self._writer.failed)
        self._epoch = found.epoch
        self._writer.start(database)
        return found

    def begin(self, *, settings: Settings, memory: Memory, seed: int, epoch: int, now: float) -> None:
        """Start this run's recording, if one is wanted, with all that the engine was made with."""
        if self._record:
            self._recording = True
            self._writer.begin(Header(settings, memory, seed, epoch, now, int(self._wall() * 1000)))

    def record(self, event: Event | Observed | None, now: float) -> None:
        """Append what the engine was fed to the recording, if there is one, in batches."""
        if self._recording:
            self._chunk.append((now, event))
            if len(self._chunk) >= _CHUNK or now - self._chunk[0][0] >= _CHUNK_SECONDS:
                self._flush_chunk()

    def remember(
        self,
        memory: Memory,
        addresses: Addresses | None = None,
        orders: Mapping[str, str] | None = None,
        counts: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep the engine's memory, the targets' addresses by name, signed orders, and uplinks' counts; only the latest
        counts."""
        wall_ms = int(self._wall() * 1000)
        self._writer.remember(Remembered(memory, addresses or {}, orders or {}, counts or {}, wall_ms, self._epoch))

    async def trouble(self) -> str | None:
        """Why what was to be remembered last is not kept over a restart, in words; None: it is."""
        found = await self._read(lambda _: self._writer.trouble or "")
        return (found or None) if found is not None else "the disk does not answer"

    def decided(self, switched: Switched, wall_ms: int, *, paper: bool = False) -> None:
        """Keep a decision; ``paper``: nobody carries it out."""
        row = {**to_json(switched), "paper": True} if paper else to_json(switched)
        self._writer.do(lambda database: database.add_decision(wall_ms, row))

    def packets(self, wall_ms: int, policy: str, why: str, lasted: float | None = None) -> None:
        """Keep that a policy's packets go wrong, and ``why``; ``lasted``: that they are right again, after so many
        seconds."""
        body = {"policy": policy, "why": why, "lasted": lasted}
        self._writer.do(lambda database: database.note("packets", wall_ms, body))

    def noted(self, wall_ms: int, note: Note) -> None:
        """Keep what was worth a line."""
        body = {**note._asdict(), "level": logging.getLevelName(note.level).lower()}
        self._writer.do(lambda database: database.note("events", wall_ms, body))

    def uplink(self, wall_ms: int, uplink: str, state: str, why: str) -> None:
        """Keep how an uplink stands to its cap now, ``why`` in a sentence."""
        body = {"uplink": uplink, "state": state, "why": why}
        self._writer.do(lambda database: database.note("uplinks", wall_ms, body))

    def traced(self, event_id: str, wall_ms: int, trace: Mapping[str, Any]) -> None:
        """Keep what was traced after a decision that is kept."""
        self._writer.do(lambda database: database.add_trace(event_id, wall_ms, dict(trace)))

    async def history(self, since_s: float, limit: int) -> list[dict[str, Any]]:
        """The last `since_s` seconds, newest first, `limit` at most: `Switched` as JSON with `wall_ms` and `trace`."""
        since_ms = int((self._wall() - since_s) * 1000)

        def look(database: Database) -> list[dict[str, Any]]:
            traces = database.traces(since_ms)
            return [
                {"wall_ms": wall_ms, **body, "trace": traces.get(body.get("event_id", ""))}
                for wall_ms, body in database.decisions(since_ms, limit)
            ]

        return await self._read(look) or []

    async def notes(self, kind: Kind, since_s: float, limit: int) -> list[dict[str, Any]]:
        """As `history`, of what `packets` or `uplink` kept: with ``wall_ms``, and what these were given."""
        since_ms = int((self._wall() - since_s) * 1000)
        found = await self._read(lambda database: database.notes(kind, since_ms, limit)) or []
        return [{"wall_ms": wall_ms, **body} for wall_ms, body in found]

    async def decision(self, event_id: str) -> dict[str, Any] | None:
        """The decision with this id as `history` has it, or None."""

        def look(database: Database) -> dict[str, Any] | None:
            found = database.decision(event_id)
            return {"wall_ms": found[0], **found[1], "trace": database.trace(event_id)} if found else None

        return await self._read(look)

    async def trace(self, event_id: str) -> dict[str, Any] | None:
        """What was traced after this decision, or None."""
        return await self._read(lambda database: database.trace(event_id))

    async def _read(self, look: Callable[[Database], _Found]) -> _Found | None:
        """What the thread finds; None if it cannot read."""
        if not self._writer.running:
            return None
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Found | None] = loop.create_future()

        def work(database: Database) -> None:
            found: _Found | None = None
            try:
                found = look(database)
            finally:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(_answer, answer, found)

        if not self._writer.do(work):
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER):
                return await answer
        return None

    def close(self) -> None:
        """Write what is waiting and end the thread. Blocks, for some seconds at most."""
        if self._writer.running:
            self._flush_chunk()
            self._writer.close()

    def _flush_chunk(self) -> None:
        if self._chunk and not self._writer.append(self._chunk):
            self._recording = False
        self._chunk = []


def _answer(answer: asyncio.Future[_Found | None], found: _Found | None) -> None:
    if not answer.done():
        answer.set_result(found)
