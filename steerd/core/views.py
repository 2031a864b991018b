"""What the engine shows, made when someone looks, and what the stages show of theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from steerd.core.cost.backbone import Way
from steerd.core.effects import Switched, Terms
from steerd.core.events import PathMtu, Shares
from steerd.core.memory import Standing
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, PolicyState


class Finding(StrEnum):
    """What an operator should know of how a path is probed. The engine decides nothing on it."""

    LOCAL = "local"  # this machine cannot send the probes
    RATE_LIMITED = "rate-limited"  # the target seems to answer only so many
    ICMP_ONLY = "icmp-only"  # the target answers ICMP, but not the method that is asked for
    UNRESOLVED = "unresolved"  # the target's name has no address
    TARGET = "target"  # one of its targets does not answer, while enough others do
    CAPTIVE = "captive"  # who answers in the target's place is not the Internet
    REFUSED = "refused"  # the target answers that it cannot, or will not, tell what it is asked
    ELSEWHERE = "answered-elsewhere"  # another address answers in the target's place
    RESIDENCE = "residence"  # the reflector claims more of the RTT for itself than is plausible
    BUDGET = "budget"  # the device's budget allows fewer probes than wanted


@dataclass(frozen=True, slots=True)
class PathView:
    """What is believed of a path; None: nothing, as of a dead one. RTT, sd, jitter in ms; ``loss`` from 0 to 1, of
    a dead path all; ``age`` is the time since the last reply, in seconds (None: never heard); ``hold`` is how long it
    still ranks behind others. ``size`` is what was found last of how large packets may be (None: nothing yet).
    ``scout``: it is looked at only now and then."""

    path: PathId
    pop: str
    uplink: str
    state: PathState
    reason: str
    since: float  # seconds ago
    rtt: float | None
    sd: float | None
    jitter: float | None
    loss: float | None
    n: int
    age: float | None
    every: float | None
    patience: float
    hold: float
    size: PathMtu | None = None
    scout: bool = False


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
    cannot tell.
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
    nothing is known); ``excluded``: why it may not be used now, or None; ``scout``: the rule is not shown it; ``way``:
    from its PoP to the policy's service, None where none is known."""

    path: PathId
    terms: Terms
    excluded: str | None
    rank: Terms
    scout: bool = False
    way: Way | None = None


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
    rule: Standing | None = None
    mismatch: str | None = None  # the error, where all is in place and packets go elsewhere, or nowhere, all the same
    service: str = ""


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
