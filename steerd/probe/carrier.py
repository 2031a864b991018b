"""What the prober asks of a method: one carrier for each method and family, each with legs of its own.

A carrier knows packets and sockets, and nothing of time tables or outcomes. It is looked at once a tick: first
`departures`, then `heard`, then `send` with all that is due.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from steerd.config.settings import ProbePath
from steerd.core.views import Directions
from steerd.probe.ledger import Flight
from steerd.probe.leg import Leg

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
        """A new leg: the target ``index`` of this path. Raises `ProbeError` if it can not be."""
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
        """What is known of each direction alone; None: this method can not tell them apart."""
        ...

    def drop(self, leg: Leg) -> None:
        """The leg is not probed any more: let go what it holds."""
        ...

    def close(self) -> None: ...
