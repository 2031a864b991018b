"""Faults that must not spread: each ends at a boundary, is counted, and is logged at a limited rate.

Files, packets, messages, the kernel's text, clients: whatever exception one of them brings is a refusal of that one. A
task that fails begins again. Only a fault of the engine itself stops the daemon.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from steerd.text.seldom import Seldom, more

_log = logging.getLogger("steerd")

SAID_EVERY: Final = 60.0
"""Seconds between two lines of the log about the same fault."""
PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before what failed begins again: twice as many after each failure in a row."""

counts: Final[Counter[str]] = Counter()
"""Faults of each part, since the program began."""


class Boundary:
    """What a ``with`` of it contains may fail, and then ends there. ``part`` names it to people."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._seldom = Seldom(SAID_EVERY)
        counts[part] += 0  # so that it is shown before the first

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, where: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self.tell(error)
        return True

    def tell(self, error: BaseException, what: str = "failed, and goes on") -> None:
        """Count this fault, and log it with its traceback unless the same was logged a moment ago. Never fails: where
        memory is out, what cannot be said is not said."""
        with suppress(Exception):
            counts[self._part] += 1
            unsaid = self._seldom.said((type(error), _origin(error)))
            if unsaid is not None:
                _log.error("%s: %s%s", self._part, what, more(unsaid), exc_info=error)

    async def keep(self, work: Callable[[], Awaitable[None]], pause: float = PAUSE) -> None:
        """Have this done to its end: whenever it fails it begins again, after ``pause`` seconds at first."""
        wait = pause
        while True:
            began = time.monotonic()
            try:
                return await work()
            except Exception as error:  # noqa: BLE001 (whatever it is, the other tasks go on)
                self.tell(error)
            wait = pause if time.monotonic() - began > LONGEST_PAUSE else wait
            await asyncio.sleep(wait)
            wait = min(2.0 * wait, LONGEST_PAUSE)


class Reader:
    """Has the loop call ``read`` whenever there is something to read, until `close`. When it fails, it is left alone
    for a moment: what could not be read is still there, and would have the loop spin."""

    def __init__(
        self, boundary: Boundary, loop: asyncio.AbstractEventLoop, descriptor: int, read: Callable[[], None]
    ) -> None:
        self._boundary = boundary
        self._loop = loop
        self._descriptor = descriptor
        self._read = read
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Before the descriptor is closed. Safe to repeat."""
        self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()

    def _listen(self) -> None:
        try:
            self._loop.add_reader(self._descriptor, self._readable)
        except Exception as error:  # noqa: BLE001 (as in `Boundary`)
            self._rest(error)

    def _readable(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 (as in `Boundary`)
            self._rest(error)

    def _rest(self, error: Exception) -> None:
        # First of all: what is said below may fail as well, and it must not be called again at once.
        self._loop.remove_reader(self._descriptor)
        self._timer = self._loop.call_later(PAUSE, self._listen)
        self._boundary.tell(error)


def watch_over(loop: asyncio.AbstractEventLoop) -> None:
    """Tell faults of the loop's callbacks, and of tasks that nobody waits for, as those at boundaries."""
    boundary = Boundary("event loop")

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        what = str(context.get("message", "failed"))
        boundary.tell(context.get("exception") or RuntimeError(what), what)

    loop.set_exception_handler(tell)


def _origin(error: BaseException) -> tuple[str, int] | None:
    """The line of the program that raised it."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return None if step is None else (step.tb_frame.f_code.co_filename, step.tb_lineno)
