"""The SQLite file: opened, replaced when it is broken, bounded. Blocks; for the store's own thread."""

import json
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from steerd.store.sober import SoberClock

_log = logging.getLogger(__name__)

NAME: Final = "steerd.db"
COPY: Final = "steerd.copy.json"
"""Beside the file: what the next run must not forget, once more."""
_VERSION: Final = 1
_PRUNE_EVERY: Final = 200
_CACHE_KIB: Final = 128
_HEADER: Final = 100  # bytes of SQLite's own: it takes what is shorter for a file that it is to begin
_CHECKPOINT_PAGES: Final = 64  # of the log beside the file, which a small disk has to hold as well

_PASSING: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
                   sqlite3.SQLITE_NOMEM}  # fmt: skip
_NOT_OURS: Final = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
"""Errors that another file would not cure; and those that it would, when they are met at the start."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decisions_by_time ON decisions (wall_ms);
CREATE TABLE IF NOT EXISTS traces (event_id TEXT PRIMARY KEY, wall_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS packets (id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS uplinks (id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL, body TEXT NOT NULL);
"""


Kind = Literal["packets", "uplinks", "events"]
"""Of notes: each has a table."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: decisions, traces, and notes of each kind by number and age (days), and the size of the file in
    bytes."""

    decisions: int = 10_000
    traces: int = 500
    notes: int = 1_000
    days: float = 90.0
    size: int = 200 << 20


class Database:
    """Methods may raise anything: what is read may be anything. Opening raises nothing: without a usable file it works
    in memory, until `again` finds one."""

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
        self._which = self._there()

    def _there(self) -> tuple[int, int] | None:
        """Which file is in its place now."""
        with suppress(OSError):
            found = self._file.stat()
            return found.st_dev, found.st_ino
        return None

    def _open(self) -> sqlite3.Connection:
        kept: Mapping[str, str] = {}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._connect(str(self._file))
            except Exception as error:
                kept = self._readable()
                if _code(error) in _PASSING:
                    raise
                self._move_aside(error)
                return self._connect(str(self._file), kept)
        except Exception as error:  # noqa: BLE001 (whatever it is, steering goes on without)
            _log.warning("%s cannot be used, nothing will survive a restart: %s", self._file, _words(error))
            self.persistent = False
            return self._connect(":memory:", kept)

    def again(self) -> None:
        """Use the file, if it can be used by now, after a start in memory; what was kept there is left. Where somebody
        has removed it, begin another."""
        if self.persistent:
            if self._there() != self._which:
                _log.warning("%s was removed: starting anew", self._file)
                self._db.close()  # first of all: it removes what is beside the file, by name
                self._use(self._open())
            return
        with suppress(Exception):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            db = self._connect(str(self._file))
            self._db.close()
            self._use(db)
            self.persistent = True
            _log.warning("%s can be used now", self._file)

    def recover(self) -> None:
        """After a failed transaction: nothing of it is left, and a full disk has the room that the log beside the file
        took."""
        with suppress(Exception):
            self.rollback()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def copy(self, values: Mapping[str, Any]) -> None:
        """Write these beside the file, by the keys of `get`, for a start that finds it broken. OSError."""
        new = self._file.with_name(f"{COPY}.new")
        new.write_text(json.dumps(values))
        new.replace(self._file.with_name(COPY))

    def _copied(self) -> Mapping[str, Any]:
        with suppress(OSError):
            found = _json(self._file.with_name(COPY).read_bytes().decode(errors="replace"))
            return found if isinstance(found, dict) else {}
        return {}

    def _readable(self) -> Mapping[str, str]:
        """What can still be read, by the keys of `get`, of a file that cannot be used; the rest is from the copy."""
        found = {key: json.dumps(value) for key, value in self._copied().items()}
        place = self._file.absolute().as_uri()
        # The second where there is no room for what the first needs.
        for mode in ("mode=ro", "mode=ro&immutable=1") if self._file.is_file() else ():
            with suppress(Exception), closing(sqlite3.connect(f"{place}?{mode}", uri=True)) as db:
                rows = db.execute("SELECT key, value FROM meta").fetchall()
                return {**found, **{key: value for key, value in rows if _json(value) is not None}}
        return found

    def _connect(self, name: str, kept: Mapping[str, str] | None = None) -> sqlite3.Connection:
        if Path(name).exists() and not (Path(name).is_file() and Path(name).stat().st_size >= _HEADER):
            raise sqlite3.DatabaseError("it is empty, or no file")
        db = sqlite3.connect(name, timeout=2.0, check_same_thread=False)
        try:
            db.text_factory = lambda text: text.decode(errors="replace")
            found: int = db.execute("PRAGMA user_version").fetchone()[0]
            checked: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found > _VERSION or checked != "ok":
                raise sqlite3.DatabaseError(checked if checked != "ok" else f"written by a later version ({found})")  # noqa: TRY301
            page: int = db.execute("PRAGMA page_size").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {self._limits.size // page}")
            # Rows are written once and rarely read: SQLite's usual 2 MB of cache would fill with them for months.
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_VERSION}")
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", (kept or {}).items())
            db.commit()
        except BaseException:
            db.close()
            raise
        return db

    def _move_aside(self, error: Exception) -> None:
        """Keep the latest broken file, for whoever wants to look, or whatever else is in its place."""
        folders = self._file.is_dir() or self._file.with_name(f"{NAME}.broken").is_dir()
        aside = self._file.with_name(f"{NAME}.broken{f'-{time.time_ns()}' if folders else ''}")
        self._file.replace(aside)
        _log.warning("%s is broken (%s): moved to %s, starting anew", self._file, _words(error), aside)
        for suffix in ("-wal", "-shm"):
            self._file.with_name(NAME + suffix).unlink(missing_ok=True)

    def reopen_if_broken(self, error: Exception) -> bool:
        """After an error: whether the file was broken and a new one is in use now."""
        broken = isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError) and not isinstance(
            error, sqlite3.IntegrityError | sqlite3.ProgrammingError
        )
        if not broken or _code(error) in _PASSING | _NOT_OURS or not self.persistent:
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
        found = _json(row[0]) if row else None
        if row and found is None:
            found = self._copied().get(key)
            what = "is lost" if found is None else f"is taken from {COPY}"
            _log.warning("%s: what was kept as %s cannot be read, and %s", self._file, key, what)
        return found

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
        """Those older than ``oldest``, or than all decisions, and beyond the limit those that came first: the times of
        some may be of a clock that was ahead."""
        old = "DELETE FROM traces WHERE wall_ms < max(?, coalesce((SELECT min(wall_ms) FROM decisions), 0))"
        self._db.execute(old, (oldest,))
        nth = "SELECT rowid FROM traces ORDER BY rowid DESC LIMIT 1 OFFSET ?"
        surplus = f"DELETE FROM traces WHERE rowid <= ({nth})"  # noqa: S608 -- of constants
        self._db.execute(surplus, (self._limits.traces,))

    def note(self, kind: Kind, wall_ms: int, body: dict[str, Any]) -> None:
        """Keep that at this Unix time in ms a policy's packets began to go wrong, or are right again; or how an uplink
        stands to its cap."""
        self._db.execute(f"INSERT INTO {kind} (wall_ms, body) VALUES (?, ?)", (wall_ms, json.dumps(body)))  # noqa: S608
        oldest = int((self._sober() - self._limits.days * 86_400.0) * 1000)
        surplus = f"DELETE FROM {kind} WHERE wall_ms < ? OR id <= (SELECT max(id) FROM {kind}) - ?"  # noqa: S608
        self._db.execute(surplus, (oldest, self._limits.notes))

    def notes(self, kind: Kind, since_ms: int, limit: int) -> Sequence[tuple[int, dict[str, Any]]]:
        """As `decisions`, of what `note` kept."""
        return self._latest(kind, since_ms, limit)

    def add_trace(self, event_id: str, wall_ms: int, body: dict[str, Any]) -> None:
        """Keep what was traced after a decision; ``wall_ms`` is the decision's, or later."""
        self._db.execute("INSERT OR REPLACE INTO traces VALUES (?, ?, ?)", (event_id, wall_ms, json.dumps(body)))
        self._prune_traces(0)

    def traces(self, since_ms: int) -> dict[str, dict[str, Any]]:
        """By the id of the decision."""
        rows = self._db.execute("SELECT event_id, body FROM traces WHERE wall_ms >= ?", (since_ms,))
        return {event_id: found for event_id, body in rows if (found := _json(body)) is not None}

    def trace(self, event_id: str) -> dict[str, Any] | None:
        """The trace of the decision with this id, or None."""
        row = self._db.execute("SELECT body FROM traces WHERE event_id = ?", (event_id,)).fetchone()
        return _json(row[0]) if row else None

    def decisions(self, since_ms: int, limit: int) -> Sequence[tuple[int, dict[str, Any]]]:
        """Wall time and body of the latest ones, newest first."""
        return self._latest("decisions", since_ms, limit)

    def _latest(self, table: str, since_ms: int, limit: int) -> Sequence[tuple[int, dict[str, Any]]]:
        latest = f"SELECT wall_ms, body FROM {table} WHERE wall_ms >= ? ORDER BY id DESC LIMIT ?"  # noqa: S608 -- ours
        rows = self._db.execute(latest, (since_ms, limit))
        return [(wall_ms, found) for wall_ms, body in rows if isinstance(found := _json(body), dict)]

    def decision(self, event_id: str) -> tuple[int, dict[str, Any]] | None:
        """Wall time and body of the one with this id, or None."""
        # The id is a part of the body: to look for it takes 14 ms with all 10,000 that are kept, of 12 paths.
        candidates = "SELECT wall_ms, body FROM decisions WHERE instr(body, ?) ORDER BY id DESC"
        rows = self._db.execute(candidates, (json.dumps(event_id),))
        found = ((wall_ms, _json(body)) for wall_ms, body in rows)
        return next((one for one in found if isinstance(one[1], dict) and one[1].get("event_id") == event_id), None)


def _json(text: Any) -> Any:
    """What it says; None: nothing that can be read."""
    with suppress(Exception):
        return json.loads(text) if "\N{REPLACEMENT CHARACTER}" not in text else None
    return None


def _code(error: Exception) -> int:
    """SQLite's own; that of a corrupt file for what it could not even put into words."""
    return int(getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT) & 0xFF


def _words(error: Exception) -> str:
    return "it is not readable as text" if isinstance(error, UnicodeDecodeError) else str(error)
