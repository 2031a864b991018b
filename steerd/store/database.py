"""The SQLite file: opened, replaced when it is broken, bounded. Blocks; for the store's own thread."""

import json
import logging
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from steerd.store.sober import SoberClock

_log = logging.getLogger(__name__)

NAME: Final = "steerd.db"
_VERSION: Final = 1
_PRUNE_EVERY: Final = 200
_CACHE_KIB: Final = 128

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decisions_by_time ON decisions (wall_ms);
CREATE TABLE IF NOT EXISTS traces (event_id TEXT PRIMARY KEY, wall_ms INTEGER NOT NULL, body TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: decisions and traces by number and age (days), and the size of the file in bytes."""

    decisions: int = 10_000
    traces: int = 500
    days: float = 90.0
    size: int = 200 << 20


class Database:
    """All methods raise `sqlite3.Error`; opening does not: without a usable file it works in memory."""

    def __init__(self, folder: Path, limits: Limits, sober: SoberClock) -> None:
        self._sober = sober
        self._file = folder / NAME
        self._limits = limits
        self._since_pruned = 0
        self.persistent = True
        self._use(self._open())

    def _use(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.commit, self.rollback, self.close = db.commit, db.rollback, db.close

    def _open(self) -> sqlite3.Connection:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._connect(str(self._file))
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # cannot open, locked, full: moving it would not help
                    raise
                self._move_aside(error)
                return self._connect(str(self._file))
        except (OSError, sqlite3.Error) as error:
            _log.warning("%s cannot be used, nothing will survive a restart: %s", self._file, error)
            self.persistent = False
            return self._connect(":memory:")

    def _connect(self, name: str) -> sqlite3.Connection:
        db = sqlite3.connect(name, timeout=2.0, check_same_thread=False)
        try:
            found: int = db.execute("PRAGMA user_version").fetchone()[0]
            checked: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found > _VERSION or checked != "ok":
                raise sqlite3.DatabaseError(checked if checked != "ok" else f"written by a later version ({found})")  # noqa: TRY301
            page: int = db.execute("PRAGMA page_size").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {self._limits.size // page}")
            # Rows are written once and rarely read: SQLite's usual 2 MB of cache would fill with them for months.
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_VERSION}")
            db.commit()
        except BaseException:
            db.close()
            raise
        return db

    def _move_aside(self, error: sqlite3.Error) -> None:
        """Keep the latest broken file, for whoever wants to look."""
        aside = self._file.with_name(f"{NAME}.broken")
        _log.warning("%s is broken (%s): moved to %s, starting anew", self._file, error, aside)
        os.replace(self._file, aside)  # noqa: PTH105
        for suffix in ("-wal", "-shm"):
            self._file.with_name(NAME + suffix).unlink(missing_ok=True)

    def reopen_if_broken(self, error: sqlite3.Error) -> bool:
        """After an error: whether the file was broken and a new one is in use now."""
        if type(error) is not sqlite3.DatabaseError or not self.persistent:
            return False
        self._db.close()
        try:
            self._move_aside(error)
        except OSError:
            return False
        finally:
            self._use(self._open())
        return True

    def get(self, key: str) -> Any:
        """The value kept under `key`, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        try:
            return json.loads(row[0]) if row else None
        except ValueError:
            return None

    def put(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def add_decision(self, wall_ms: int, body: dict[str, Any]) -> None:
        """Keep a decision, made at this Unix time in ms."""
        self._db.execute("INSERT INTO decisions (wall_ms, body) VALUES (?, ?)", (wall_ms, json.dumps(body)))
        self._since_pruned += 1
        if self._since_pruned >= min(_PRUNE_EVERY, self._limits.decisions):
            self._since_pruned = 0
            self.prune()

    def prune(self) -> None:
        """Remove what is beyond the limits."""
        oldest = int((self._sober() - self._limits.days * 86_400.0) * 1000)
        self._db.execute("DELETE FROM decisions WHERE wall_ms < ?", (oldest,))
        surplus = "DELETE FROM decisions WHERE id <= (SELECT max(id) FROM decisions) - ?"
        self._db.execute(surplus, (self._limits.decisions,))
        self._prune_traces(oldest)

    def _prune_traces(self, oldest: int) -> None:
        """Those older than ``oldest``, or than all decisions, and the oldest beyond the limit."""
        old = "DELETE FROM traces WHERE wall_ms < max(?, coalesce((SELECT min(wall_ms) FROM decisions), 0))"
        self._db.execute(old, (oldest,))
        nth = "SELECT wall_ms FROM traces ORDER BY wall_ms DESC LIMIT 1 OFFSET ?"
        surplus = f"DELETE FROM traces WHERE wall_ms <= ({nth})"  # noqa: S608 -- of constants
        self._db.execute(surplus, (self._limits.traces,))

    def add_trace(self, event_id: str, wall_ms: int, body: dict[str, Any]) -> None:
        """Keep what was traced after a decision; ``wall_ms`` is the decision's, or later."""
        self._db.execute("INSERT OR REPLACE INTO traces VALUES (?, ?, ?)", (event_id, wall_ms, json.dumps(body)))
        self._prune_traces(0)

    def traces(self, since_ms: int) -> dict[str, dict[str, Any]]:
        """By the id of the decision."""
        rows = self._db.execute("SELECT event_id, body FROM traces WHERE wall_ms >= ?", (since_ms,))
        return {event_id: json.loads(body) for event_id, body in rows}

    def trace(self, event_id: str) -> dict[str, Any] | None:
        """The trace of the decision with this id, or None."""
        row = self._db.execute("SELECT body FROM traces WHERE event_id = ?", (event_id,)).fetchone()
        return json.loads(row[0]) if row else None

    def decisions(self, since_ms: int, limit: int) -> Sequence[tuple[int, dict[str, Any]]]:
        """Wall time and body of the latest ones, newest first."""
        latest = "SELECT wall_ms, body FROM decisions WHERE wall_ms >= ? ORDER BY id DESC LIMIT ?"
        rows = self._db.execute(latest, (since_ms, limit))
        return [(wall_ms, json.loads(body)) for wall_ms, body in rows]

    def decision(self, event_id: str) -> tuple[int, dict[str, Any]] | None:
        """Wall time and body of the one with this id, or None."""
        # The id is a part of the body: to look for it takes 14 ms with all 10,000 that are kept, of 12 paths.
        candidates = "SELECT wall_ms, body FROM decisions WHERE instr(body, ?) ORDER BY id DESC"
        rows = self._db.execute(candidates, (json.dumps(event_id),))
        found = ((wall_ms, json.loads(body)) for wall_ms, body in rows)
        return next((one for one in found if one[1].get("event_id") == event_id), None)
