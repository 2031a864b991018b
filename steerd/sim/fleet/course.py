"""One rule's course: what PoPs carry and what users wait, second by second; and the same where the load would rest."""

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import mul
from typing import Final, Protocol

from steerd.sim.fleet import balance
from steerd.sim.fleet.probing import Moment
from steerd.sim.fleet.shard import Move
from steerd.sim.fleet.story import Story
from steerd.sim.fleet.world import UNSERVED, World, queue

LATENCIES_EVERY: Final = 10
"""Seconds: so often every gateway's latency is looked at, for percentiles."""


@dataclass
class Course:
    """By second: the ``mean`` latency in ms, the ``utilisation`` of each PoP, the ``moves`` so far; and of some seconds
    what each gateway waits, in ms. ``places``: where the gateways are at the end."""

    mean: list[float] = field(default_factory=list)
    utilisation: list[Sequence[float]] = field(default_factory=list)
    moves: list[int] = field(default_factory=lambda: [0])
    waits: dict[int, Sequence[float]] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Rest:
    """While capacities stay as they are ``since`` a second: where the load would rest, and what users would wait there,
    in ms."""

    since: int
    places: Sequence[int]
    utilisation: Sequence[float]
    equilibrium: float
    optimum: float
    best: Sequence[int]


def rests(world: World, story: Story, seconds: int, start: Sequence[int]) -> list[Rest]:
    """One after the other."""
    found: list[Rest] = []
    at = start
    for second in range(seconds):
        if second == 0 or story.changes(second):
            capacity = story.at(second)
            at = balance.equilibrium(world, capacity, at)
            best = balance.optimum(world, capacity, found[-1].best if found else at)
            found.append(
                Rest(
                    second,
                    at,
                    balance.utilisation(balance.loads(world, at), capacity),
                    balance.latency(world, at, capacity),
                    balance.latency(world, best, capacity),
                    best,
                )
            )
    return found


class Mover(Protocol):
    """Who says which gateways move."""

    def step(self, moment: Moment) -> list[Move]: ...

    def close(self) -> None: ...


class Central:
    """A conductor who knows everything, at once: the optimum, without what it costs to find and to tell."""

    def __init__(self, start: Sequence[int], rests: Sequence[Rest]) -> None:
        self._at = list(start)
        self._rests = {rest.since: rest.best for rest in rests}

    def step(self, moment: Moment) -> list[Move]:
        best = self._rests.get(moment.second, self._at)
        moves = [(number, to) for number, (was, to) in enumerate(zip(self._at, best, strict=True)) if was != to]
        self._at = list(best)
        return moves

    def close(self) -> None:
        """Nothing is open."""


def run(
    world: World,
    story: Story,
    start: Sequence[int],
    mover: Mover,
    *,
    seconds: int,
    age: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Course:
    """Let the gateways go from ``start``. What PoPs say of themselves is ``age`` seconds old; ``progress`` is told each
    second."""
    course = Course(places=list(start))
    carried = balance.loads(world, start)
    capacity = story.at(0)
    reports: deque[tuple[Sequence[float], Sequence[float]]] = deque(maxlen=age + 1)
    for second in range(seconds):
        if story.changes(second):
            capacity = story.at(second)
        load = balance.utilisation(carried, capacity)
        waits = [queue(one) if cap else inf for one, cap in zip(load, capacity, strict=True)]
        reports.append((load, [float(one) for one in carried]))
        told, sent = reports[0]
        _look(course, world, second, waits)
        course.utilisation.append(load)
        moves = mover.step(Moment(second, waits, told, sent, capacity))
        for number, to in moves:
            carried[course.places[number]] -= world.demand[number]
            carried[to] += world.demand[number]
            course.places[number] = to
        course.moves.append(course.moves[-1] + len(moves))
        progress(second)
    return course


def _look(course: Course, world: World, second: int, waits: Sequence[float]) -> None:
    """What users wait now."""
    each = array(
        "d",
        [
            base[at] + waits[at] if waits[at] < inf else UNSERVED
            for base, at in zip(world.base, course.places, strict=True)
        ],
    )
    course.mean.append(sum(map(mul, each, world.demand)) / sum(world.demand))
    if second % LATENCIES_EVERY == 0:
        course.waits[second] = each
