"""Threads that are there before they are needed.

Where memory is out, a new thread may end before it says that it began, and who started it waits for that for ever: the
event loop, with all steering. So what goes on once traffic is steered starts none.
"""

import asyncio
import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

POOL: Final = 4
"""Threads for what seldom blocks: reading files, a plan, ending the store."""
_PATIENCE: Final = 5.0  # seconds


_T = TypeVar("_T")


class Apart:
    """A thread of its own for what may block for long, one call after the other. The end of the process waits for those
    of asyncio's pool, and not for this one."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any, Exception | None], None]]]
        self._calls = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, work: Callable[[], _T]) -> _T:
        """What ``work`` returns, or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def done(result: _T, error: Exception | None) -> None:
            if future.done():
                return  # nobody waits any more
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def tell(result: _T, error: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(done, result, error)

        self._calls.put((work, tell))
        return await future

    def _run(self) -> None:
        while True:
            work, tell = self._calls.get()
            try:
                result, error = work(), None
            except Exception as failure:  # noqa: BLE001 (it is raised where it was asked for)
                result, error = None, failure
            tell(result, error)


def start_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Start those of asyncio's own pool, and have none wait for each process that is started (as Python 3.11 does)."""
    pool = ThreadPoolExecutor(POOL, "steerd-pool")
    met = threading.Barrier(POOL)
    for _ in range(POOL):
        pool.submit(_meet, met)
    loop.set_default_executor(pool)
    if sys.version_info < (3, 12):
        with contextlib.suppress(OSError):  # Linux before 5.3 has no such descriptors
            os.close(os.pidfd_open(os.getpid()))
            watcher = asyncio.PidfdChildWatcher()
            watcher.attach_loop(loop)
            asyncio.set_child_watcher(watcher)


def _meet(others: threading.Barrier) -> None:
    """Keeps a thread busy until all are there: the pool starts one only if none is idle."""
    with contextlib.suppress(threading.BrokenBarrierError):
        others.wait(_PATIENCE)
