"""Probing by TCP: a connection for each probe, reset as soon as it is answered. A refusal is an answer, too.

The RTT of the handshake is what the kernel measured, with the wait in our own queue. An answer after the timeout is
ignored, and an ICMP error ends the probe.
"""

import errno
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Self

from steerd.config.settings import IPV4, ProbePath
from steerd.net.sockets import address_family
from steerd.probe.carrier import Answer, Fault, Find, Heard, Leg
from steerd.probe.error import ProbeError
from steerd.probe.methods.resets import Endpoints, Resets
from steerd.probe.methods.sockets import allow_many
from steerd.probe.outcomes.ledger import Flight

MOST: Final = 8192
"""Connections under way at once, at most."""

# Not in the socket module: linux/in.h; then struct tcp_info (linux/tcp.h) as far as it is read.
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_TCP_INFO: Final = struct.Struct("=68xI28xI")

_TOS, _TRAFFIC_CLASS = (socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
_RESET: Final = struct.pack("@ii", 1, 0)  # struct linger: closing resets, and leaves nothing behind
_ONE_MORE: Final = 1  # SYN after the first, the fewest that the kernel may be told; our timeout is often shorter
_WORDS_OF_PEER: Final = (0, errno.ECONNRESET, errno.EPIPE)  # connected, and perhaps closed again
_SILENCE: Final = errno.ETIMEDOUT


class TcpLeg(Leg):
    """A leg that is asked for a connection: each probe has a port of its own."""

    __slots__ = ()
    carrier: "TcpCarrier"

    def ask(self, flight: Flight[Self]) -> None:
        self.carrier.asked.append(flight)

    def settled(self, flight: Flight[Self]) -> None:
        self.carrier.settled(flight)

    def drop(self) -> None:
        self.carrier.drop(self)


class Attempt(NamedTuple):
    """One connection. ``began_ns`` is CLOCK_REALTIME."""

    flight: Flight[TcpLeg]
    sock: socket.socket
    began_ns: int


class TcpCarrier:
    """A `steerd.probe.carrier.Carrier` for one family. ``asked`` are the probes to send next; ``attempts``, by
    descriptor, the handshakes under way. Raises `ProbeError` if it cannot see refusals."""

    overflowed = False
    """Never: each answer is in a socket of its own."""

    def __init__(self, family: int, find: Find) -> None:
        self.asked: list[Flight[TcpLeg]] = []
        self._family = family
        self._find = find
        self._resets = Resets(family)
        self._epoll = select.epoll()
        self.attempts: dict[int, Attempt] = {}
        allow_many()

    def close(self) -> None:
        for attempt in tuple(self.attempts.values()):
            self._end(attempt)
        self._resets.close()
        self._epoll.close()

    def leg(self, settings: ProbePath, index: int) -> TcpLeg:
        if not settings.port:
            raise ProbeError(f"path {settings.path}: probing by tcp needs a port")
        return TcpLeg(settings, index, self)

    def drop(self, leg: TcpLeg) -> None:
        """End all that is under way for this leg."""
        for attempt in tuple(self.attempts.values()):
            if attempt.flight.owner is leg:
                self._end(attempt)

    def settled(self, flight: Flight[TcpLeg]) -> None:
        """End what is under way for this probe."""
        attempt = self.attempts.get(flight.identifier)
        if attempt is not None and attempt.flight is flight:
            self._end(attempt)

    def send(self) -> Iterable[tuple[Flight[TcpLeg], int]]:
        flights, self.asked = self.asked, []
        return [(flight, self._send(flight)) for flight in flights]

    def _send(self, flight: Flight[TcpLeg]) -> int:
        leg = flight.owner
        if not leg.packed:
            return errno.EDESTADDRREQ
        if len(self.attempts) >= MOST:
            return errno.EMFILE
        try:
            sock = socket.socket(address_family(self._family), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            return error.errno or errno.EIO
        try:
            self._address(sock, leg)
            began_ns = time.time_ns()
            code = sock.connect_ex((leg.address, leg.settings.port))
        except OSError as error:
            code = error.errno or errno.EIO
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            return code
        flight.identifier = sock.fileno()
        self.attempts[sock.fileno()] = Attempt(flight, sock, began_ns)
        self._epoll.register(sock.fileno(), select.EPOLLOUT)
        return 0

    def _address(self, sock: socket.socket, leg: Leg) -> None:
        """Send the connection down this leg's path."""
        own = leg.settings
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, _ONE_MORE)
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
        """The kernel does not stamp a SYN."""

    def heard(self) -> Iterator[Heard]:
        refused: list[tuple[Attempt, Endpoints]] = []
        for descriptor, _ in self._epoll.poll(0, max(1, len(self.attempts))):
            attempt = self.attempts[descriptor]
            error = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            rtt_us, repeated = _TCP_INFO.unpack(
                attempt.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            )
            known = self._find(attempt.flight.number) is not None
            if known and not repeated and error == errno.ECONNREFUSED:
                peer = attempt.flight.owner
                port = attempt.sock.getsockname()[1]
                refused.append((attempt, Endpoints(port, peer.packed, peer.settings.port)))
                continue
            # The answer to a SYN that was sent twice says nothing: it may be to either.
            if known and not repeated and error in _WORDS_OF_PEER:
                yield from self._accepted(attempt, rtt_us / 1e6)
                continue
            self._end(attempt)
            if known and not repeated and error != _SILENCE:
                yield Fault(attempt.flight)
        # Read what the raw socket saw after the kernel spoke, so that its resets are there.
        seen, now_ns = self._resets.read(), time.time_ns()
        for attempt, endpoints in refused:
            self._end(attempt)
            yield from self._refused(attempt, max(0, seen.get(endpoints, now_ns) - attempt.began_ns) / 1e9)

    def _accepted(self, attempt: Attempt, rtt: float) -> Iterable[Heard]:
        """The connection is there, after a handshake of ``rtt`` seconds, or was closed again at once."""
        self._end(attempt)
        return (Answer(attempt.flight, rtt),)

    def _refused(self, attempt: Attempt, rtt: float) -> Iterable[Heard]:
        """The connection, which has been ended, was refused after ``rtt`` seconds."""
        return (Answer(attempt.flight, rtt),)

    def _end(self, attempt: Attempt) -> None:
        self.attempts.pop(attempt.sock.fileno(), None)
        attempt.sock.close()
