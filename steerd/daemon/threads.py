"""Threads that are there before they are needed.

Where memory is out, a new thread may end before it says that it began, and who started it waits for that for ever: the
event loop, with all steering. So what goes on once traffic is steered starts none.
"""

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

POOL: Final = 4
"""Threads for what seldom blocks: reading files, a plan, ending the store."""
_PATIENCE: Final = 5.0  # seconds


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
