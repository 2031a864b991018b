"""The queue that a policy's own traffic fills on its path, and empties, from one moment to the next.

At 95 % load it wanders for seconds between nothing and several times what it holds on average, and would do so on any
other path: no reason to go there. So where our own traffic was found to queue (`steerd.core.cost.own_load`), the path
in use is judged by its lowest RTT of the last seconds: a queue of ours is nearly empty now and then, while what others
do to a path is there all the time. Congestion control tells its own queue from the path in the same way (RFC 6817,
section 4.2: base delay; N. Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016).
"""

from collections import deque
from typing import Final, NamedTuple

from steerd.core.belief.estimate import Estimate

WINDOW: Final = 6.0
"""Seconds. A path that became slower for some other reason is believed to be after so long; a queue that is not nearly
empty once in so long is taken for one. At 4, 5, 6 and 7 s: 13.8, 10.3, 7.2 and 6.8 switches an hour in the mean of
worlds like those of `bench.queues`, and 40 ms more left after 10.8, 11.6, 12.3 and 13 s. Without this: 81, and 8 s."""

BOUND: Final = 10.0
"""So many times what the queue holds on average may be our own; what is more is not."""


class Quiet(NamedTuple):
    """One leg of the path in use, as it would be if our own queue always held what it holds on average. As `Estimate`
    has them: RTTs and jitter in ms."""

    mean: float
    last_rtt: float
    jitter: float
    loss: float


class OwnQueue:
    """The lowest RTT of a leg while it carries the policy's traffic, of probes sent after ``since``."""

    def __init__(self, since: float) -> None:
        self._leg: Estimate | None = None
        self._news_at = since
        self._lowest: deque[tuple[float, float]] = deque()  # both rise: a lower one makes those before it useless

    def look(self, leg: Estimate) -> None:
        """Take a new sample, if there is one. Of another leg than before: begin anew."""
        if leg is not self._leg:
            self._leg = leg
            self._lowest.clear()
        at, rtt = leg.news_at, leg.last_rtt
        if at <= self._news_at:
            return
        self._news_at = at
        lowest = self._lowest
        while lowest and lowest[-1][1] >= rtt:
            lowest.pop()
        lowest.append((at, rtt))
        while lowest[0][0] < at - WINDOW:
            lowest.popleft()

    def floor(self, leg: Estimate) -> float | None:
        """In ms. None: it has not been heard."""
        return self._lowest[0][1] if self._lowest and leg is self._leg else None

    def quiet(self, leg: Estimate, holds: float) -> Quiet | None:
        """The leg, if the queue holds ``holds`` ms on average. None: it is to be taken as it is."""
        floor = self.floor(leg)
        if floor is None or holds <= 0.0:
            return None

        def steady(rtt: float) -> float:
            return rtt + holds - min(max(0.0, rtt - floor), BOUND * holds)

        return Quiet(steady(leg.mean), steady(leg.last_rtt), max(0.0, leg.jitter - holds), leg.loss)
