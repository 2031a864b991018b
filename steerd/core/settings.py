"""What the engine must know of the configuration: frozen, opaque names, no prefix, device, address or mark."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType

PathId = NewType("PathId", str)
"""``pop/name``. Opaque to the core."""

PolicyId = NewType("PolicyId", str)

FIRST_WITHIN: Final = 1.0
"""However long its interval, a path is probed for the first time within so many seconds: without a choice there is no
traffic."""


class WhenNone(StrEnum):
    """What a policy's traffic does when no allowed path is left."""

    KEEP = "keep"
    BLOCK = "block"


class Objective(StrEnum):
    """What a policy's cost is made of."""

    COST = "cost"  # delay, jitter and loss, each at its weight
    MOS = "mos"  # how a call sounds


class Codec(StrEnum):
    """What speech is coded with, where the objective is how it sounds; ``G711_PLC`` conceals lost packets."""

    G711_PLC = "g711-plc"
    G711 = "g711"
    G729A = "g729a"
    G723 = "g723.1"
    GSM_EFR = "gsm-efr"


@dataclass(frozen=True, slots=True)
class PathSettings:
    """One way to one PoP.

    ``uplink`` names what the path's packets leave by; paths on one uplink share its fate. ``bias`` is an
    added cost in ms. ``interval`` is the active path's probing period and ``standby_interval`` that of the
    others; ``timeout`` is when an unanswered probe is settled as lost; ``down_after`` the least time
    without an answer before the path counts as down (all in seconds). ``legs`` is how many targets are
    probed (one per family that has a target of its own); the path is as good as its worst leg. ``capacity`` counts
    against that of other paths only: how much more traffic it takes where several share it. ``probed`` is a name for
    what is probed, and how: with another one nothing that was believed of the path holds.
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
    capacity: float = 1.0
    probed: str = ""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A set of destinations that move together, and the paths that they may use.

    ``forbidden`` maps each path that this policy may never use to the reason, for people
    (``"region us is not among de, fr"``). Every other path is a candidate.

    The weights multiply those terms of the cost for this policy alone; with ``objective`` MOS only that of the bias
    counts, and ``codec`` does. ``preferred`` gives paths that are worth something to this policy, in ms, by which
    they are cheaper. For ``min_dwell`` seconds after a switch only force moves the policy. Up to ``spread`` paths
    share its traffic, those that cost at most ``spread_within`` ms more than the choice.

    ``service``: where its traffic goes from the PoP on ("": that costs nothing); ``through``: the PoPs that it may
    cross on its way there.
    """

    policy: PolicyId
    forbidden: tuple[tuple[PathId, str], ...] = ()
    when_none: WhenNone = WhenNone.KEEP
    objective: Objective = Objective.COST
    codec: Codec = Codec.G711_PLC
    rtt_weight: float = 1.0
    jitter_weight: float = 1.0
    loss_weight: float = 1.0
    bias_weight: float = 1.0
    preferred: tuple[tuple[PathId, float], ...] = ()
    min_dwell: float = 0.0
    spread: int = 1
    spread_within: float = 50.0
    service: str = ""
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """The default rule: textbook rules on paper, of which the cheapest is followed. ``price`` is what a switch costs,
    in ms*s. ``only`` one of them, by name, for replay."""

    price: float = 100.0
    only: str = ""


@dataclass(frozen=True, slots=True)
class RegretSettings:
    """The work function alone. ``price`` is what a switch costs, in ms*s."""

    price: float = 100.0


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

    ``round`` is the period, in seconds, at whose ends the rules look; 0: see `offline`. ``ignore_below`` in ms: for
    less nothing moves. Of a policy's paths at most ``max_active`` are candidates; the others are scouts, probed every
    ``scout_interval`` seconds. ``mtu_penalty`` in ms: what a path costs more on which large packets vanish.
    ``load_penalty`` in ms: what a path costs more whose PoP says that it is fully loaded. ``gate``: the g of what keeps
    many gateways from moving together (`steerd.core.policy.gate`; 0: they may). ``failover_within`` in ms: at a
    fail-over a path that is so much worse than the best has 1/e of its chance to be taken (0: it has none).
    ``backbone_max`` in ms: the most that the way from a PoP to a policy's service costs, and what it costs while
    nothing is known of it.
    """

    paths: tuple[PathSettings, ...] = ()
    policies: tuple[PolicySettings, ...] = ()
    rule: PanelSettings | RegretSettings | ThresholdSettings = field(default_factory=PanelSettings)
    round: float = 1.0
    half_life: float = 2.0
    loss_penalty: float = 200.0
    jitter_weight: float = 1.0
    ignore_below: float = 2.0
    mtu_penalty: float = 100.0
    load_penalty: float = 0.0
    backbone_max: float = 100.0
    max_active: int = 12
    scout_interval: float = 30.0
    gate: float = 0.0
    failover_within: float = 0.0

    @property
    def offline(self) -> bool:
        """Whether a trace is replayed: there is no grid, nobody probes, and `Engine.sweep` ends the rounds."""
        return self.round <= 0.0
