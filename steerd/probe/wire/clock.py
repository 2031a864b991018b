"""Kernel time stamps are CLOCK_REALTIME: detect when that clock is set, or the machine was suspended."""

import time

_STEP = 0.001  # seconds
_SLEW = 0.1  # seconds per second: above the fastest slewing in use (chrony's 0.083)
_STEADY_NS = 50_000  # between two readings: longer means that something else ran in between
_ATTEMPTS = 3


class ClockWatch:
    """Compares CLOCK_REALTIME with CLOCK_MONOTONIC, which stands still while the machine is suspended."""

    def __init__(self, now: float, offset: float) -> None:
        self._now = now
        self._offset = offset

    def stepped(self, now: float, offset: float) -> bool:
        """Whether the clock was set since the last call; all in seconds, ``offset`` as `realtime_offset` gives."""
        stepped = abs(offset - self._offset) > _STEP + _SLEW * (now - self._now)
        self._now, self._offset = now, offset
        return stepped


def realtime_offset() -> float:
    """CLOCK_REALTIME - CLOCK_MONOTONIC, in seconds, to some microseconds."""
    readings: list[tuple[int, int]] = []  # how long each took, and the offset
    for _ in range(_ATTEMPTS):
        before, real, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after - before, real - (before + after) // 2))
        if after - before < _STEADY_NS:
            break
    return min(readings)[1] / 1e9
