"""Who may talk to the kernel: one thread, and one at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class Worker:
    """``turn`` is held by whoever reads and then changes, so that nothing comes in between."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="steerd-route")

    async def do(self, work: Callable[[], _T]) -> _T:
        """Have the thread do it; what it returns or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Once the thread has done what it was given, such as a comparison that was given up on, nothing more is done.
        Safe to repeat."""
        await asyncio.to_thread(self._thread.shutdown)
