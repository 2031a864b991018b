"""Saying the same thing seldom, however often it happens."""

import time
from collections.abc import Callable, Hashable


class Seldom:
    """Of each kind one may be said in so many seconds; the others are counted. ``clock`` is monotonic, in seconds."""

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._silent_until: dict[Hashable, float] = {}
        self._unsaid: dict[Hashable, int] = {}

    def said(self, kind: Hashable) -> int | None:
        """How many of this kind went unsaid since the last one that was said; None: this one does, too."""
        now = self._clock()
        if now < self._silent_until.get(kind, now):
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return None
        self._silent_until[kind] = now + self._every
        return self._unsaid.pop(kind, 0)


def more(unsaid: int) -> str:
    """What to put behind a line for the ones before it that went unsaid."""
    return f" (and {unsaid} more)" if unsaid else ""
