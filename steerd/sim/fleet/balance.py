"""Where the load would rest: the equilibrium, in which no gateway gains by moving, and the optimum, in which all
together are served best.

The equilibrium is Wardrop's (J. G. Wardrop, "Some theoretical aspects of road traffic research", 1952), of gateways
that cannot be split: each counts its own traffic where it would go. In the optimum each counts what it adds to others'
delay as well (A. C. Pigou, "The economics of welfare", 1920). Both are found by best answers, one gateway after the
other.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from steerd.sim.fleet.world import SERVICE, UNSERVED, World, queue

ENOUGH: Final = 0.01
"""ms: for less nobody moves."""

PASSES: Final = 300
"""So often each gateway is asked at most. Some 20 are enough."""

Charge = Callable[[float, int, float], float]
"""ms that a gateway is charged at a PoP: of what others send there, what it sends itself, and the PoP's capacity."""


def own(others: float, sent: int, capacity: float) -> float:
    """What it would wait there."""
    return queue((others + sent) / capacity)


def shared(others: float, sent: int, capacity: float) -> float:
    """What all would wait longer for it, for each part that it sends."""
    with_it = (others + sent) * queue((others + sent) / capacity)
    return (with_it - others * queue(others / capacity)) / sent


def equilibrium(world: World, capacity: Sequence[float], start: Sequence[int] | None = None) -> list[int]:
    """The PoP of each gateway where none gains by moving; best answers begin at ``start``, if given."""
    return _answers(world, capacity, own, start)


def optimum(world: World, capacity: Sequence[float], start: Sequence[int]) -> list[int]:
    """The PoP of each gateway where no single move makes the mean latency of all lower."""
    return _answers(world, capacity, shared, start)


def loads(world: World, at: Sequence[int]) -> list[int]:
    """What each PoP carries."""
    carried = [0] * world.pops
    for where, sent in zip(at, world.demand, strict=True):
        carried[where] += sent
    return carried


def utilisation(carried: Sequence[float], capacity: Sequence[float]) -> list[float]:
    """Of each PoP; of one that has no capacity: 0."""
    return [load / cap if cap else 0.0 for load, cap in zip(carried, capacity, strict=True)]


def latency(world: World, at: Sequence[int], capacity: Sequence[float]) -> float:
    """What users wait, in ms: the mean over all traffic."""
    waits = [queue(load) for load in utilisation(loads(world, at), capacity)]
    paid = sum(
        sent * (base[where] + waits[where] if capacity[where] else UNSERVED)
        for base, where, sent in zip(world.base, at, world.demand, strict=True)
    )
    return paid / sum(world.demand)


def _answers(world: World, capacity: Sequence[float], charge: Charge, start: Sequence[int] | None) -> list[int]:
    usable = [pop for pop, cap in enumerate(capacity) if cap > 0.0]
    near = [sorted(usable, key=base.__getitem__) for base in world.base]
    at = [first[0] for first in near]
    if start is not None:
        at = [was if capacity[was] > 0.0 else new for was, new in zip(start, at, strict=True)]
    carried = loads(world, at)
    order, draw = list(range(world.gateways)), Random(0)
    for _ in range(PASSES):
        draw.shuffle(order)
        moved = False
        for gateway in order:
            base, sent, here = world.base[gateway], world.demand[gateway], at[gateway]
            carried[here] -= sent
            best, least = here, base[here] + charge(carried[here], sent, capacity[here]) - ENOUGH
            for pop in near[gateway]:
                if base[pop] + SERVICE >= least:
                    break  # an idle PoP would not be better, and all others are farther away
                cost = base[pop] + charge(carried[pop], sent, capacity[pop])
                if cost < least:
                    best, least = pop, cost
            carried[best] += sent
            if best != here:
                at[gateway], moved = best, True
        if not moved:
            break
    return at
