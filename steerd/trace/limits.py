"""How often the daemon may trace of its own accord. Pure: the time is an argument."""

from collections import deque
from typing import Final

EACH: Final = 600.0
"""Seconds between two traces of one path."""
ALL: Final = 6
WITHIN: Final = 3600.0
"""At most `ALL` traces of all paths together in so many seconds."""


class TraceLimits:
    """Remembers the last `ALL` traces. ``now`` is monotonic, in seconds."""

    def __init__(self) -> None:
        self._made: deque[tuple[float, str]] = deque(maxlen=ALL)

    def take(self, path: str, now: float) -> bool:
        """Whether this path may be traced now; if so, it counts."""
        full = len(self._made) == ALL and now - self._made[0][0] < WITHIN
        if full or any(one == path and now - at < EACH for at, one in self._made):
            return False
        self._made.append((now, path))
        return True
