"""Makes traces, one at a time, each by a process of its own: on request, and after a path failed."""

import asyncio
import json
import logging
import os
import signal
import time
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from steerd.core.effects import Switched
from steerd.core.settings import PathId
from steerd.core.states import Reason
from steerd.trace.request import COMMAND, LIMIT, Request

_log = logging.getLogger(__name__)

UNPLANNED: Final = frozenset({Reason.DOWN, Reason.BETTER})
"""Switches after which to trace the old path; others were wanted, or already say what is wrong."""

EACH: Final = 600.0
"""Seconds between two traces of one path that nobody asked for."""
ALL: Final = 6
WITHIN: Final = 3600.0
"""At most `ALL` such traces of all paths together in so many seconds."""

Record = Mapping[str, Any]
"""What a trace found, as JSON: `steerd.trace.process.run.run`."""


class BusyError(Exception):
    """Another trace is being made."""


class NoTraceError(Exception):
    """The process did not bring a record: why."""


class TraceLimits:
    """Remembers the last `ALL` traces that nobody asked for. ``now`` is monotonic, in seconds."""

    def __init__(self) -> None:
        self._made: deque[tuple[float, str]] = deque(maxlen=ALL)

    def take(self, path: str, now: float) -> bool:
        """Whether this path may be traced now; if so, it counts."""
        full = len(self._made) == ALL and now - self._made[0][0] < WITHIN
        if full or any(one == path and now - at < EACH for at, one in self._made):
            return False
        self._made.append((now, path))
        return True


class Tracer:
    """``request`` gives how a path's probes go, None for an unknown path; ``traced`` gets the record of a trace after a
    decision, with that decision's id. ``path`` is the one that is traced now, or None."""

    def __init__(
        self,
        request: Callable[[PathId], Request | None],
        traced: Callable[[str, Record], None],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._request = request
        self._traced = traced
        self._command = command
        self._limits = TraceLimits()
        self.path: str | None = None
        self._asked: list[Switched] = []
        self._task: asyncio.Task[None] | None = None
        self._warned = False

    async def trace(self, requests: Sequence[Request], within: float) -> list[Record]:
        """Trace these paths in turn, none that could end later than ``within`` seconds from now. Paths that could not
        be traced have an ``error``. BusyError: another trace is being made."""
        if self.path is not None:
            raise BusyError(f"another trace is being made, of {self.path}: try again in a moment")
        until = time.monotonic() + within
        records: list[Record] = []
        try:
            for one in requests:
                self.path = one.path
                if time.monotonic() + LIMIT > until:
                    records.append({"path": one.path, "error": "no time was left for it: ask for it alone"})
                    continue
                try:
                    records.append(await self._run(one))
                except NoTraceError as error:
                    records.append({"path": one.path, "error": str(error)})
        finally:
            self.path = None
        return records

    def switched(self, switched: Switched, now: float) -> None:
        """A choice changed: trace the old path, if that was not planned, no other trace is being made, and not too
        often. Decisions that leave a path while it is being traced share that trace."""
        if switched.reason not in UNPLANNED or switched.old is None:
            return
        if self._asked and self.path == switched.old:
            self._asked.append(switched)
        elif self.path is None and (request := self._request(switched.old)) and self._limits.take(switched.old, now):
            self.path, self._asked = switched.old, [switched]
            self._task = asyncio.create_task(self._after(request), name="steerd-trace")

    async def close(self) -> None:
        """End a trace after a decision. Requested traces end with their request."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _after(self, request: Request) -> None:
        try:
            record = await self._run(request)
            if error := record.get("error"):
                raise NoTraceError(error)  # noqa: TRY301
            now = time.monotonic()
            for switched in self._asked:
                self._traced(switched.event_id, {**record, "after_s": round(now - switched.at, 3)})
            _log.info("trace of %s: %s", request.path, record.get("verdict"))
        except NoTraceError as error:
            _log.log(logging.DEBUG if self._warned else logging.WARNING, "no trace of %s: %s", request.path, error)
            self._warned = True
        finally:
            self.path, self._asked = None, []

    async def _run(self, request: Request) -> Record:
        # scapy would write its tables to the user's cache, and read them from there.
        environment = {**os.environ, "XDG_CACHE_HOME": os.devnull, "XDG_CONFIG_HOME": os.devnull}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
            )
        except OSError as error:
            raise NoTraceError(f"its process cannot be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(LIMIT):
                output, errors = await process.communicate(request.to_json().encode())
        except TimeoutError as error:
            raise NoTraceError(f"it took longer than {LIMIT:.0f} s") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and what it has started itself
                await process.wait()
        return _record(output, errors, process.returncode)


def _record(output: bytes, errors: bytes, code: int | None) -> Record:
    try:
        record = json.loads(output) if code == 0 else None
    except ValueError:
        record = None
    if not isinstance(record, dict):
        last = errors.decode(errors="replace").strip().rpartition("\n")[2][:200]
        raise NoTraceError(f"its process ended with {code}{': ' + last if last else ''}")
    return record
