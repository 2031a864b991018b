"""How a policy prices what is measured of a path: its tariff. All costs in ms, loss as a ratio.

There are two: the sum of weighted terms, which nearly every policy has, and how a call sounds
(`steerd.core.cost.voice`).
"""

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, Protocol

from steerd.core.cost import voice
from steerd.core.settings import Codec, Objective, PolicySettings, Settings

RTT_MAX: Final = 2000.0
JITTER_MAX: Final = 1000.0
"""Bounds of the terms, in ms: no single measurement outweighs everything else for ever."""


class Measured(NamedTuple):
    """What is measured of a leg, in ms of cost."""

    rtt: float
    jitter: float
    loss: float


class Heard(Protocol):
    """What a tariff asks of a leg: RTT and jitter in ms, loss as a ratio. As `Estimate` has them."""

    @property
    def mean(self) -> float: ...
    @property
    def jitter(self) -> float: ...
    @property
    def loss(self) -> float: ...


class Tariff(Protocol):
    """How one policy prices what is measured of one leg. ``missing``, in ms: what a probe that is overdue pays beside
    what is believed of the leg. ``rtt_weight``: by how much the cost grows with the RTT."""

    @property
    def missing(self) -> float: ...
    @property
    def rtt_weight(self) -> float: ...

    def cost(self, leg: Heard) -> float:
        """What is believed of the leg, in ms: the sum of `terms`."""
        ...

    def terms(self, leg: Heard) -> Measured:
        """The same, term by term."""
        ...

    def paid(self, leg: Heard, rtt: float) -> float:
        """What a single probe pays that took ``rtt`` ms."""
        ...

    def shown(self, leg: Heard) -> dict[str, float]:
        """What else is to be shown of a leg beside its cost."""
        ...


@dataclass(frozen=True, slots=True)
class Weighted:
    """The sum of the common terms, each at the policy's own weight. ``missing``, in ms, is what a lost probe pays by
    itself, as it does for all others; ``rate_penalty`` is what a weight above 1 adds to it. That counts by the rate
    of loss that is believed: rules let no single probe pay much, so that they would hardly notice."""

    rtt_weight: float
    jitter_weight: float
    missing: float
    rate_penalty: float

    def cost(self, leg: Heard) -> float:
        return self.paid(leg, leg.mean) + self.missing * leg.loss

    def terms(self, leg: Heard) -> Measured:
        jitter = self.jitter_weight * min(leg.jitter, JITTER_MAX)
        loss = (self.missing + self.rate_penalty) * leg.loss
        return Measured(self.cost(leg) - jitter - loss, jitter, loss)

    def paid(self, leg: Heard, rtt: float) -> float:
        jitter = leg.jitter
        if rtt > RTT_MAX:
            rtt = RTT_MAX
        if jitter > JITTER_MAX:
            jitter = JITTER_MAX
        paid = self.rtt_weight * rtt + self.jitter_weight * jitter
        return paid + self.rate_penalty * leg.loss if self.rate_penalty else paid

    def shown(self, leg: Heard) -> dict[str, float]:  # noqa: ARG002
        return {}


@dataclass(frozen=True, slots=True)
class Voice:
    """The equivalent delay of a call: the RTT of a path without jitter and loss over which it would sound as this
    one lets it sound. Such a path costs its RTT; jitter costs the delay of the buffer that takes it up, and loss
    the delay that would lower the E-model's rating as far. See `steerd.core.cost.voice`."""

    codec: Codec
    rtt_weight: ClassVar[float] = 1.0
    missing: ClassVar[float] = 0.0
    """A call hears the rate of loss, and by far not in proportion: one probe cannot have paid for it alone, so what is
    believed of loss counts all the time."""

    def cost(self, leg: Heard) -> float:
        return self.paid(leg, leg.mean)

    def terms(self, leg: Heard) -> Measured:
        return self._measured(leg, leg.mean)

    def paid(self, leg: Heard, rtt: float) -> float:
        return sum(self._measured(leg, rtt))

    def shown(self, leg: Heard) -> dict[str, float]:
        return {"mos": voice.mos(voice.rating(self._delay(leg), leg.loss, self.codec))}

    def _measured(self, leg: Heard, rtt: float) -> Measured:
        rtt, jitter = min(rtt, RTT_MAX), min(leg.jitter, JITTER_MAX)
        lost = voice.lost_delay(voice.delay(rtt, jitter), leg.loss, self.codec)
        return Measured(rtt, 2.0 * voice.BUFFER * jitter, 2.0 * lost)

    def _delay(self, leg: Heard) -> float:
        return voice.delay(min(leg.mean, RTT_MAX), min(leg.jitter, JITTER_MAX))


def tariff(policy: PolicySettings, settings: Settings) -> Tariff:
    """How this policy prices what is measured."""
    if policy.objective is Objective.MOS:
        return Voice(policy.codec)
    return Weighted(
        policy.rtt_weight,
        policy.jitter_weight * settings.jitter_weight,
        min(policy.loss_weight, 1.0) * settings.loss_penalty,
        max(policy.loss_weight - 1.0, 0.0) * settings.loss_penalty,
    )
