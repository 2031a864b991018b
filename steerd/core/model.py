"""What goes into the engine (events), what comes out (effects), and what it shows (views)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NamedTuple

from steerd.core.settings import PathId, PolicyId, Settings


class Outcome(Enum):
    """What became of a probe. Every LOST was OVERDUE first; LOCAL and VOID say nothing of the path."""

    REPLY = "reply"
    OVERDUE = "overdue"  # unanswered after the path's patience: evidence for health only
    LOST = "lost"  # settled at the timeout: only this counts as loss
    LATE = "late"  # answered after it was settled: undoes that loss, and its RTT counts
    DUPLICATE = "duplicate"
    ERROR = "error"  # an ICMP error: a hint, rate-limited by nature
    LOCAL = "local"  # our own send failed or our buffer overflowed
    VOID = "void"  # clock step, suspend, stall


class Finding(StrEnum):
    """What an operator should know of how a path is probed. The engine decides nothing on it."""

    LOCAL = "local"  # this machine can not send the probes
    RATE_LIMITED = "rate-limited"  # the target seems to answer only so many
    ICMP_ONLY = "icmp-only"  # the target answers ICMP, but not the method that is asked for
    UNRESOLVED = "unresolved"  # the target's name has no address
    BUDGET = "budget"  # the device's budget allows fewer probes than wanted


class PathState(StrEnum):
    UP = "up"
    SUSPECT = "suspect"  # a probe is overdue, its tunnel is stale, or nothing was ever heard
    DOWN = "down"
    RECOVERING = "recovering"  # answers again, not yet trusted
    ABSENT = "absent"  # its device is down or not there, or the kernel refuses its next hop


class PolicyState(StrEnum):
    STEERING = "steering"  # on a usable path
    HELD = "held"  # no usable path; the last choice stays (when_none = keep, or a hard pin)
    LOCAL_OUTAGE = "local-outage"  # nothing answers on the uplink: the fault is on this side
    BLOCKED = "blocked"  # no usable path; when_none = block
    NONE = "none"  # no choice was made yet


class Reason(StrEnum):
    """Why a choice was made: the label of steerd_switches_total."""

    START = "start"
    BETTER = "better"
    DOWN = "down"
    ABSENT = "absent"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    PIN = "pin"
    POLICY = "policy"
    KERNEL = "kernel"


class Share(NamedTuple):
    """Which part of a policy's traffic a path takes, from 0 to 1."""

    path: PathId
    part: float


Shares = tuple[Share, ...]
"""The choice's own first; they make up 1. Empty: the choice has all."""


# Events: what happened.


class Probed(NamedTuple):
    """The outcome of one probe: the hot one. ``sent_at`` and ``rtt`` in seconds; ``rtt`` is meant for REPLY
    and LATE only."""

    path: PathId
    outcome: Outcome
    sent_at: float
    rtt: float = 0.0
    leg: int = 0


@dataclass(slots=True)
class Swept:
    """A whole round at once, as traces have it: what the probes sent at ``sent_at`` brought, and the round's end.
    ``rtts`` belong to ``paths`` one by one, in *milliseconds*; None: lost. The same as the `Probed` events one by
    one; needs ``Settings.round == 0``. Not a NamedTuple like the others: those take twice as long to make."""

    sent_at: float
    paths: Sequence[PathId]
    rtts: Sequence[float | None]


class Link(NamedTuple):
    """The path's device can carry packets (``up``), or can not."""

    path: PathId
    up: bool


class PathMtu(NamedTuple):
    """The largest IP packet, in bytes, that gets to the path's targets and back, and the one that its device claims to
    carry. ``told``: who sends a larger one is told so by ICMP (RFC 1191, RFC 8201), and learns to send smaller ones."""

    path: PathId
    mtu: int
    device_mtu: int
    told: bool = False

    @property
    def black_hole(self) -> bool:
        """Whether packets that the device takes vanish on the way, and nobody says so (RFC 2923)."""
        return self.mtu < self.device_mtu and not self.told


class Tunnel(NamedTuple):
    """What the tunnel that a path leads through says of itself: ``stale`` has in words why it seems dead, or nothing
    when it does not (any more). A hint: only probes take a path down."""

    path: PathId
    stale: str


class PopState(NamedTuple):
    """What a PoP says of itself. ``load`` 0 to 1, or None when it does not say; ``age`` in seconds."""

    pop: str
    accepting: bool
    load: float | None = None
    age: float = 0.0


class Verb(StrEnum):
    PIN = "pin"
    UNPIN = "unpin"
    DRAIN = "drain"
    UNDRAIN = "undrain"


class Order(NamedTuple):
    """An operator's word, or a signed message. ``subject`` is a PoP (drain, undrain) or a policy (pin,
    unpin); ``to`` the PoP to pin to; ``until`` on the engine's clock, None: stands."""

    verb: Verb
    subject: str
    to: str | None = None
    until: float | None = None
    origin: str = "operator"
    hard: bool = False


class Installed(NamedTuple):
    """What the kernel has now: after adoption, apply and repair alike. ``error``: the apply failed, and
    ``best`` and ``runner_up`` tell what is there instead. ``mismatch``: all of it is there, and still the kernel sends
    the policy's packets another way; no other choice would mend that, so it is shown and not acted upon."""

    policy: PolicyId
    best: PathId | None
    runner_up: PathId | None = None
    error: str | None = None
    mismatch: str | None = None
    shares: Shares = ()


class Configured(NamedTuple):
    settings: Settings


Event = Probed | Swept | Link | PathMtu | Tunnel | PopState | Order | Installed | Configured


# Effects, wanted state: idempotent, the latest replaces the former.


class Cadence(NamedTuple):
    """Probe ``path`` every ``every`` seconds (None: rest); a probe unanswered for ``patience`` seconds is
    overdue."""

    path: PathId
    every: float | None
    patience: float


class Steer(NamedTuple):
    """Point the policy at ``best``, and as ``shares`` say at others too; None: nothing may be used, and the policy is
    to be blocked."""

    policy: PolicyId
    best: PathId | None
    runner_up: PathId | None
    event_id: str
    shares: Shares = ()


# Effects, facts: journal, store, metrics and MQTT word them for themselves.

Terms = Mapping[str, float]


class Switched(NamedTuple):
    """A choice changed.

    ``rule`` says by what: ``regret``, ``confident``, ``threshold``, ``forced``, ``first`` or ``kernel``.
    ``evidence`` gives per candidate the cost's terms, ``total``, and what else the rule looked at, in ms
    (``regret`` in ms*s, ``samples`` a count, ``mos`` from 1 to 4.5); ``excluded`` the paths that were ruled out,
    and why; ``margin`` what the rule's test compared; ``by`` whose drain or pin it was.
    """

    event_id: str
    policy: PolicyId
    old: PathId | None
    new: PathId | None
    reason: Reason
    at: float
    rule: str
    evidence: Mapping[PathId, Terms]
    excluded: Mapping[PathId, str]
    margin: Terms
    by: str | None = None


class PathChanged(NamedTuple):
    path: PathId
    old: PathState
    new: PathState
    reason: str
    at: float


class Shared(NamedTuple):
    """Other paths than before share a policy's traffic, or in other parts. ``why`` in words."""

    policy: PolicyId
    old: Shares
    new: Shares
    why: str
    at: float


class Declined(NamedTuple):
    """A known event that was not acted on, and why: counted, never silent."""

    event: Event
    reason: str


Effect = Cadence | Steer | Switched | Shared | PathChanged | Declined


# Views: made when someone looks.


@dataclass(frozen=True, slots=True)
class PathView:
    """What is believed of a path. RTT, sd, jitter in ms; ``age`` is the time since the last reply, in
    seconds (None: never heard); ``hold`` is how long it still ranks behind others. ``size`` is what was found last of
    how large packets may be (None: nothing yet)."""

    path: PathId
    pop: str
    uplink: str
    state: PathState
    reason: str
    since: float  # seconds ago
    rtt: float | None
    sd: float | None
    jitter: float | None
    loss: float
    n: int
    age: float | None
    every: float | None
    patience: float
    hold: float
    size: PathMtu | None = None


class Directions(NamedTuple):
    """What is known of the way out to a target and of the way back alone: the share of packets lost, and the delay
    variation in seconds. None: not known."""

    loss_out: float | None = None
    loss_back: float | None = None
    variation_out: float | None = None
    variation_back: float | None = None


class ProbingView(NamedTuple):
    """How a path is probed, as the prober sees it.

    ``targets``: the address of each leg, or its name as long as that is not resolved; ``names``: of each that has a
    name, which address it has and why. ``every`` and ``local_queue`` in seconds, the first as the device's budget
    allows it (None: at rest). ``findings`` with a sentence each. ``directions`` of each leg; None where the method
    can not tell.
    """

    method: str
    targets: tuple[str, ...]
    every: float | None
    local_queue: float
    findings: Mapping[Finding, str]
    directions: tuple[Directions | None, ...]
    names: tuple[str, ...] = ()


class TunnelView(NamedTuple):
    """The WireGuard tunnel of a path, as last read. ``peer``: its public key; ``handshake``: the age of the latest
    one in seconds (None: there was none); ``rx`` and ``tx`` in bytes since the tunnel was set up; ``stale``: in words
    why it is, or None."""

    peer: str
    handshake: float | None
    rx: int
    tx: int
    stale: str | None = None


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One path as one policy sees it now. ``terms``: the cost's terms with ``total``, in ms (empty when
    nothing is known); ``excluded``: why it may not be used now, or None."""

    path: PathId
    terms: Terms
    excluded: str | None
    rank: Terms


@dataclass(frozen=True, slots=True)
class PolicyView:
    policy: PolicyId
    state: PolicyState
    choice: PathId | None
    runner_up: PathId | None
    wanted: PathId | None
    error: str | None
    since: float | None  # seconds ago that the choice was made or adopted
    pin: str | None
    pin_hard: bool
    pin_for: float | None
    candidates: tuple[CandidateView, ...]
    last: Switched | None
    outlook: str  # what would have to change for the choice to change
    dwell: float = 0.0  # seconds for which only force may move it: what is left of its min_dwell
    shares: Shares = ()


@dataclass(frozen=True, slots=True)
class DrainView:
    pop: str
    origin: str
    left: float | None  # seconds; None: stands


@dataclass(frozen=True, slots=True)
class View:
    """A frozen snapshot: status, why, /metrics and score are worded from it."""

    now: float
    epoch: int
    paths: tuple[PathView, ...]
    policies: tuple[PolicyView, ...]
    drains: tuple[DrainView, ...]
    declined: Mapping[str, int]


# Memory: what survives a restart. Ages and time left, never clock readings.


@dataclass(frozen=True, slots=True)
class PinMemory:
    policy: PolicyId
    pop: str
    hard: bool
    left: float | None
    origin: str


@dataclass(frozen=True, slots=True)
class DrainMemory:
    pop: str
    left: float | None
    origin: str


@dataclass(frozen=True, slots=True)
class HoldMemory:
    """The damping of a path that was down: the last hold-down's length, how long ago it began, time left."""

    path: PathId
    length: float
    age: float
    left: float


@dataclass(frozen=True, slots=True)
class Memory:
    pins: tuple[PinMemory, ...] = ()
    drains: tuple[DrainMemory, ...] = ()
    holds: tuple[HoldMemory, ...] = field(default=())
    sizes: tuple[PathMtu, ...] = ()
