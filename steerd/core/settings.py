"""What the engine must know of the configuration: frozen, opaque names, no prefix, device, address or mark."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

PathId = NewType("PathId", str)
"""``pop/name``. Opaque to the core."""

PolicyId = NewType("PolicyId", str)


class WhenNone(StrEnum):
    """What a policy's traffic does when no allowed path is left."""

    KEEP = "keep"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class PathSettings:
    """One way to one PoP.

    ``uplink`` names what the path's packets leave by; paths on one uplink share its fate. ``bias`` is an
    added cost in ms. ``interval`` is the active path's probing period and ``standby_interval`` that of the
    others; ``timeout`` is when an unanswered probe is settled as lost; ``down_after`` the least time
    without an answer before the path counts as down (all in seconds). ``legs`` is how many targets are
    probed (one per family that has a target of its own); the path is as good as its worst leg.
    """

    path: PathId
    pop: str
    uplink: str
    bias: float = 0.0
    interval: float = 1.0
    standby_interval: float = 1.0
    timeout: float = 1.0
    down_after: float = 0.0
    legs: int = 1


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A set of destinations that move together, and the paths that they may use.

    ``forbidden`` maps each path that this policy may never use to the reason, for people
    (``"region us is not among de, fr"``). Every other path is a candidate.
    """

    policy: PolicyId
    forbidden: tuple[tuple[PathId, str], ...] = ()
    when_none: WhenNone = WhenNone.KEEP


@dataclass(frozen=True, slots=True)
class RegretSettings:
    """The default rule. ``price`` is what a switch costs, in ms*s; ``horizon`` is how far the confident
    test looks ahead, in seconds."""

    price: float = 100.0
    horizon: float = 20.0


@dataclass(frozen=True, slots=True)
class ThresholdSettings:
    """The rule that most peers have: better by ``margin`` (a ratio of the current cost) and by
    ``margin_ms``, for ``hold`` seconds on end."""

    margin: float = 0.10
    margin_ms: float = 3.0
    hold: float = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the engine knows of the configuration.

    ``round`` is the period, in seconds, at whose ends the rules look; 0 means that the driver ends the
    rounds itself with `Swept` (replay does) and brings samples of its own, so that no cadence is asked
    for. ``ignore_below`` in ms: never switch for less.
    """

    paths: tuple[PathSettings, ...] = ()
    policies: tuple[PolicySettings, ...] = ()
    rule: RegretSettings | ThresholdSettings = field(default_factory=RegretSettings)
    round: float = 1.0
    half_life: float = 2.0
    loss_penalty: float = 200.0
    jitter_weight: float = 1.0
    ignore_below: float = 2.0
