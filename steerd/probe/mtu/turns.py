"""When each leg's path MTU is searched next. Pure: the time is an argument."""

import math
from typing import Final

from steerd.probe.carrier import Leg
from steerd.probe.pace import Pace
from steerd.probe.timing.schedule import next_slot, phase

_PROBES: Final = 10  # at least, between two searches: a path that is rarely looked at is not searched at each look
_APART: Final = 0.5  # of a period, at least, from one turn to the next


class Turns:
    """A grid for each leg, of ``interval`` seconds or as many as some probes take, or as its budget allows."""

    def __init__(self, seed: int, pace: Pace) -> None:
        """``seed`` spreads gateways apart in phase; ``pace`` tells how often legs are probed."""
        self.interval = 0.0
        self._seed = seed
        self._pace = pace
        self._came_at: dict[Leg, float] = {}

    def spread(self, leg: Leg) -> float:
        """Where in its period the leg has its turn, from 0 to 1."""
        return phase(f"{leg.settings.path}#{leg.index}/mtu", self._seed)

    def period(self, leg: Leg) -> float:
        """Seconds between two turns, as far as no budget stretches them."""
        return max(self.interval, _PROBES * (self._pace.wanted(leg) or 0.0))

    def next(self, leg: Leg, now: float) -> float:
        """The leg's next turn. Each period has a grid of its own, and the next slot of a new one may be at hand:
        whoever is probed at another cadence each moment would be searched each moment."""
        period = self.period(leg) * self._pace.stretch(leg)
        return next_slot(self.spread(leg), period, max(now, self._came_at.get(leg, -math.inf) + period * _APART))

    def came(self, leg: Leg, now: float) -> None:
        """The leg's turn is now."""
        self._came_at[leg] = now

    def forget(self, leg: Leg) -> None:
        """The leg has no more turns."""
        self._came_at.pop(leg, None)
