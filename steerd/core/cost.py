"""Belief to cost: one number in ms per path and policy, the sum of named, bounded terms."""

from collections.abc import Sequence
from typing import Final

from steerd.core.estimate import Estimate
from steerd.core.model import Terms
from steerd.core.settings import Settings

RTT_MAX: Final = 2000.0
JITTER_MAX: Final = 1000.0
"""Bounds of the terms, in ms: no single measurement outweighs everything else for ever."""

TERMS: Final = ("rtt", "jitter", "loss", "load", "backbone", "bias")


class Pricing:
    """How a belief is priced. ``load`` and ``backbone`` are what PoPs tell of themselves; they are 0 as long
    as none does."""

    __slots__ = ("jitter_weight", "loss_penalty")

    def __init__(self, settings: Settings) -> None:
        self.jitter_weight = settings.jitter_weight
        self.loss_penalty = settings.loss_penalty

    def terms(self, legs: Sequence[Estimate], bias: float) -> Terms:
        """The cost in ms, term by term, with ``total``: their sum. A path costs what its worst leg costs."""
        worst = max(legs, key=self.leg)
        terms = {
            "rtt": min(worst.mean, RTT_MAX),
            "jitter": self.jitter_weight * min(worst.jitter, JITTER_MAX),
            "loss": self.loss_penalty * worst.loss,
            "load": 0.0,
            "backbone": 0.0,
            "bias": bias,
        }
        return {**terms, "total": self.leg(worst) + bias}

    def leg(self, leg: Estimate) -> float:
        """The cost of one leg, without bias."""
        rtt, jitter = leg.mean, leg.jitter
        if rtt > RTT_MAX or jitter > JITTER_MAX:
            rtt, jitter = min(rtt, RTT_MAX), min(jitter, JITTER_MAX)
        if leg.loss:
            return rtt + self.jitter_weight * jitter + self.loss_penalty * leg.loss
        return rtt + self.jitter_weight * jitter
