"""Gateways and PoPs on a map: how far apart they are, what each gateway sends, how a PoP's delay grows with its load.

Everything is drawn from one seed. Costs and RTTs in ms, times in seconds, loads as a share of a PoP's capacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from random import Random
from typing import Final

NEAREST: Final = 4.0
"""ms of RTT that nobody is spared."""

ACROSS: Final = 60.0
"""ms of RTT from one side of the map to the other."""

SERVICE: Final = 2.0
"""ms that an idle PoP takes: its queue is that of one server, SERVICE / (1 - load)."""

FULL: Final = 0.98
"""From this load on the queue does not depend on chance any more: it grows while it lasts, by `OVERLOAD`."""

OVERLOAD: Final = 2500.0
"""ms for each whole capacity that is asked for beyond that."""

UNSERVED: Final = 500.0
"""ms that users of a dead PoP are taken to wait."""

WHOLE: Final = 1 << 40
"""All that gateways send, in parts: whole numbers, so that sums do not depend on their order."""


def queue(load: float) -> float:
    """ms that a PoP of this load adds."""
    if load <= FULL:
        return SERVICE / (1.0 - load)
    return SERVICE / (1.0 - FULL) + (load - FULL) * OVERLOAD


@dataclass(frozen=True)
class World:
    """``base``: of each gateway the RTT to each PoP without any load; ``demand``: what each sends, in parts of `WHOLE`;
    ``capacity``: of each PoP, in the same unit, while nothing is wrong with it."""

    base: Sequence[Sequence[float]]
    demand: Sequence[int]
    capacity: Sequence[float]

    @property
    def gateways(self) -> int:
        return len(self.demand)

    @property
    def pops(self) -> int:
        return len(self.capacity)


def world(gateways: int, pops: int, utilisation: float, seed: int) -> World:
    """Places at random in a square, PoPs of three sizes, and gateways of which some send much more than others."""
    draw = Random(f"{seed}/world")
    places = [(draw.random(), draw.random()) for _ in range(gateways)]
    sites = [(draw.random(), draw.random()) for _ in range(pops)]
    base = [[NEAREST + ACROSS * hypot(x - u, y - v) + draw.gammavariate(2.0, 1.0) for u, v in sites] for x, y in places]
    sizes = [draw.choice((0.8, 1.0, 1.25)) for _ in range(pops)]
    sent = [draw.lognormvariate(0.0, 0.5) for _ in range(gateways)]
    demand = [round(WHOLE * one / sum(sent)) for one in sent]
    whole = sum(demand) / utilisation
    return World(base, demand, [whole * size / sum(sizes) for size in sizes])
