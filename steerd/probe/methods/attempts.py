"""Probes that have a socket of their own each, and so a port: what `tcp`, `http` and `dns` share."""

import errno
import select
import socket
import time
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, NamedTuple, Self

from steerd.config.family import IPV4
from steerd.config.probe_settings import ProbePath
from steerd.net.sockets import address_family
from steerd.probe.carrier import Find, Heard, Leg
from steerd.probe.methods.sockets import allow_many
from steerd.probe.outcomes.ledger import Flight

MOST: Final = 8192
"""Probes under way at once, at most."""

_IP_BIND_ADDRESS_NO_PORT: Final = 24  # not in the socket module: linux/in.h
_TOS, _TRAFFIC_CLASS = (socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)


class AttemptLeg(Leg):
    """A leg whose probes have a port of their own each."""

    __slots__ = ()
    carrier: "AttemptCarrier"

    def ask(self, flight: Flight[Self]) -> None:
        self.carrier.asked.append(flight)

    def settled(self, flight: Flight[Self]) -> None:
        self.carrier.settled(flight)

    def drop(self) -> None:
        self.carrier.drop(self)


class Attempt(NamedTuple):
    """One probe. ``began_ns`` is CLOCK_REALTIME."""

    flight: Flight[AttemptLeg]
    sock: socket.socket
    began_ns: int


class AttemptCarrier:
    """A `steerd.probe.carrier.Carrier` for one family, but for what it hears. ``asked`` are the probes to send next;
    ``attempts``, by descriptor, those under way, which are ``awaited``."""

    kind: ClassVar[socket.SocketKind]
    awaited: ClassVar[int]
    overflowed = False
    """Never: each answer is in a socket of its own."""

    def __init__(self, family: int, find: Find) -> None:
        self.asked: list[Flight[AttemptLeg]] = []
        self.attempts: dict[int, Attempt] = {}
        self._family = family
        self._find = find
        self._epoll = select.epoll()
        allow_many()

    def close(self) -> None:
        for attempt in tuple(self.attempts.values()):
            self._end(attempt)
        self._epoll.close()

    def leg(self, settings: ProbePath, index: int) -> AttemptLeg:
        return AttemptLeg(settings, index, self)

    def drop(self, leg: AttemptLeg) -> None:
        """End all that is under way for this leg."""
        for attempt in tuple(self.attempts.values()):
            if attempt.flight.owner is leg:
                self._end(attempt)

    def settled(self, flight: Flight[AttemptLeg]) -> None:
        """End what is under way for this probe."""
        attempt = self.attempts.get(flight.identifier)
        if attempt is not None and attempt.flight is flight:
            self._end(attempt)

    def send(self) -> Iterable[tuple[Flight[AttemptLeg], int]]:
        flights, self.asked = self.asked, []
        return [(flight, self._send(flight)) for flight in flights]

    def _send(self, flight: Flight[AttemptLeg]) -> int:
        leg = flight.owner
        if not leg.packed:
            return errno.EDESTADDRREQ
        if len(self.attempts) >= MOST:
            return errno.EMFILE
        try:
            sock = socket.socket(address_family(self._family), self.kind | socket.SOCK_NONBLOCK)
        except OSError as error:
            return error.errno or errno.EIO
        try:
            self._address(sock, leg)
            began_ns = time.time_ns()
            code = self._begin(sock, flight)
        except OSError as error:
            code = error.errno or errno.EIO
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            return code
        flight.identifier = sock.fileno()
        self.attempts[sock.fileno()] = Attempt(flight, sock, began_ns)
        self._epoll.register(sock.fileno(), self.awaited)
        return 0

    def _begin(self, sock: socket.socket, flight: Flight[AttemptLeg]) -> int:
        """Send the probe. Returns 0, or the errno of its refusal, which may be raised as well."""
        return sock.connect_ex((flight.owner.address, flight.owner.settings.port))

    def _address(self, sock: socket.socket, leg: Leg) -> None:
        """Send the probe down this leg's path."""
        own = leg.settings
        if own.mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, own.mark)
        if own.device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, own.device.encode() + b"\0")
        if own.dscp:
            sock.setsockopt(*(_TOS if self._family == IPV4 else _TRAFFIC_CLASS), own.dscp << 2)
        if leg.target.source:
            # The port is chosen on connecting, when all four that tell a connection are known: more are free then.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((leg.target.source, 0))

    def departures(self) -> None:
        """The kernel is not asked for stamps of departure."""

    def heard(self) -> Iterator[Heard]:
        """What came of those under way."""
        raise NotImplementedError

    def _end(self, attempt: Attempt) -> None:
        self.attempts.pop(attempt.sock.fileno(), None)
        attempt.sock.close()
