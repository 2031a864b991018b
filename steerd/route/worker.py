"""Who may talk to the kernel: one thread, one job at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class Worker:
    """``turn`` is held by whoever reads and then changes, so that nothing comes between."""

    def __init__(self, name: str = "steerd-route") -> None:
        self.turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def do(self, work: Callable[[], _T]) -> _T:
        """Have the thread do it; returns or raises what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Ends once the thread has done what it was given, awaited or not. Safe to repeat."""
        await asyncio.to_thread(self._thread.shutdown)
