"""How loaded the PoP is: read from a program, a file, the counters of an interface, or Prometheus."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from steerd.agent import command, prometheus
from steerd.agent.error import LoadError
from steerd.config.agent.settings import LoadSettings
from steerd.config.file import files
from steerd.net.devices import RX_BYTES, TX_BYTES, counters
from steerd.text.seldom import Seldom, more

_log = logging.getLogger(__name__)

FILE_MAX: Final = 4096
KEPT: Final = 90.0
"""Seconds for which the last reading is said while it cannot be read anew: gateways take it for nothing by then."""
SAID_EVERY: Final = 60.0
COUNTERS: Final = Path("/proc/self/net/dev")


class Load:
    """Reads, again and again. ``failures`` counts what went wrong. ``clock`` is monotonic, in seconds."""

    def __init__(self, settings: LoadSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._value: float | None = None
        self._read_at = -math.inf
        self._before: tuple[float, int, int] | None = None  # when an interface was read, and its counters
        self._seldom = Seldom(SAID_EVERY)
        self.failures = 0

    def reading(self) -> tuple[float | None, float]:
        """The load from 0 to 1, and how old that is, in seconds. None: not known."""
        age = self._clock() - self._read_at
        return (self._value, age) if age < KEPT else (None, 0.0)

    async def look(self) -> None:
        """Read once. What fails leaves the last reading as it is, which grows old."""
        try:
            value = await self._read()
        except LoadError as error:
            self.failures += 1
            unsaid = self._seldom.said("load")
            if unsaid is not None:
                _log.warning("the load cannot be read: %s%s", error, more(unsaid))
        else:
            if value is not None:
                self._value, self._read_at = min(1.0, value), self._clock()

    async def keep_looking(self) -> None:
        """Read for ever."""
        while True:
            await asyncio.sleep(self._settings.interval)
            await self.look()

    async def _read(self) -> float | None:
        own = self._settings
        if own.command:
            return ratio(await asyncio.to_thread(command.output, own.command, own.timeout))
        if own.file is not None:
            return ratio(await asyncio.to_thread(_content, own.file))
        if own.url:
            return ratio(await asyncio.to_thread(prometheus.ask, own.url, own.query, own.timeout))
        return self._carried()

    def _carried(self) -> float | None:
        """The share of its capacity that the interface carries, the way that carries more; None: at the first look."""
        own, before = self._settings, self._before
        try:
            found = counters(COUNTERS.read_bytes(), own.interface)
        except OSError as error:
            raise LoadError(f"{COUNTERS}: {error.strerror}") from error
        if found is None:
            self._before = None
            raise LoadError(f"there is no device {own.interface}")
        now = self._before = self._clock(), found[RX_BYTES], found[TX_BYTES]
        if before is None or now[0] <= before[0]:
            return None
        more = max(now[1] - before[1], now[2] - before[2])
        # A device that was made again counts from 0.
        return None if min(now[1] - before[1], now[2] - before[2]) < 0 else more / (now[0] - before[0]) / own.capacity


def ratio(text: str) -> float:
    """`0.75` or `75%` as a number. LoadError: it is none, or negative."""
    stripped = text.strip()
    try:
        value = float(stripped.removesuffix("%")) / (100.0 if stripped.endswith("%") else 1.0)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise LoadError(f"{stripped[:40]!r} is no load: must be a number such as 0.75, or 75%")
    return value


def _content(file: Path) -> str:
    try:
        return files.text(file, FILE_MAX)
    except OSError as error:
        raise LoadError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise LoadError(f"{file}: {error}") from error
