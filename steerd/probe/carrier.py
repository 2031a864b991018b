"""What the prober asks of a method: one carrier for each method and family, each with legs of its own.

A carrier knows packets and sockets, and nothing of time tables or outcomes. It is looked at once a tick: first
`departures`, then `heard`, then `send` with all that is due. A leg is one target of one path, as every method sees it.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Final, NamedTuple, Protocol

from steerd.config.settings import ProbePath, Target
from steerd.core.views import Directions
from steerd.net.sockets import address_family
from steerd.probe.outcomes.ledger import Flight
from steerd.probe.outcomes.limit import Limit

SILENT: Final = 5
"""Losses in a row after which the identifier changes: a NAT on the way may hold it in a bad state."""


class Leg:
    """``packed`` and ``address`` are those of the target, in the kernel's own form; empty while its name is not
    resolved. ``patience`` is in seconds; ``losses`` counts those in a row, and ``limit`` remembers them with the
    answers between them. ``identifier`` is what its next probes are told by, where the method has such a thing.
    ``refused_at`` and ``routed_at``: when this machine last refused to send a probe, and when it last said that it has
    a route for them. ``carrier`` sends them. A leg that ``checks`` another is only asked whether that one's target
    is there at all."""

    __slots__ = (
        "address",
        "carrier",
        "checks",
        "family",
        "identifier",
        "index",
        "limit",
        "losses",
        "packed",
        "patience",
        "refused_at",
        "routed_at",
        "settings",
        "target",
    )

    def __init__(self, settings: ProbePath, index: int, carrier: "Carrier") -> None:
        self.settings = settings
        self.carrier = carrier
        self.index = index
        self.target: Target = settings.targets[index]
        self.family = self.target.family
        self.patience = settings.timeout
        self.losses = 0
        self.identifier = 0
        self.limit: Limit | None = None
        self.refused_at = -inf
        self.routed_at = -inf
        self.checks: Leg | None = None
        self.packed = b""
        self.address = ""
        if self.target.address:
            self.aim(self.target.address)

    def aim(self, address: str) -> None:
        """Probe this numeric address from now on."""
        family = address_family(self.family)
        self.packed = socket.inet_pton(family, address)
        self.address = socket.inet_ntop(family, self.packed)


Find = Callable[[int], Flight[Leg] | None]
"""The flight with this number, as long as it is remembered."""


class Answer(NamedTuple):
    """A probe was answered by its target, ``rtt`` seconds after it left this machine."""

    flight: Flight[Leg]
    rtt: float


class Fault(NamedTuple):
    """A router, or this machine's own kernel, reports an error about a probe: a hint, no answer."""

    flight: Flight[Leg]


class Carrier(Protocol):
    """Sends probes and reads what comes of them."""

    @property
    def overflowed(self) -> bool:
        """Whether packets were lost in our own receive buffer since `heard` was called before."""
        ...

    def leg(self, settings: ProbePath, index: int) -> Leg:
        """A new leg: the target ``index`` of this path. Raises `ProbeError` if it cannot be."""
        ...

    def send(self, flights: Sequence[Flight[Leg]]) -> Sequence[int]:
        """Send these probes now. For each 0, or the errno with which this machine refused it."""
        ...

    def departures(self) -> None:
        """Tell each flight when it entered a queue of ours and when it left."""
        ...

    def heard(self) -> Iterator[Answer | Fault]:
        """What was received since the last call, and proved to be about a probe of ours."""
        ...

    def settled(self, flight: Flight[Leg]) -> None:
        """Nothing more is awaited of this probe: let go what it holds."""
        ...

    def renew(self, leg: Leg) -> None:
        """Send the next probes of this leg with another identifier or port: a NAT on the way may hold the
        present one in a dead state. Also after `Leg.aim`: what was sent to another address is past."""
        ...

    def directions(self, leg: Leg) -> Directions | None:
        """What is known of each direction alone; None: this method cannot tell them apart."""
        ...

    def drop(self, leg: Leg) -> None:
        """The leg is not probed any more: let go what it holds."""
        ...

    def close(self) -> None: ...
