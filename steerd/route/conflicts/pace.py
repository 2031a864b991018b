"""How fast what others undo is done again: at once, within a rate limit."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_AT_ONCE = 10
_PER_SECOND = 4.0
"""When someone undoes every repair: ten without delay, then so many a second. What is urgent never waits for it;
what is removed repeatedly waits longer: `steerd.route.conflicts.conflicts`."""
_REST = 4.0  # times the last look's duration: how long to rest after it, unless something is urgent


class Pace:
    """``clock`` gives seconds. ``repaired``: in the last look something had to be put right, or could not be."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.repaired = False
        self._clock = clock
        self._credit = float(_AT_ONCE)
        self._last = clock()
        self._rest = 0.0

    async def wait(self, urgent: asyncio.Event) -> None:
        """Until it is time for the next look, or something is urgent."""
        now = self._clock()
        self._credit = min(self._credit + (now - self._last) * _PER_SECOND, _AT_ONCE)
        self._last = now
        rest = max(self._rest, (1 - self._credit) / _PER_SECOND)
        if rest > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await urgent.wait()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Around one look."""
        began = self._clock()
        self.repaired = False
        yield
        if self.repaired:
            self._credit -= 1
        self._rest = _REST * (self._clock() - began)
