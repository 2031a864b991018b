"""Reads the byte counters of the devices whose paths are in use, and tells when their rate has changed.

The counters are those of ``/proc/net/dev`` (proc_pid_net(5)): to read them takes no lock that a change of routes could
hold, and about half a millisecond with 300 devices, of which only those in use are looked up. They count all of a
device's traffic, probes and other policies' included.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from steerd.core.events import Carried
from steerd.core.settings import PathId
from steerd.net.devices import RX_BYTES, TX_BYTES, counters

COUNTERS: Final = Path("/proc/self/net/dev")
EVERY: Final = 1.0
"""Seconds from reading to reading."""
NEWS: Final = 0.25
"""A rate is told anew when it has changed by this share of what was told, or of `LEAST`."""
LEAST: Final = 4_000.0
"""Bytes a second: changes far below this do not matter."""


def read(page: bytes, device: str) -> int | None:
    """The bytes that the device received and sent, together. None: it is not there, or its line is garbled."""
    found = counters(page, device)
    return None if found is None else found[RX_BYTES] + found[TX_BYTES]


class Rates:
    """``devices``: of each path. ``used``: which paths are in use now. ``on_rate`` is told when the rate of one of them
    has changed, and that one no longer in use carries nothing."""

    def __init__(
        self,
        devices: Mapping[PathId, str],
        *,
        used: Callable[[], Iterable[PathId]],
        on_rate: Callable[[Carried], None],
    ) -> None:
        self._used = used
        self._on_rate = on_rate
        self._before: tuple[float, bytes] | None = None
        self.configure(devices)

    def configure(self, devices: Mapping[PathId, str]) -> None:
        """Take other paths or devices. All is told again: the engine may have begun anew with a path."""
        self.devices = devices
        self._told: dict[PathId, float] = {}

    async def run(self) -> None:
        """Read and tell, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                page = COUNTERS.read_bytes()
            except OSError:
                continue  # nothing is known: what was told stands
            self.look(page, time.monotonic())

    def look(self, page: bytes, now: float) -> None:
        """The devices' counters as they are at ``now``."""
        before, self._before = self._before, (now, page)
        if before is None or now <= before[0]:
            return
        used = [path for path in dict.fromkeys(self._used()) if path in self.devices]
        for path in used:
            told = self._told.get(path, 0.0)
            count, former = (read(one, self.devices[path]) for one in (page, before[1]))
            if count is not None and former is not None:
                # A counter that went back is that of a device made anew.
                rate = max(0, count - former) / (now - before[0])
                if abs(rate - told) > NEWS * max(told, LEAST):
                    self._tell(path, rate)
        for path in [path for path, rate in self._told.items() if rate and path not in used]:
            self._tell(path, 0.0)

    def _tell(self, path: PathId, rate: float) -> None:
        self._told[path] = rate
        self._on_rate(Carried(path, rate))
