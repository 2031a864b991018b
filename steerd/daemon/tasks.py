"""What goes on beside each other for as long as the daemon runs. A task that fails begins again; only the engine's own
fault ends the daemon."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from steerd.faults import Boundary

_log = logging.getLogger("steerd")

Work = Coroutine[Any, Any, None]


class Tasks:
    """``ending`` is set when the daemon is to stop; ``failure`` is why, if it is not because somebody asked for it."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.failure: BaseException | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._boundary = Boundary("task")

    def keep(self, part: str, work: Callable[[], Work]) -> None:
        """Begin this, and begin it again whenever it fails; it is cancelled at the end. ``part`` names it to people."""
        self.spawn(Boundary(part).keep(work))

    def spawn(self, work: Work) -> None:
        """Begin this, once; it is cancelled at the end. If it fails, that is logged."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def failed(self, error: BaseException) -> None:
        """The engine cannot go on: stop."""
        _log.critical("stopping: the engine failed; the kernel keeps what it has", exc_info=error)
        self.failure = error
        self.ending.set()

    async def cancel(self) -> None:
        """End all of them, and wait until they have."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._boundary.tell(error, "failed")
