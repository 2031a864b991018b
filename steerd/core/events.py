"""What goes into the engine: what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
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


class Share(NamedTuple):
    """Which part of a policy's traffic a path takes, from 0 to 1."""

    path: PathId
    part: float


Shares = tuple[Share, ...]
"""The choice's own first; they make up 1. Empty: the choice has all."""


SETTLED = frozenset({Outcome.REPLY, Outcome.LOST, Outcome.LATE})
"""Outcomes that say what a probe brought in the end; LATE takes the place of a LOST of the same round."""


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
    """All samples of one time at once, as traces have them: what the probes sent at ``sent_at`` brought. ``rtts``
    belong to ``paths`` one by one, in *milliseconds*; None: lost. For `Engine.sweep` alone, which is no event."""

    sent_at: float
    paths: Sequence[PathId]
    rtts: Sequence[float | None]


class Link(NamedTuple):
    """Packets can be routed to the path (``up``), or cannot, and ``why`` in words. ``device``: its device is there and
    up all the same; what is missing is an address or a next hop."""

    path: PathId
    up: bool
    why: str = ""
    device: bool = False


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


class BackboneLink(NamedTuple):
    """What a PoP measures of its link ``to`` another PoP, or to a service: RTT in ms, loss from 0 to 1."""

    to: str
    rtt: float
    loss: float


class BackboneLinks(NamedTuple):
    """What a PoP says of its links. It says so every ``interval`` seconds; ``age``: how old this is, in seconds."""

    links: tuple[BackboneLink, ...]
    interval: float = 10.0
    age: float = 0.0


class PopState(NamedTuple):
    """What a PoP says of itself. ``load`` 0 to 1, or None when it does not say; ``age``: that of the load, in seconds.
    ``backbone``: its links, None when it does not speak of them."""

    pop: str
    accepting: bool
    load: float | None = None
    age: float = 0.0
    backbone: BackboneLinks | None = None


class Carried(NamedTuple):
    """What this gateway's own traffic on the path amounts to, in bytes a second, both ways together."""

    path: PathId
    rate: float


class Hints(NamedTuple):
    """The PoPs that gateways of this region measure, the nearest first. Nothing is believed of them: scouts that stand
    first there are looked at more often."""

    pops: tuple[str, ...] = ()


class UplinkPrice(NamedTuple):
    """What an uplink costs. ``price``: so much more each path over it, in ms, at a policy's weight of biases; ``used``:
    which share of its cap is used up, 1 at most; 0: it has none, or that is of no matter. Both 0: it costs nothing."""

    uplink: str
    price: float
    used: float = 0.0


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


class Observed(NamedTuple):
    """While steerd only observes: by which path the kernel leads the policy's packets without us; None: by none, and
    ``words`` say where instead. No `Event`: it goes on record, and nothing is decided by it."""

    policy: PolicyId
    path: PathId | None
    words: str = ""


class Configured(NamedTuple):
    settings: Settings


Told = Link | PathMtu | Tunnel | Carried | PopState | Hints | UplinkPrice | Order | Installed | Configured
Event = Probed | Told
