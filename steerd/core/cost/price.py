"""What one path costs one policy: the one formula that rules, fail-over, shares and views go by.

``cost = rtt + jitter + loss + load + own_load + backbone + bias + uplink + mtu + prefer``, each term in ms, bounded and
shown.
The first three are measured, by the policy's tariff; the others hold whatever the probes bring.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

from steerd.core.belief.estimate import Estimate
from steerd.core.belief.path import Path
from steerd.core.cost.own_queue import Quiet
from steerd.core.cost.tariff import Tariff
from steerd.core.effects import Terms
from steerd.core.settings import PathId, Settings

TERMS: Final = ("rtt", "jitter", "loss", "load", "own_load", "backbone", "bias", "uplink", "mtu", "prefer")

LEAST_LEFT: Final = 0.1
"""A preferred path costs at least this share of what it costs others: cheap, but never less than nothing, and
of two preferred paths the better one stays the cheaper one."""


class Price:
    """One path at one policy's tariff. It is worked out when somebody looks, at the end of a round or when a choice is
    forced, so that samples need not know of it. ``worth``: by how many ms the path is preferred; ``bias``: its own, as
    the policy weighs it, in ms; ``bias_weight``: by how much it weighs its uplink's price; ``leg``: the only leg of a
    path that is not preferred."""

    __slots__ = (
        "_bias_weight",
        "_quiet",
        "_settings",
        "_worth",
        "backbone",
        "bias",
        "fixed",
        "id",
        "leg",
        "own_load",
        "path",
        "tariff",
    )

    def __init__(
        self, path: Path, tariff: Tariff, settings: Settings, *, bias: float, worth: float, bias_weight: float = 1.0
    ) -> None:
        self.id: PathId = path.id
        self.path = path
        self.bias = bias
        self._bias_weight = bias_weight
        self.tariff = tariff
        self._settings = settings
        self._worth = worth
        self.own_load = self.backbone = self.fixed = 0.0
        self._quiet: Sequence[Quiet] = ()
        self.leg: Estimate | None = None
        self.calm(())
        self.renew()

    def renew(self, own_load: float | None = None, backbone: float | None = None) -> bool:
        """What does not depend on probes may have changed: the path's packet size, what its PoP and its uplink cost,
        what the policy's own traffic would add there (``own_load``, in ms; None: as before), or the way from its PoP to
        the policy's service (``backbone``, likewise). True if it did."""
        if own_load is not None:
            self.own_load = own_load
        if backbone is not None:
            self.backbone = backbone
        before = self.fixed
        self.fixed = self.bias + self._uplink() + self._mtu() + self._load() + self.own_load + self.backbone
        return self.fixed != before

    def calm(self, quiet: Sequence[Quiet]) -> None:
        """Go by these instead of the path's legs, if there are any."""
        self._quiet = quiet
        self.leg = self.path.legs[0] if not quiet and self.path.single and not self._worth else None

    @property
    def cost(self) -> float:
        """In ms, of what is believed; inf until every leg has answered."""
        path = self.path
        if not path.samples:
            return inf
        tariff = self.tariff
        plain = path.single and not self._quiet
        cost = tariff.cost(path.legs[0]) if plain else max(map(tariff.cost, self._quiet or path.asked.counted))
        return self._less(cost + self.fixed) if self._worth else cost + self.fixed

    @property
    def last_cost(self) -> float:
        """In ms, of the last probe alone: of a reply its RTT, of one that is overdue the mean and what a loss costs."""
        path, tariff = self.path, self.tariff
        leg = path.legs[0] if path.single and not self._quiet else self._worst()
        if path.missing:
            paid = tariff.paid(leg, leg.mean) + tariff.missing + self.fixed
        else:
            paid = tariff.paid(leg, leg.last_rtt) + self.fixed
        return self._less(paid) if self._worth else paid

    def terms(self) -> Terms:
        """The cost, term by term, in ms, with ``total``: their sum. Empty before every leg has answered."""
        if not self.path.samples:
            return {}
        leg = self._worst()
        full = self.tariff.cost(leg) + self.fixed
        return {
            **dict.fromkeys(TERMS, 0.0),
            **self.tariff.terms(leg)._asdict(),
            "load": self._load(),
            "own_load": self.own_load,
            "backbone": self.backbone,
            "bias": self.bias,
            "uplink": self._uplink(),
            "mtu": self._mtu(),
            "prefer": self._less(full) - full,
            "total": self._less(full),
        }

    def shown(self) -> Terms:
        """What the tariff shows beside the cost."""
        return self.tariff.shown(self._worst()) if self.path.samples else {}

    def _worst(self) -> Estimate | Quiet:
        return max(self._quiet or self.path.asked.counted, key=self.tariff.cost)

    def _mtu(self) -> float:
        return self._settings.mtu_penalty if self.path.black_hole else 0.0

    def _uplink(self) -> float:
        """A cap is no matter of taste: what it costs is not weighed."""
        return self._bias_weight * self.path.fee + self.path.scarcity

    def _load(self) -> float:
        return self._settings.load_penalty * self.path.load

    def _less(self, full: float) -> float:
        """What is left of the cost of a path that is preferred."""
        least = LEAST_LEFT * full
        return max(full - self._worth, least) if self._worth else full


def last_costs(prices: Sequence[Price]) -> list[float]:
    """`Price.last_cost` of each. Rules ask in every round, and nearly every path has one leg, and answers."""
    costs = []
    for price in prices:
        leg = price.leg
        if leg is None or price.path.missing:
            costs.append(price.last_cost)
        else:
            costs.append(price.tariff.paid(leg, leg.last_rtt) + price.fixed)
    return costs
