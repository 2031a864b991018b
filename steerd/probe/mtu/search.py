"""One search for the largest packet that gets through to a target and back. Pure: the time is an argument.

What RFC 4821 and RFC 8899 call probing, with echo requests: a lost large one says nothing unless a small one beside it
is answered, and a limit that ICMP names (RFC 1191, RFC 8201) is tried, not believed. The first size is the device's,
which passes in nearly every search.
"""

from enum import Enum
from math import inf
from typing import Final, NamedTuple

TRIES: Final = 3
"""Of each size, before it counts as vanished."""
HEARD: Final = 2
"""Of the small echoes beside the tries: with fewer answered, silence is not the size's fault."""

_ASKED: Final = 32  # sizes at most: a bisection of 65,535 asks for 16
_RTTS, _SLACK = 3.0, 0.1  # a try whose small echo was answered waits for so many of its RTT, and so many seconds


class Found(NamedTuple):
    """The largest packet that gets through, in bytes. ``told``: ICMP tells senders of larger ones so."""

    mtu: int
    told: bool


class _Stage(Enum):
    FULL = "full"  # is anything wrong at all?
    NARROW = "narrow"  # between what passes and what does not
    AGAIN = "again"  # once more the full size, before it is called a black hole


class Search:
    """Tests one size at a time. ``found`` is the result once ``over`` (None: unknown); call `due` at ``wake_at``."""

    def __init__(self, *, device: int, small: int, least: int, timeout: float, known: Found | None = None) -> None:
        """``device`` is the largest size, ``small`` that of an ordinary probe, ``least`` what ought to pass; ``known``
        is what the search before found. Sizes in bytes of IP, ``timeout`` in seconds for each try."""
        self.over = False
        self.found: Found | None = None
        self.wake_at = -inf
        self._device = device
        self._small = small
        self._least = least
        self._wait = timeout
        self._timeout = timeout
        self._known = known
        self._stage = _Stage.FULL
        self._size = device
        self._tries = 0
        self._sent_at = -inf
        self._asked = 0
        self._low = small
        self._high = device  # until it is answered
        self._heard = 0  # of the small echoes of this stage
        self._ever = False  # whether any was
        self._refused = False  # whether ICMP said so of the full size
        self._limit = 0  # the least that ICMP named, of any size

    def due(self, now: float) -> tuple[int, ...]:
        """The sizes to send now, the large one first: a target that limits its answers answers the first."""
        if self.over or now < self.wake_at:
            return ()
        if self._tries >= TRIES:
            self._vanished(now)
        if self.wake_at > now:  # it is over
            return ()
        self._tries += 1
        self._sent_at = now
        self.wake_at = now + self._wait
        return (self._size,) if self._stage is _Stage.NARROW else (self._size, self._small)

    def answered(self, size: int, rtt: float, now: float) -> None:
        """An echo request of ``size`` bytes was answered after ``rtt`` seconds, however late."""
        if self.over:
            return
        if size == self._small:
            self._heard += 1
            self._ever = True
            self._wait = min(self._timeout, _RTTS * rtt + _SLACK)
            self.wake_at = min(self.wake_at, max(now, self._sent_at + self._wait))
            return
        if size > self._low:
            self._low = size
            if size >= self._high:
                self._high = self._device  # it had been given up too early
        if self._low == self._device:
            self._end(Found(self._device, told=False))
        elif size == self._size:
            self._next(now)

    def too_big(self, size: int, limit: int, now: float) -> None:
        """ICMP says that ``size`` bytes are too many, and ``limit`` are not (0: named none)."""
        if self.over or size <= self._low:
            return
        self._refused = self._refused or size == self._device
        if self._small <= limit < size:
            self._limit = min(self._limit or limit, limit)
        self._high = min(self._high, size)
        if size == self._size:
            self._conclude() if self._stage is _Stage.AGAIN else self._next(now)

    def give_up(self) -> None:
        """This machine cannot send: nothing can be said."""
        self._end(None)

    def _vanished(self, now: float) -> None:
        """No try of the present size was answered."""
        if self._stage is not _Stage.NARROW and self._heard < HEARD:
            return self._end(None)
        if self._stage is _Stage.AGAIN:
            return self._conclude()
        self._high = min(self._high, self._size)
        return self._next(now)

    def _next(self, now: float) -> None:
        self._asked += 1
        size = self._candidate() if self._asked < _ASKED else None
        if size is not None:
            self._stage, self._size = _Stage.NARROW, size
        elif self._told():
            return self._conclude()
        else:
            self._stage, self._size, self._heard = _Stage.AGAIN, self._device, 0
        self._tries, self.wake_at = 0, now
        return None

    def _candidate(self) -> int | None:
        """What ICMP named, what was found before, what ought to pass; then the middle of what is left."""
        known = self._known.mtu if self._known else 0
        likely = (self._limit, self._limit + 1, known, known + 1, self._least, (self._low + self._high) // 2)
        return next((size for size in likely if self._low < size < self._high), None)

    def _told(self) -> bool:
        """Whether senders of larger packets learn to send smaller ones. As routers limit how many errors they send, an
        earlier error holds while the size is the same."""
        return (self._refused and self._limit <= self._low) or self._known == (self._low, True)

    def _conclude(self) -> None:
        # Where not even a small one passed, the size is not to blame.
        self._end(Found(self._low, self._told()) if self._low > self._small or self._ever else None)

    def _end(self, found: Found | None) -> None:
        self.over = True
        self.found = found
        self.wake_at = inf
