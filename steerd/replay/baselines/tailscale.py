"""Tailscale's choice of its home region among relay (DERP) servers.

Source: tailscale, net/netcheck/netcheck.go, `addReportHistoryAndSetPreferredDERP` and the constants before it.

Not shown: reports come every 20 to 26 s there, and of some regions only in between full ones; here every sample is a
report. That a frame of the relay connection was heard from the home region is taken from an answered probe.
"""

from collections import deque
from collections.abc import Mapping
from math import inf
from typing import Final

from steerd.core.settings import PathId

MAX_AGE: Final = 300.0  # seconds over which a region's latency is the best that was measured (maxAge, 5 min)
ABSOLUTE_DIFF: Final = 10.0  # ms: a new home must be better by this much (preferredDERPAbsoluteDiff)
RATIO: Final = 2.0 / 3.0  # ... and at this share of the old home's latency or below.
FRAME_TIME: Final = 8.0
"""Seconds for which a frame from the old home says that it is there, measured or not (PreferredDERPFrameTime)."""


class _Recent:
    """The least of the last `MAX_AGE` seconds. Only samples that may still become the least are kept."""

    def __init__(self) -> None:
        self.heard_at = -inf
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, time: float, rtt: float) -> None:
        """In seconds, and in ms."""
        self.heard_at = time
        while self._samples and self._samples[-1][1] >= rtt:
            self._samples.pop()
        self._samples.append((time, rtt))

    def least(self, now: float) -> float:
        """In ms."""
        while self._samples and now - self._samples[0][0] > MAX_AGE:
            self._samples.popleft()
        return self._samples[0][1]


class Tailscale:
    """Among the regions that answered now, the one with the best latency of five minutes; the old home stays
    unless that beats the old home's latency of this moment by 10 ms and by a third."""

    def __init__(self) -> None:
        self._home: PathId | None = None
        self._recent: dict[PathId, _Recent] = {}

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        best, least = None, inf
        for path, rtt in rtts.items():
            if rtt is None:
                continue
            recent = self._recent.setdefault(path, _Recent())
            recent.add(time, rtt)
            latency = recent.least(time)
            if best is None or latency < least:
                best, least = path, latency
        if best is not None and not self._keeps(rtts, least, time):
            self._home = best
        return self._home

    def _keeps(self, rtts: Mapping[PathId, float | None], least: float, now: float) -> bool:
        if self._home is None:
            return False
        latency = rtts.get(self._home)
        if latency is None:
            # Without a latency it counts as 0 there, and nothing beats that.
            return now - self._recent[self._home].heard_at < FRAME_TIME
        return latency - least < ABSOLUTE_DIFF or least > latency * RATIO
