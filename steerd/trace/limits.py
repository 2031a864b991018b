"""How often a trace may be made by itself. Pure: the time is an argument."""

from collections import deque
from typing import Final

EACH: Final = 600.0
"""Seconds between two traces of one path."""
ALL: Final = 6
WITHIN: Final = 3600.0
"""At most `ALL` traces of all paths together in so many seconds."""


class Limits:
    """Remembers the traces that count, never more than `ALL`. ``now`` in seconds, of a clock that never goes back."""

    def __init__(self) -> None:
        self._made: deque[tuple[float, str]] = deque(maxlen=ALL)

    def take(self, path: str, now: float) -> bool:
        """Whether this path may be traced now; if so, it counts."""
        if len(self._made) == ALL and now - self._made[0][0] < WITHIN:
            return False
        if any(one == path and now - at < EACH for at, one in self._made):
            return False
        self._made.append((now, path))
        return True
