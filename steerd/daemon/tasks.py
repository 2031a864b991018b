"""What goes on beside each other for as long as the daemon runs. The first that fails ends it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("steerd")


class Tasks:
    """``ending`` is set when the daemon is to stop; ``failure`` is why, if it is not because somebody asked for it."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.failure: BaseException | None = None
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin this; it is cancelled at the end."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def failed(self, error: BaseException) -> None:
        """Something that has to go on cannot: stop."""
        _log.critical("stopping: a task failed; the kernel keeps what it has", exc_info=error)
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
            self.failed(error)
