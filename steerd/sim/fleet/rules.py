"""Other rules, beside steerd in the same fleet: what many would write, and what is published for balancing requests.

The published ones choose for each request, on answers of less than a second ago. A gateway moves a route: all that it
sends, and each move breaks connections. How each was adapted to that is said with it. All see the same probes as
steerd; those that go by what PoPs say of themselves see it as old as reports are. A PoP whose last three probes are
lost is left at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from math import inf, log
from random import Random
from typing import Final

from steerd.sim.fleet.probing import Moment

LOOK: Final = 10
"""Seconds between two looks at whether to move."""

HALF_LIFE: Final = 5.0
"""Seconds: of the mean that the plain rules go by."""

LOST: Final = 500.0
"""ms that a lost probe counts for in it."""

DEAD: Final = 3
"""Lost probes in a row."""

HYSTERESIS: Final = (5.0, 0.1)
"""ms and share of the cost by which another one must be better."""

CHOICES: Final = (2.0, 0.05)
"""The same where two drawn at random are compared (M. Mitzenmacher, "The power of two choices in randomized load
balancing", 2001)."""

HOT: Final = 2.0**-0.25
"""The quantile of utilisation above which a PoP is hot (B. Wydrowski et al., "Load is not what you should balance:
Introducing Prequal", arXiv 2312.10172, section 4: Q_RIF)."""


class Rule(ABC):
    """What one gateway would use. ``at`` the start; ``phase``: the second of each `LOOK` that is its own."""

    def __init__(self, at: int, draw: Random, pops: int) -> None:
        self.at = at
        self.draw = draw
        self.pops = pops
        self.phase = draw.randrange(LOOK)
        self.means = [inf] * pops
        self._lost = [0] * pops
        self._weight = 1.0 - 0.5 ** (1.0 / HALF_LIFE)

    def observe(self, rtts: Sequence[float], moment: Moment) -> int:
        """Take what a second's probes brought, in ms (inf: nothing). Returns the PoP in use from now on."""
        means, lost, weight = self.means, self._lost, self._weight
        for place, rtt in enumerate(rtts):
            if rtt == inf:
                lost[place] += 1
                rtt = LOST  # noqa: PLW2901
            elif lost[place]:
                lost[place] = 0
            means[place] = rtt if means[place] == inf else means[place] + weight * (rtt - means[place])
        alive = [place for place in range(self.pops) if lost[place] < DEAD]
        if not alive:
            return self.at
        if lost[self.at] >= DEAD:
            self.at = min(alive, key=means.__getitem__)
        elif (found := self.choose(alive, moment)) is not None and lost[found] < DEAD:
            self.at = found
        return self.at

    @abstractmethod
    def choose(self, alive: Sequence[int], moment: Moment) -> int | None:
        """Where to be, of those that answer; None: where it is."""

    def mine(self, moment: Moment) -> bool:
        """Whether it is this gateway's turn to look."""
        return moment.second % LOOK == self.phase


class Argmin(Rule):
    """The lowest mean, looked at by all in the same second: a cron job."""

    def choose(self, alive: Sequence[int], moment: Moment) -> int | None:
        return min(alive, key=self.means.__getitem__) if moment.second % LOOK == 0 else None


class Hysteresis(Rule):
    """The lowest mean, if it is better by a margin; each gateway looks in its own second."""

    def choose(self, alive: Sequence[int], moment: Moment) -> int | None:
        if not self.mine(moment):
            return None
        return self.better(min(alive, key=self.means.__getitem__), *HYSTERESIS)

    def better(self, there: int, least: float, share: float) -> int | None:
        here = self.means[self.at]
        return there if here - self.means[there] > max(least, share * here) else None


class TwoChoices(Hysteresis):
    """The better of two drawn at random, if it is better than where it is."""

    def choose(self, alive: Sequence[int], moment: Moment) -> int | None:
        if not self.mine(moment):
            return None
        drawn = [self.draw.choice(alive), self.draw.choice(alive)]
        return self.better(min(drawn, key=self.means.__getitem__), *CHOICES)


class HotCold(Rule):
    """Prequal's hot-cold lexicographic rule: of the PoPs that are not hot the fastest; if all are hot, the one that is
    least loaded. There it is each request's, with requests in flight as the load; here each gateway's every ten
    seconds, in its own second, with the utilisation that PoPs report."""

    def choose(self, alive: Sequence[int], moment: Moment) -> int | None:
        if not self.mine(moment):
            return None
        ranked = sorted(moment.told[place] for place in alive)
        limit = ranked[min(len(ranked) - 1, int(HOT * len(ranked)))]
        cold = [place for place in alive if moment.told[place] < limit]
        if cold:
            return min(cold, key=self.means.__getitem__)
        return min(alive, key=moment.told.__getitem__)


class Weighted(Rule):
    """Weights from reported utilisation, as gRPC's client-side weighted round robin has them from ORCA reports: what a
    PoP carries over how loaded it says that it is. There each client spreads its requests by them; a route cannot be
    spread, so gateways are, by weighted rendezvous hashing: a gateway moves only when the weights do. Distance plays no
    part."""

    def __init__(self, at: int, draw: Random, pops: int) -> None:
        super().__init__(at, draw, pops)
        self._hash = [-log(1.0 - draw.random()) for _ in range(pops)]

    def choose(self, alive: Sequence[int], moment: Moment) -> int | None:
        if not self.mine(moment):
            return None
        weights = [
            moment.carried[place] / moment.told[place] if moment.told[place] else 0.0 for place in range(self.pops)
        ]
        known = [weight for weight in weights if weight]
        usual = sum(known) / len(known) if known else 1.0
        return max(alive, key=lambda place: (weights[place] or usual) / self._hash[place])


Make = Callable[[int, Random, int], Rule]

RULES: Final[Mapping[str, Make]] = {
    "argmin": Argmin,
    "hysteresis": Hysteresis,
    "two-choices": TwoChoices,
    "hot-cold": HotCold,
    "orca": Weighted,
}
"""By the names that the command has for them."""
