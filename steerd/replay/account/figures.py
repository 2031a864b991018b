"""What choices on a trace brought, in figures that need no price.

All are over the samples that J counts: the first `FREE` are left out.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, nan
from operator import gt
from typing import Final, NamedTuple

from steerd.replay.account.price import FREE, RTT_MAX, Account
from steerd.replay.trace.track import Choices

SLOW: Final = 1.2  # a sample is slow when it cost more than this many times the best one
P95: Final = 0.95
PROBES: Final = 200


class Figures(NamedTuple):
    """``rtt_mean_ms`` and ``rtt_p95_ms`` (nearest rank) are of the answered probes of the path in use, ``lost_ratio``
    tells of the others; ``excess_ms`` is how much a sample cost on average beyond the cheapest of all paths;
    ``slow_ratio`` is the share of samples that cost more than `SLOW` times that; ``switches_per_hour`` counts
    moves over the whole trace. NaN: nothing to tell."""

    rtt_mean_ms: float
    rtt_p95_ms: float
    lost_ratio: float
    excess_ms: float
    slow_ratio: float
    switches_per_hour: float


def figures(account: Account, choices: Choices, seconds: float) -> Figures:
    """The figures of these choices on a trace of which so many seconds were sampled."""
    per_hour = moves(choices) / seconds * 3600.0 if seconds > 0.0 else nan
    counted = account.samples - FREE
    if counted <= 0:
        return Figures(nan, nan, nan, nan, nan, per_hour)
    got, used = answered(account, choices)
    paid: list[float] = []
    for choice, begin, end in account.spans(choices):
        paid += [RTT_MAX] * (end - begin) if choice is None else account.costs[choice][begin:end]
    excess = slow = 0.0
    if len(account.costs) > 1 or not used:  # on the only path there is nothing to miss
        costs = list(account.costs.values())
        cheapest = list(map(min, *costs))[FREE:] if len(costs) > 1 else costs[0][FREE:]
        excess = sum(paid) - sum(cheapest)
        slow = sum(map(gt, paid, [SLOW * best for best in cheapest]))
    return Figures(
        sum(got) / len(got) if got else nan,
        nearest_rank(got, P95),
        1.0 - len(got) / used if used else nan,
        excess / counted,
        slow / counted,
        per_hour,
    )


def answered(account: Account, choices: Choices) -> tuple[list[float], int]:
    """The RTTs that the path in use had, in ms, and how many probes it sent: the others were lost."""
    got: list[float] = []
    used = 0
    for choice, begin, end in account.spans(choices):
        if choice is not None:
            column = account.columns[choice][begin:end]
            used += len(column)
            got += (
                account.costs[choice][begin:end]
                if choice in account.untouched
                else [rtt for rtt in column if rtt is not None]
            )
    return got, used


def moves(choices: Choices) -> int:
    """How often the path in use changed, after the first choice."""
    paths = [path for _, path in choices if path is not None]
    return sum(new != old for old, new in pairwise(paths))


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that at least this share of them does not exceed; NaN of none. Sorting all of a long
    trace would take as long as a good part of its replay: a few probes tell where the value must lie, and only what
    lies above that is sorted."""
    if not values:
        return nan
    above = len(values) - ceil(share * len(values)) + 1
    step = len(values) // PROBES
    if step > 1:
        probes = sorted(values[::step])
        floor = probes[max(0, ceil(share * len(probes)) - len(probes) // 20 - 1)]
        high = [value for value in values if value >= floor]
        if len(high) >= above:
            return sorted(high)[-above]
    return sorted(values)[-above]
