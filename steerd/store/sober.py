"""The clock that deleting relies on: what is deleted because a clock was wrong for a minute is gone for good."""

import time
from collections.abc import Callable
from typing import Final

LEAP: Final = 7 * 86_400.0
"""So many seconds ahead of what has passed, the clock is wrong rather than we were away."""
BELIEVED_AFTER: Final = 86_400.0
"""Seconds for which the daemon has to have lived with such a clock until it is believed."""


class SoberClock:
    """Unix time in seconds, as `wall` has it, but for a leap ahead: then it goes on from where it was. `monotonic` goes
    on evenly."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last: float | None = None
        self._at = monotonic()
        self._doubted_at: float | None = None

    def resume(self, last: float) -> None:
        """An earlier run believed this time in the end."""
        self._last, self._at = last, self._monotonic()

    def __call__(self) -> float:
        wall, at = self._wall(), self._monotonic()
        if self._last is not None and wall > (expected := self._last + at - self._at) + LEAP:
            if self._doubted_at is None:
                self._doubted_at = at
            if at - self._doubted_at < BELIEVED_AFTER:
                return expected
        self._doubted_at = None
        self._last, self._at = wall, at
        return wall
