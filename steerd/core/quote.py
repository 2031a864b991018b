"""A path at the price of a policy that weighs it in its own way: what that policy's rule, its fail-over and its
views see of it."""

from math import inf

from steerd.core.cost import LEAST_LEFT, Tariff, named
from steerd.core.estimate import Estimate
from steerd.core.model import Terms
from steerd.core.path import Path
from steerd.core.settings import PathId


class Quote:
    """One path at one tariff. It keeps no price: that is made when somebody looks, at the end of a round or when a
    choice is forced, so that samples need not know of it. ``worth``: by how many ms the path is preferred."""

    __slots__ = ("_path", "_tariff", "_worth", "id")

    def __init__(self, path: Path, tariff: Tariff, worth: float) -> None:
        self.id: PathId = path.id
        self._path = path
        self._tariff = tariff
        self._worth = worth

    @property
    def cost(self) -> float:
        """In ms; inf until every leg has answered."""
        if self._path.cost == inf:
            return inf
        leg = self._worst()
        return self._less(self._full(leg, leg.mean))

    @property
    def spot(self) -> float:
        """What the last probe paid."""
        if self._path.cost == inf:
            return inf
        paid = sum(self._tariff.paid(self._worst(), missing=self._path.missing))
        return self._less(paid + self._bias() + sum(self._path.beside))

    @property
    def level(self) -> float:
        """The cost with the RTT's level in place of the mean."""
        if self._path.cost == inf:
            return inf
        leg = self._worst()
        return self._less(self._full(leg, leg.level))

    @property
    def scatter(self) -> float:
        """Standard deviation of the spot cost about its level, in ms, as far as it is that of the RTT."""
        return self._slope() * self._path.scatter

    @property
    def level_error2(self) -> float:
        """The squared standard error of the level, in ms^2, as far as it is that of the RTT's."""
        slope = self._slope()
        return slope * slope * self._path.level_error2

    @property
    def missing(self) -> bool:
        return self._path.missing

    @property
    def samples(self) -> int:
        return self._path.samples

    @property
    def up(self) -> bool:
        return self._path.up

    def terms(self) -> Terms:
        """The cost, term by term, in ms; empty before every leg has answered."""
        if self._path.cost == inf:
            return {}
        leg = self._worst()
        full = self._full(leg, leg.mean)
        return named(self._tariff.measured(leg, leg.mean), self._bias(), self._path.beside, self._less(full) - full)

    def shown(self) -> Terms:
        """What the tariff shows beside the cost."""
        return self._tariff.shown(self._worst()) if self._path.cost < inf else {}

    def _worst(self) -> Estimate:
        legs = self._path.legs
        return legs[0] if len(legs) == 1 else max(legs, key=lambda leg: self._full(leg, leg.mean))

    def _full(self, leg: Estimate, rtt: float) -> float:
        """What the path costs, was it not preferred."""
        return sum(self._tariff.measured(leg, rtt)) + self._bias() + sum(self._path.beside)

    def _slope(self) -> float:
        """By how much the cost moves with the RTT."""
        leg = self._worst()
        slope = self._tariff.slope(leg)
        return slope * LEAST_LEFT if self._worth and self._capped(self._full(leg, leg.mean)) else slope

    def _bias(self) -> float:
        return self._tariff.bias_weight * self._path.settings.bias

    def _less(self, full: float) -> float:
        return LEAST_LEFT * full if self._capped(full) else full - self._worth

    def _capped(self, full: float) -> bool:
        return self._worth > (1.0 - LEAST_LEFT) * full
