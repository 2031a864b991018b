"""Waiting for what is to happen. How long that takes is not judged: machines stand still at times.

What has to be quicker than something is measured with `Awake`, which stands still together with the machine.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from steerd.lab.enclosure import RUN

BOUND = 60.0
"""Seconds. What takes longer does not happen any more."""

_LOG = RUN / "steerd.log"
_BEAT = 0.02


def until(holds: Callable[[], Any], seconds: float = BOUND, *, what: str = "", told: Callable[[], str] = str) -> None:
    """AssertionError if it does not hold within ``seconds``: with ``what`` was waited for, what there is to be ``told``
    then, and the end of the daemon's log."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, _in_vain(seconds, told, what)
        time.sleep(0.05)


async def until_async(holds: Callable[[], Any], seconds: float = BOUND, *, told: Callable[[], str] = str) -> None:
    """`until`, while the loop goes on."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, _in_vain(seconds, told)
        await asyncio.sleep(0.01)


def _in_vain(seconds: float, told: Callable[[], str], what: str = "") -> str:
    log = _LOG.read_text() if _LOG.exists() else ""
    return f"not within {seconds:g} s: {what}\n{told()}{log[-3000:]}"


class Awake:
    """A clock for upper bounds. It counts what a thread gets done between two short sleeps, so that it goes slower than
    real time where this process does not get a core, and stands where the machine does."""

    def __init__(self) -> None:
        self._beats = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_BEAT)
            self._beats += 1

    def seconds(self) -> float:
        return self._beats * _BEAT
