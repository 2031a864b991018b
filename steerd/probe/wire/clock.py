"""Kernel time stamps are CLOCK_REALTIME: notice when that clock is set, or when the machine slept."""

import time

_STEP = 0.001  # seconds
_SLEW = 0.1  # seconds per second: above the fastest slewing in use (chrony's 0.083)
_STEADY_NS = 50_000  # between two readings: longer means that something else ran in between
_ATTEMPTS = 3


class ClockWatch:
    """Compares CLOCK_REALTIME with CLOCK_MONOTONIC from one look to the next.

    A suspend is seen too: the monotonic clock stands still meanwhile, the other does not.
    """

    def __init__(self, now: float, offset: float) -> None:
        self._now = now
        self._offset = offset

    def stepped(self, now: float, offset: float) -> bool:
        """Whether the clock was set since the last look; all in seconds, ``offset`` as `realtime_offset` gives."""
        change = abs(offset - self._offset)
        allowed = _STEP + _SLEW * (now - self._now)
        self._now = now
        self._offset = offset
        return change > allowed


def realtime_offset() -> float:
    """CLOCK_REALTIME - CLOCK_MONOTONIC, in seconds, to some microseconds."""
    best = offset = 0
    for attempt in range(_ATTEMPTS):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if attempt == 0 or after - before < best:
            best = after - before
            offset = real - (before + after) // 2
        if best < _STEADY_NS:
            break
    return offset / 1e9
