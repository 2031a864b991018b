"""babeld's choice between neighbours on tunnels.

Sources: RFC 9616 (delay-based metric, section 4), RFC 8966 (appendix A: 2-out-of-3 hellos; 3.6: hysteresis by
smoothed metrics), Jonglez, Boutier, Chroboczek, "A delay-based routing metric" (2014); babeld 1.14: babeld.man for
the defaults, and neighbour.c, message.c, route.c for what is done with them in which order.

Not shown: a hello brings the RTT every 4 s in babeld, here every sample does. babeld randomises the smoothing by a
quarter, so that routers do not move together: here it takes the mean. babeld smooths in whole numbers, which loses
nothing in steps of 4 s, but would stand still in smaller ones. The destination is one hop away.
"""

from collections.abc import Mapping
from math import floor
from typing import Final

from steerd.core.settings import PathId

RXCOST: Final = 96  # of a link that is not wireless (babeld.man: rxcost)
RTT_DECAY: Final = 42  # weight of a new RTT, in units of 1/256 (rtt-decay)
RTT_MIN: Final = 10_000
RTT_MAX: Final = 120_000
"""Between these, in us, the RTT's penalty grows linearly (rtt-min, rtt-max)."""

PENALTY_MAX: Final = 96  # for an RTT of `RTT_MAX` or more, on a tunnel (max-rtt-penalty)
FIRST_RTT: Final = 2  # a new neighbour begins at this many times its first RTT (message.c)
HALF_LIFE: Final = 4  # seconds in which the smoothed metric goes half the way to the metric (-M, smoothing-half-life)
STEP: Final = 2.0 ** (1.0 / HALF_LIFE) - 1.0
"""What a second of smoothing takes of the difference, where less than a half-life passed (route.c)."""

CONVERGED: Final = 4  # closer than this to the metric, the smoothed metric is the metric (route.c)
INFINITY: Final = 0xFFFF
NEW_ROUTE: Final = INFINITY // 2
"""Where a new route's smoothed metric begins (route.c)."""


class Neighbour:
    """A neighbour, and the route by it."""

    def __init__(self) -> None:
        self.reach = 0  # hellos heard, the newest in the highest bit
        self.rtt: int | None = None  # us
        self.metric = INFINITY
        self.known = False
        self._smoothed = float(INFINITY)
        self._smoothed_at = 0

    def hello(self, rtt: float | None, now: int) -> None:
        """A hello that brings an RTT in ms; None: it was lost. ``now`` in seconds."""
        self.reach = self.reach >> 1 | (0 if rtt is None else 0x8000)
        if rtt is not None:
            sample = round(rtt * 1000.0)
            if self.rtt is None:
                self.rtt = FIRST_RTT * sample
            else:
                mixed = RTT_DECAY * sample + (256 - RTT_DECAY) * self.rtt
                self.rtt = mixed // 256 if self.rtt >= sample else (mixed + 255) // 256  # rounded towards the sample
        self.smoothed(now)  # with the old metric, up to now
        self.metric = self._cost()
        if not self.known and self.metric < INFINITY:
            self.known = True
            self._smoothed = max(self.metric, NEW_ROUTE)

    def smoothed(self, now: int) -> float:
        while self._smoothed_at <= now - HALF_LIFE and self._smooth(0.5):
            self._smoothed_at += HALF_LIFE
        while self._smoothed_at < now and self._smooth(STEP):
            self._smoothed_at += 1
        self._smoothed_at = now
        return self._smoothed

    def _smooth(self, share: float) -> bool:
        """Go so much of the way to the metric. False: it is there."""
        if self.metric == INFINITY:
            self._smoothed = self.metric
        self._smoothed += (self.metric - self._smoothed) * share
        if abs(self.metric - self._smoothed) < CONVERGED:
            self._smoothed = self.metric
        return self._smoothed != self.metric

    def _cost(self) -> int:
        newest = self.reach >> 13  # three hellos
        if newest.bit_count() < 2 or self.rtt is None:
            return INFINITY
        within = min(max(self.rtt, RTT_MIN), RTT_MAX) - RTT_MIN
        return RXCOST + PENALTY_MAX * within // (RTT_MAX - RTT_MIN)


class Babel:
    """Moves when both the metric and the smoothed metric of another neighbour are lower."""

    def __init__(self) -> None:
        self._routes: dict[PathId, Neighbour] = {}
        self._installed: PathId | None = None

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        now = floor(time)  # babeld smooths in whole seconds
        for path, rtt in rtts.items():
            route = self._routes.setdefault(path, Neighbour())
            route.hello(rtt, now)
            if path != self._installed:
                self._consider(path, now)
            else:
                self._reconsider(route, now)
        return self._installed

    def _reconsider(self, installed: Neighbour, now: int) -> None:
        """The route in use changed: the best by smoothed metric may take over, if it is better by metric too."""
        usable = {path: route for path, route in self._routes.items() if route.metric < INFINITY}
        if usable:
            best = min(usable, key=lambda path: usable[path].smoothed(now))
            if usable[best].metric < installed.metric:
                self._consider(best, now)

    def _consider(self, path: PathId, now: int) -> None:
        route = self._routes[path]
        if route.metric == INFINITY:
            return  # with nothing usable the last route stays: there is none to pay less on
        installed = self._routes[self._installed] if self._installed is not None else None
        if (
            installed is None
            or installed.metric == INFINITY
            or (installed.metric >= route.metric and installed.smoothed(now) > route.smoothed(now))
        ):
            self._installed = path
