"""Belief to cost: one number in ms per path and policy, the sum of named, bounded terms.

All policies share a path's own cost, `Pricing`, which each sample keeps current (`steerd.core.path`). A policy that
weighs it in another way has a `Tariff`, by which its paths are priced when its rule looks (`steerd.core.quote`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from steerd.core import voice
from steerd.core.estimate import Estimate
from steerd.core.model import Terms
from steerd.core.settings import Codec, Objective, PolicySettings, Settings

RTT_MAX: Final = 2000.0
JITTER_MAX: Final = 1000.0
"""Bounds of the terms, in ms: no single measurement outweighs everything else for ever."""

TERMS: Final = ("rtt", "jitter", "loss", "load", "backbone", "bias", "mtu", "prefer")

LEAST_LEFT: Final = 0.1
"""A preferred path costs at least this share of what it costs others: cheap, but never less than nothing, and
of two preferred paths the better one stays the cheaper one."""


class Pricing:
    """How a belief is priced. ``backbone`` is kept for what PoPs tell of their links; it is 0. ``mtu_penalty`` is what
    a black hole for large packets costs, and ``load_penalty`` a fully loaded PoP, both in ms."""

    __slots__ = ("jitter_weight", "load_penalty", "loss_penalty", "mtu_penalty")

    def __init__(self, settings: Settings) -> None:
        self.jitter_weight = settings.jitter_weight
        self.loss_penalty = settings.loss_penalty
        self.mtu_penalty = settings.mtu_penalty
        self.load_penalty = settings.load_penalty

    def terms(self, legs: Sequence[Estimate], bias: float, beside: "Beside") -> Terms:
        """The cost in ms, term by term, with ``total``: their sum. A path costs what its worst leg costs."""
        worst = max(legs, key=self.leg)
        jitter = self.jitter_weight * min(worst.jitter, JITTER_MAX)
        return named(Measured(min(worst.mean, RTT_MAX), jitter, self.loss_penalty * worst.loss), bias, beside)

    def leg(self, leg: Estimate) -> float:
        """The cost of one leg, without bias."""
        rtt, jitter = leg.mean, leg.jitter
        if rtt > RTT_MAX or jitter > JITTER_MAX:
            rtt, jitter = min(rtt, RTT_MAX), min(jitter, JITTER_MAX)
        if leg.loss:
            return rtt + self.jitter_weight * jitter + self.loss_penalty * leg.loss
        return rtt + self.jitter_weight * jitter


class Measured(NamedTuple):
    """What is measured of a leg, in ms of cost."""

    rtt: float
    jitter: float
    loss: float


class Beside(NamedTuple):
    """What a path costs whatever its probes bring, in ms, and for every policy the same: that large packets vanish on
    it, and that its PoP is loaded."""

    mtu: float = 0.0
    load: float = 0.0


def named(measured: Measured, bias: float, beside: Beside, prefer: float = 0.0) -> Terms:
    """The terms by name, with their sum, ``total``; ``prefer`` is 0 or less."""
    terms = {**dict.fromkeys(TERMS, 0.0), **measured._asdict(), "bias": bias, **beside._asdict(), "prefer": prefer}
    return {**terms, "total": sum(measured) + bias + sum(beside) + prefer}


class Tariff(Protocol):
    """How one policy prices what is measured."""

    @property
    def bias_weight(self) -> float: ...

    def measured(self, leg: Estimate, rtt: float) -> Measured:
        """What a leg costs, was its RTT ``rtt`` ms."""
        ...

    def paid(self, leg: Estimate, *, missing: bool) -> Measured:
        """What the last probe paid; ``missing``: it is overdue."""
        ...

    def slope(self, leg: Estimate) -> float:
        """By how many ms the cost grows for each ms of mean RTT."""
        ...

    def shown(self, leg: Estimate) -> Terms:
        """What else is to be shown of a leg beside its cost."""
        ...


@dataclass(frozen=True, slots=True)
class Weighted:
    """The common terms, each at the policy's own weight. ``loss_penalty`` is what a lost probe pays by itself, as it
    does for all others; ``rate_penalty`` is what a weight above 1 adds to it. That counts by the rate of loss that is
    believed: rules let no single probe pay much, so that they would hardly notice."""

    rtt_weight: float
    jitter_weight: float
    loss_penalty: float
    rate_penalty: float
    bias_weight: float

    def measured(self, leg: Estimate, rtt: float) -> Measured:
        return Measured(
            self.rtt_weight * min(rtt, RTT_MAX),
            self.jitter_weight * min(leg.jitter, JITTER_MAX),
            (self.loss_penalty + self.rate_penalty) * leg.loss,
        )

    def paid(self, leg: Estimate, *, missing: bool) -> Measured:
        rtt, jitter, _ = self.measured(leg, leg.mean if missing else leg.last_rtt)
        return Measured(rtt, jitter, self.rate_penalty * leg.loss + (self.loss_penalty if missing else 0.0))

    def slope(self, leg: Estimate) -> float:  # noqa: ARG002
        return self.rtt_weight

    def shown(self, leg: Estimate) -> Terms:  # noqa: ARG002
        return {}


@dataclass(frozen=True, slots=True)
class Voice:
    """The equivalent delay of a call: the RTT of a path without jitter and loss over which it would sound as this
    one lets it sound. Such a path costs its RTT; jitter costs the delay of the buffer that takes it up, and loss
    the delay that would lower the E-model's rating as far. See `steerd.core.voice`."""

    codec: Codec
    bias_weight: float

    def measured(self, leg: Estimate, rtt: float) -> Measured:
        rtt, jitter = min(rtt, RTT_MAX), min(leg.jitter, JITTER_MAX)
        lost = voice.lost_delay(voice.delay(rtt, jitter), leg.loss, self.codec)
        return Measured(rtt, 2.0 * voice.BUFFER * jitter, 2.0 * lost)

    def paid(self, leg: Estimate, *, missing: bool) -> Measured:
        """A call hears the rate of loss, and by far not in proportion: one probe can not have paid for it alone, so
        what is believed of loss counts all the time."""
        return self.measured(leg, leg.mean if missing else leg.last_rtt)

    def slope(self, leg: Estimate) -> float:
        return voice.slope(self._delay(leg), leg.loss, self.codec)

    def shown(self, leg: Estimate) -> Terms:
        return {"mos": voice.mos(voice.rating(self._delay(leg), leg.loss, self.codec))}

    def _delay(self, leg: Estimate) -> float:
        return voice.delay(min(leg.mean, RTT_MAX), min(leg.jitter, JITTER_MAX))


def tariff(policy: PolicySettings, common: Pricing) -> Tariff | None:
    """The policy's own way to price, or None: that of all others, but for what it prefers."""
    if policy.objective is Objective.MOS:
        return Voice(policy.codec, policy.bias_weight)
    weights = (policy.rtt_weight, policy.jitter_weight, policy.loss_weight, policy.bias_weight)
    if not policy.preferred and weights == (1.0, 1.0, 1.0, 1.0):
        return None
    return Weighted(
        policy.rtt_weight,
        policy.jitter_weight * common.jitter_weight,
        min(policy.loss_weight, 1.0) * common.loss_penalty,
        max(policy.loss_weight - 1.0, 0.0) * common.loss_penalty,
        policy.bias_weight,
    )
