"""Own load: what a policy's own traffic adds to the delay of the path that carries it.

A path that carries nothing looks better than it would be, so that an idle one always looks better than a busy one: on a
saturated access link, or where one gateway fills a good part of a PoP, a gateway would move for ever. So what its own
traffic costs is charged to every path that the policy is not on.

It is learned from the gateway's own switches, where its traffic is large: by so much the path taken rose when the
traffic came, and by so much the path left fell when it went. Their geometric mean is believed. A path is also left
because it is bad, and then gets better by itself: if the other did not rise, that was all. And what the same traffic
adds to a full PoP is a multiple of what it adds to an idle one: the lesser of the two would be too little, and a fleet
of large gateways would never rest. A queue takes seconds to build: so the two are compared for some seconds, if the
policy stays, and count as much as all that earlier switches showed. A gateway that carries nothing learns nothing, and
decides as if this were not here; so does replay. Half of it is forgotten in a day.

What is learned is in two parts: by so much the lowest RTT rises (``standing``), and the rest, a queue that comes and
goes: of that the path in use is freed (`steerd.core.cost.own_queue`). Not where others share its PoPs: a queue there is
not of this gateway's making alone, and who overlooks it stays too long.
"""

from collections.abc import Sequence
from math import exp2, sqrt
from statistics import fmean
from typing import Final, NamedTuple

from steerd.core.belief.path import Path
from steerd.core.cost.own_queue import WINDOW, OwnQueue, Quiet

LARGE: Final = 4_000.0
"""Bytes a second: less than this is no traffic to speak of (32 kbit/s; probes are some 100)."""

SAMPLES: Final = 3
"""So many samples of both paths after a switch, at least, are compared with what was believed before it."""

LAG: Final = 2.0
"""Seconds: what is probed sooner after a switch tells nothing yet, since traffic and queues take their time to move."""

PERIODS, LONGEST = 5.0, 30.0
"""For so many periods of the path that is probed less often these are awaited then, and for so many seconds at most.
Nothing but force moves the policy on meanwhile: else the next switch comes before anything was learned from this
one."""

WORTH_WATCHING: Final = 1.0
"""ms that our own queue has to hold on average for the path to be probed more often."""

MUCH: Final = 70_000.0
"""Bytes a second for that: four probes a second are one percent of it."""

CUT: Final = 10
"""One in so many of the samples, and one at least, is left out at either end: a lone spike does not decide."""

WATCHED: Final = 8.0
"""Seconds for which the two are compared. In the first five a queue at 95 % shows anything from nothing to twice what
it holds on average (tests/lab/queues.py); in a fleet, others have moved after half a minute."""

BELIEVED: Final = 0.5
"""Which part of what a switch shows counts; the rest is what was known before it."""

MEMORY: Final = 86_400.0
"""Seconds: the half-life of what was learned. With one of an hour a path 6 ms better is tried every nine minutes."""


class Learned(NamedTuple):
    """``burden`` in ms, learned at ``rate`` bytes a second, at ``at``. So much of it as ``standing`` is there all the
    time; the rest is a queue that comes and goes."""

    burden: float
    rate: float
    at: float
    standing: float


class _Side:
    """One of the two paths of a switch, by the first leg that is asked: what was believed of its RTT before, and what
    came since."""

    def __init__(self, path: Path, since: float) -> None:
        self.path = path
        self.leg = path.asked.counted[0]
        self.before = self.leg.mean
        self.after: list[float] = []
        self._news_at = since

    def look(self) -> bool:
        """Take a new sample. False: there is none."""
        leg = self.leg
        if not leg.samples or leg.news_at <= self._news_at:
            return False
        self._news_at = leg.news_at
        self.after.append(leg.last_rtt)
        return True

    @property
    def mean(self) -> float:
        """What users pay in a queue is its mean, which is far above its median."""
        cut = max(1, len(self.after) // CUT)
        return fmean(sorted(self.after)[cut:-cut])


class OwnLoad:
    """What one policy has learned of it. ``waits``: for samples after a switch. ``moved``: by how many ms the lowest
    RTT of the path in use did in the last round."""

    def __init__(self) -> None:
        self.learned = self._before = Learned(0.0, 1.0, 0.0, 0.0)
        self._lone = True
        self._left: _Side | None = None
        self._taken: _Side | None = None
        self._queue = OwnQueue(0.0)
        self._floor_before = 0.0
        self._floors: list[float] = []
        self.waits = False
        self.moved = self._moving = 0.0
        self._rate = 0.0
        self._since = self._until = 0.0

    def configure(self, *, lone: bool) -> None:
        """``lone``: no other gateway uses its PoPs."""
        self._lone = lone

    def switched(self, old: Path | None, new: Path | None, now: float) -> None:
        """The policy's traffic goes from one path to another."""
        self._forget()
        queue, self._queue = self._queue, OwnQueue(now + LAG)
        if old is not None and new is not None and old.rate >= LARGE and old.samples and new.samples:
            self._since = now + LAG
            self._left, self._taken = _Side(old, self._since), _Side(new, self._since)
            floor = queue.floor(self._left.leg)
            self._floor_before = self._left.before if floor is None else floor
            self._floors = []
            self._rate, self.waits = old.rate, True
            cadences = [path.cadence.every for path in (old, new) if path.cadence is not None]
            period = max([every for every in cadences if every is not None], default=1.0)
            self._until = self._since + min(LONGEST, PERIODS * period)
            self._before = self.learned

    def measuring(self, now: float) -> bool:
        """Whether something is still to be learned from the last switch, for the first time."""
        return self.waits and now < self._until

    def concerns(self, current: Path) -> bool:
        """Whether the rounds of the path in use are to be looked at."""
        return self.waits or current.rate >= LARGE

    def heard(self, current: Path) -> None:
        """A probe of the path in use may have been answered."""
        self._moving += self._queue.look(current)

    def look(self, now: float) -> bool:
        """A round ended. True if something was learned."""
        self.moved, self._moving = self._moving, 0.0
        left, taken = self._left, self._taken
        if left is None or taken is None:
            return False
        fresh = [left.look(), taken.look()]
        floor = self._queue.floor(taken.leg)
        if fresh[1] and floor is not None:
            if now < self._since + WINDOW:
                self._floors.clear()  # the lowest of less than a window is higher: the newest says most
            self._floors.append(floor)
        if len(taken.after) < SAMPLES or len(left.after) < SAMPLES:
            if now >= self._until:
                self._forget()
            return False
        if now > max(self._until, self._since + WATCHED) or taken.path.rate < self._rate / 2.0:
            self._forget()  # that was long enough, or the traffic did not come along, or ended
            return False
        if not any(fresh):
            return False
        self._until = min(now, self._until)
        self.learned = self._learn(left, taken, now)
        return True

    def burden(self, rate: float, now: float) -> float:
        """What the policy's traffic, ``rate`` bytes a second, would add to a path that does not carry it, in ms."""
        return self._part(rate, now) * self.learned.burden

    def quiet(self, current: Path, now: float) -> Sequence[Quiet]:
        """The legs of the path in use without what our own queue there does from moment to moment. Empty: nothing is
        known of it."""
        return self._queue.quiet(current, self._holds(current, now)) if self._lone else ()

    def queues(self, current: Path, now: float) -> bool:
        """Whether our own queue on the path in use wanders so far that its lowest RTT takes many probes to be seen."""
        return self._lone and current.rate >= MUCH and self._holds(current, now) >= WORTH_WATCHING

    def restore(self, learned: Learned) -> None:
        """Take up what an earlier run had learned."""
        self.learned = learned

    def _learn(self, left: _Side, taken: _Side, now: float) -> Learned:
        """What the last switch shows, and what was known before it."""
        burden = _both(taken.mean - taken.before, left.before - left.mean)
        floor = fmean(self._floors) if self._floors else taken.mean
        standing = min(burden, _both(floor - taken.before, self._floor_before - left.mean))
        before = (1.0 - BELIEVED) * _faded(self._before, now)
        return Learned(
            BELIEVED * burden + before * self._before.burden,
            self._rate,
            now,
            BELIEVED * standing + before * self._before.standing,
        )

    def _holds(self, current: Path, now: float) -> float:
        """What our own queue holds on average, in ms."""
        return self._part(current.rate, now) * (self.learned.burden - self.learned.standing)

    def _part(self, rate: float, now: float) -> float:
        """Which part of what was learned counts at this rate, in bytes a second."""
        learned = self.learned
        if self.measuring(now):
            rate = max(rate, self._rate)  # it is on its way there
        if rate < LARGE:
            return 0.0
        # From half the rate on it counts in full: rates are never steady, and a burden that moves with them would flap.
        return _faded(learned, now) * min(1.0, 2.0 * rate / learned.rate)

    def _forget(self) -> None:
        self._left = self._taken = None
        self.waits = False


def _faded(learned: Learned, now: float) -> float:
    """Which part of it is not forgotten."""
    return exp2(min(0.0, learned.at - now) / MEMORY)


def _both(rise: float, fall: float) -> float:
    """The geometric mean; 0 unless both are more than that."""
    return sqrt(max(0.0, rise) * max(0.0, fall))
