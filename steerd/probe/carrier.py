"""What the prober asks of a method: one carrier for each method and family, each with legs of its own.

A carrier knows packets and sockets, and nothing of schedules or outcomes. Each tick calls first `departures`, then
`heard`; then it asks each leg that is due (`Leg.ask`), and has each carrier `send` all that its legs were asked. A leg
is one target of one path; what differs between methods is known to the legs of each.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple, Protocol, Self

from steerd.config.probe_settings import ProbePath, Target
from steerd.core.views import Directions, Finding
from steerd.net.sockets import address_family
from steerd.probe.outcomes.ledger import Flight
from steerd.probe.outcomes.limit import Limit
from steerd.probe.outcomes.poll import Poll

SILENT: Final = 5
"""Losses in a row after which the identifier changes (`Leg.renew`)."""


@dataclass(slots=True, eq=False)
class Leg:
    """``packed`` and ``address`` are those of the target, in the kernel's own form; empty while its name is not
    resolved. ``patience`` is in seconds; ``losses`` counts those in a row, and ``limit`` remembers them with the
    answers between them. ``answered_at``: when the last probe that was answered was sent. ``claims`` counts the answers
    in a row that claimed too much (`Answer.claimed`). ``identifier`` tells its next probes, where the method has one.
    ``refused_at`` and ``routed_at``: when this machine last refused to send a probe, and when it last had a route for
    them. ``carrier`` sends them. A leg that ``checks`` another only tests whether that one's target answers at all.
    ``wrong``: its newest answer was another than was expected, and what that is called.
    ``core``: which of the core's legs it is part of; ``poll`` tells that of all of them together, this one being at
    ``place`` there; None: it is the only one."""

    settings: ProbePath
    index: int
    carrier: "Carrier"
    target: Target = field(init=False)
    family: int = field(init=False)
    patience: float = field(init=False)
    losses: int = field(init=False, default=0)
    identifier: int = field(init=False, default=0)
    limit: Limit | None = field(init=False, default=None)
    answered_at: float = field(init=False, default=-inf)
    claims: int = field(init=False, default=0)
    refused_at: float = field(init=False, default=-inf)
    routed_at: float = field(init=False, default=-inf)
    checks: "Leg | None" = field(init=False, default=None)
    wrong: Finding | None = field(init=False, default=None)
    core: int = field(init=False)
    poll: Poll | None = field(init=False, default=None)
    place: int = field(init=False, default=0)
    packed: bytes = field(init=False, default=b"")
    address: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.target = self.settings.targets[self.index]
        self.family = self.target.family
        self.core = self.settings.legs.index(self.family)
        self.patience = self.settings.timeout
        if self.target.address:
            self.aim(self.target.address)

    def aim(self, address: str) -> None:
        """Probe this numeric address from now on."""
        family = address_family(self.family)
        self.packed = socket.inet_pton(family, address)
        self.address = socket.inet_ntop(family, self.packed)

    def ask(self, flight: Flight[Self]) -> None:
        """Have the carrier send this probe with the next that it sends."""
        raise NotImplementedError

    def settled(self, flight: Flight[Self]) -> None:
        """Nothing more is awaited of this probe: free what it holds."""

    def renew(self) -> None:
        """Send the next probes with another identifier or port: a NAT may hold this one in a dead state."""

    def directions(self) -> Directions | None:
        """What is known of each direction alone; None: the method cannot tell them apart."""
        return None

    def drop(self) -> None:
        """The leg is no longer probed: free what it holds."""


Find = Callable[[int], Flight[Leg] | None]
"""Gives the flight with this number, as long as it is remembered."""


class Answer(NamedTuple):
    """A probe was answered by its target, ``rtt`` seconds after it left this machine. ``claimed``: so much of that the
    target claims to have held it, which is not believed."""

    flight: Flight[Leg]
    rtt: float
    claimed: float = 0.0


class Fault(NamedTuple):
    """A router, or this machine's own kernel, reports an error about a probe: a hint, no answer."""

    flight: Flight[Leg]


class Stray(NamedTuple):
    """What only an answer to this probe can hold came, but from this ``address``, which is not the target's: no answer.
    Who changes addresses on the way may answer for the target, too, whatever becomes of the path."""

    flight: Flight[Leg]
    address: str


class Wrong(NamedTuple):
    """The target, or who speaks for it, answered something else than it was to (``words``): a finding, no answer."""

    flight: Flight[Leg]
    words: str
    finding: Finding = Finding.CAPTIVE


Heard = Answer | Fault | Stray | Wrong


class Carrier(Protocol):
    """Sends probes and reads what comes of them."""

    @property
    def overflowed(self) -> bool:
        """Whether packets were lost in our own receive buffer since `heard` was called before."""

    def leg(self, settings: ProbePath, index: int) -> Leg:
        """A new leg for the target ``index`` of this path. Raises `ProbeError` if the settings do not allow one."""

    def send(self) -> Iterable[tuple[Flight[Leg], int]]:
        """Send now what legs were asked. For each probe 0, or the errno with which this machine refused it."""

    def departures(self) -> None:
        """Tell each flight when it entered a queue of ours and when it left."""

    def heard(self) -> Iterator[Heard]:
        """What was received since the last call, and proved to be about a probe of ours."""

    def close(self) -> None:
        """Close all sockets."""
