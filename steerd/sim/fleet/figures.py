"""What a course comes to, in each window between two events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from steerd.sim.fleet.course import Course, Rest

TAIL: Final = 300
"""The last so many seconds of a window are judged, or its second half if it is shorter. Where capacities swing, all of
it but as many at its beginning."""

FIRST: Final = 120
"""Seconds in which a window's peak is looked for."""

MEAN: Final = 30
STAYS: Final = 60
WITHIN: Final = 1.05
"""Settled: from then on the mean of 30 s stays for 60 s within 5 % of what it would be in the equilibrium."""


@dataclass(frozen=True)
class Figures:
    """Of one window, from ``since`` to ``until`` in seconds. ``excess`` over the equilibrium, and over the ``optimum``,
    as shares; ``amplitude``: by how much the utilisation of the PoP that moved most did, beside what the equilibrium's
    did; ``peak`` of any PoP's in its first two minutes; ``settled`` in seconds (None: never); ``p99`` in ms, over
    traffic; ``switches`` of a gateway in an hour, in the judged part, and in all of the window (``moved``)."""

    since: int
    until: int
    excess: float
    optimum: float
    amplitude: float
    peak: float
    settled: int | None
    p99: float
    switches: float
    moved: float
    equilibrium: float


def figures(
    course: Course, rests: Sequence[Rest], begins: Sequence[int], demand: Sequence[int], *, swings: bool
) -> list[Figures]:
    """Of each window that begins then; ``demand``: what each gateway sends."""
    seconds, gateways = len(course.mean), len(demand)
    at = _rest_of_each(rests, seconds)
    made = []
    for since, until in zip(begins, [*begins[1:], seconds], strict=True):
        tail = min(TAIL, (until - since) // 2) or 1
        judged = range(since + tail, until) if swings else range(until - tail, until)
        mean = sum(course.mean[second] for second in judged) / len(judged)
        equilibrium = sum(at[second].equilibrium for second in judged) / len(judged)
        optimum = sum(at[second].optimum for second in judged) / len(judged)
        hours = gateways * len(judged) / 3600.0
        made.append(
            Figures(
                since,
                until,
                mean / equilibrium - 1.0,
                mean / optimum - 1.0,
                _amplitude(course, at, judged),
                max(max(course.utilisation[second]) for second in range(since, min(until, since + FIRST))),
                _settled(course.mean[since:until], [at[second].equilibrium for second in range(since, until)]),
                _p99([one for second in judged for one in zip(course.waits.get(second, ()), demand, strict=False)]),
                (course.moves[judged[-1] + 1] - course.moves[judged[0]]) / hours,
                (course.moves[until] - course.moves[since]) / gateways * 3600.0 / (until - since),
                equilibrium,
            )
        )
    return made


def _rest_of_each(rests: Sequence[Rest], seconds: int) -> list[Rest]:
    """By second."""
    at: list[Rest] = []
    for rest, until in zip(rests, [*(one.since for one in rests[1:]), seconds], strict=True):
        at += [rest] * (until - rest.since)
    return at


def _amplitude(course: Course, at: Sequence[Rest], judged: Sequence[int]) -> float:
    most = 0.0
    for pop in range(len(course.utilisation[0])):
        off = [course.utilisation[second][pop] - at[second].utilisation[pop] for second in judged]
        most = max(most, max(off) - min(off))
    return most


def _settled(mean: Sequence[float], rest: Sequence[float]) -> int | None:
    good = 0
    for second in range(len(mean) - MEAN + 1):
        window = slice(second, second + MEAN)
        good = good + 1 if sum(mean[window]) <= WITHIN * sum(rest[window]) else 0
        if good == STAYS:
            return second - STAYS + 1
    return None


def _p99(waits: Sequence[tuple[float, int]]) -> float:
    ranked = sorted(waits)
    left = 0.99 * sum(sent for _, sent in ranked)
    for wait, sent in ranked:
        left -= sent
        if left <= 0.0:
            return wait
    return 0.0
