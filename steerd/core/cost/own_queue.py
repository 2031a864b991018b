"""The queue that a policy's own traffic fills on its path, and empties, from one moment to the next.

At 95 % load it wanders for seconds between nothing and several times what it holds on average, and would do so on any
other path: no reason to go there. So where our own traffic was found to queue (`steerd.core.cost.own_load`), the path
in use is judged by its lowest RTT of the last seconds: a queue of ours is nearly empty now and then, while what others
do to a path is there all the time. Congestion control tells its own queue from the path in the same way (RFC 6817,
section 4.2: base delay; N. Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016).
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from steerd.core.belief.estimate import Estimate
from steerd.core.belief.path import Path

WINDOW: Final = 8.0
"""Seconds. A path that became slower for some other reason is believed to be after so long; a queue that is not nearly
empty once in so long is taken for one. With 6 s 29.9 switches an hour in the mean of `bench.queues`, in place of 13.4,
and what is slower is left after 7 s in place of 9; without all this 100 an hour, and 6.5 s."""

LASTED: Final = WINDOW / 2.0
"""Seconds for which it is then charged at once. It has been so for longer, but that may have been the queue."""

BOUND: Final = 10.0
"""So many times what the queue holds on average may be our own; what is more is not."""


class Quiet(NamedTuple):
    """One leg of the path in use, as it would be if our own queue always held what it holds on average. As `Estimate`
    has them: RTTs and jitter in ms."""

    mean: float
    last_rtt: float
    jitter: float
    loss: float


class _Lowest:
    """The lowest RTT of one leg, of probes sent after ``since``."""

    __slots__ = ("_falling", "_news_at")

    def __init__(self, since: float) -> None:
        self._news_at = since
        self._falling: deque[tuple[float, float]] = deque()  # both rise: a lower one makes those before it useless

    def look(self, leg: Estimate) -> None:
        """Take a new sample, if there is one."""
        at, rtt, falling = leg.news_at, leg.last_rtt, self._falling
        if at <= self._news_at:
            return
        self._news_at = at
        while falling and falling[-1][1] >= rtt:
            falling.pop()
        falling.append((at, rtt))
        while falling[0][0] < at - WINDOW:
            falling.popleft()

    @property
    def rtt(self) -> float | None:
        """In ms. None: nothing was heard."""
        return self._falling[0][1] if self._falling else None


class OwnQueue:
    """The lowest RTT of each leg of a path while it carries the policy's traffic, of probes sent after ``since``."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._legs: dict[Estimate, _Lowest] = {}

    def look(self, path: Path) -> float:
        """Take new samples, if there are; of another path than before: begin anew. Returns by how many ms the lowest
        RTT moved, of the leg whose lowest is the highest."""
        before = self._floors(path)
        if path.legs[0] not in self._legs:
            self._legs = {leg: _Lowest(self._since) for leg in path.legs}
        for leg, lowest in self._legs.items():
            lowest.look(leg)
        after = self._floors(path)
        return max(after) - max(before) if before and after else 0.0

    def floor(self, leg: Estimate) -> float | None:
        """In ms. None: it has not been heard."""
        lowest = self._legs.get(leg)
        return None if lowest is None else lowest.rtt

    def quiet(self, path: Path, holds: float) -> Sequence[Quiet]:
        """The legs that the path is judged by, if the queue holds ``holds`` ms on average. Empty: they are to be taken
        as they are."""
        if holds <= 0.0:
            return ()
        legs = zip(path.asked.counted, self._floors(path), strict=False)  # no floors: no legs
        return [_quiet(leg, floor, holds) for leg, floor in legs]

    def _floors(self, path: Path) -> Sequence[float]:
        """Of the legs that the path is judged by. Empty: not all were heard."""
        floors = [self.floor(leg) for leg in path.asked.counted]
        heard = [floor for floor in floors if floor is not None]
        return heard if len(heard) == len(floors) else ()


def _quiet(leg: Estimate, floor: float, holds: float) -> Quiet:
    def steady(rtt: float) -> float:
        return rtt + holds - min(max(0.0, rtt - floor), BOUND * holds)

    return Quiet(steady(leg.mean), steady(leg.last_rtt), max(0.0, leg.jitter - holds), leg.loss)
