"""Own load: what a policy's own traffic adds to the delay of the path that carries it.

A path that carries nothing looks better than it would be, so that an idle one always looks better than a busy one: on a
saturated access link, or where one gateway fills a good part of a PoP, a gateway would move for ever. So what its own
traffic costs is charged to every path that the policy is not on.

It is learned from the gateway's own switches, where its traffic is large: by so much the path taken rose when the
traffic came, and by so much the path left fell when it went. The lesser of the two is believed: a path is also left
because it is bad, and then gets better by itself. A gateway that carries nothing learns nothing, and decides as if this
were not here; so does replay. Half of it is forgotten in a day.
"""

from math import exp2
from statistics import median
from typing import Final, NamedTuple

from steerd.core.belief.path import Path

LARGE: Final = 4_000.0
"""Bytes a second: less than this is no traffic to speak of (32 kbit/s; probes are some 100)."""

SAMPLES: Final = 3
"""So many samples of both paths after a switch are compared with what was believed before it."""

LAG: Final = 2.0
"""Seconds: what is probed sooner after a switch tells nothing yet, since traffic and queues take their time to move."""

PERIODS, LONGEST = 5.0, 30.0
"""For so many periods of the path that is probed less often these are awaited then, and for so many seconds at most. Nothing
but force moves the policy on meanwhile: else the next switch comes before anything was learned from this one."""

MEMORY: Final = 86_400.0
"""Seconds: the half-life of what was learned. With one of an hour a path 6 ms better is tried every nine minutes."""


class Learned(NamedTuple):
    """``burden`` in ms, learned at ``rate`` bytes a second, at ``at``."""

    burden: float
    rate: float
    at: float


class _Side:
    """One of the two paths of a switch, by its first leg: what was believed of its RTT before, and what came since."""

    __slots__ = ("_leg", "_news_at", "after", "before", "path")

    def __init__(self, path: Path, since: float) -> None:
        self.path = path
        self._leg = path.legs[0]
        self.before = self._leg.mean
        self.after: list[float] = []
        self._news_at = since

    def look(self) -> None:
        """Take a new sample, if there is one."""
        leg = self._leg
        if leg.samples and leg.news_at > self._news_at:
            self._news_at = leg.news_at
            self.after.append(leg.last_rtt)

    @property
    def rose(self) -> float:
        """By how many ms."""
        return median(self.after) - self.before


class OwnLoad:
    """What one policy has learned of it. ``waits``: for samples after a switch."""

    __slots__ = ("_left", "_rate", "_taken", "_until", "learned", "waits")

    def __init__(self) -> None:
        self.learned = Learned(0.0, 1.0, 0.0)
        self._left: _Side | None = None
        self._taken: _Side | None = None
        self.waits = False
        self._rate = 0.0
        self._until = 0.0

    def switched(self, old: Path | None, new: Path | None, now: float) -> None:
        """The policy's traffic goes from one path to another."""
        self._forget()
        if old is not None and new is not None and old.rate >= LARGE and old.samples and new.samples:
            self._left, self._taken = _Side(old, now + LAG), _Side(new, now + LAG)
            self._rate, self.waits = old.rate, True
            cadences = [path.cadence.every for path in (old, new) if path.cadence is not None]
            period = max([every for every in cadences if every is not None], default=1.0)
            self._until = now + LAG + min(LONGEST, PERIODS * period)

    def measuring(self, now: float) -> bool:
        """Whether the last switch is still being learned from."""
        return self.waits and now < self._until

    def look(self, now: float) -> bool:
        """A round ended. True if something was learned."""
        left, taken = self._left, self._taken
        if left is None or taken is None:
            return False
        left.look()
        taken.look()
        if len(taken.after) < SAMPLES or len(left.after) < SAMPLES:
            if now >= self._until:
                self._forget()
            return False
        self._forget()
        if taken.path.rate < self._rate / 2.0:
            return False  # the traffic did not come along
        self.learned = Learned(max(0.0, min(taken.rose, -left.rose)), self._rate, now)
        return True

    def burden(self, rate: float, now: float) -> float:
        """What the policy's traffic, ``rate`` bytes a second, would add to a path that does not carry it, in ms."""
        learned = self.learned
        if self.waits:
            rate = max(rate, self._rate)  # it is on its way there
        if rate < LARGE or not learned.burden:
            return 0.0
        # From half the rate on it counts in full: rates are never steady, and a burden that moves with them would flap.
        return learned.burden * min(1.0, 2.0 * rate / learned.rate) * exp2((learned.at - now) / MEMORY)

    def restore(self, learned: Learned) -> None:
        """Take up what an earlier run had learned."""
        self.learned = learned

    def _forget(self) -> None:
        self._left = self._taken = None
        self.waits = False
