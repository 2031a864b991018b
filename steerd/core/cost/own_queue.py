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


class OwnQueue:
    """The lowest RTT of a leg while it carries the policy's traffic, of probes sent after ``since``."""

    def __init__(self, since: float) -> None:
        self._leg: Estimate | None = None
        self._news_at = since
        self._lowest: deque[tuple[float, float]] = deque()  # both rise: a lower one makes those before it useless

    def look(self, leg: Estimate) -> float:
        """Take a new sample, if there is one; of another leg than before: begin anew. Returns by how many ms the lowest
        RTT moved."""
        before = self.floor(leg)
        if leg is not self._leg:
            self._leg = leg
            self._lowest.clear()
        at, rtt = leg.news_at, leg.last_rtt
        if at <= self._news_at:
            return 0.0
        self._news_at = at
        lowest = self._lowest
        while lowest and lowest[-1][1] >= rtt:
            lowest.pop()
        lowest.append((at, rtt))
        while lowest[0][0] < at - WINDOW:
            lowest.popleft()
        return 0.0 if before is None else lowest[0][1] - before

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
