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
from typing import Final

from steerd.config.probe_settings import ProbePath
from steerd.probe.carrier import Answer, Fault, Find, Heard, Leg
from steerd.probe.error import ProbeError
from steerd.probe.methods.attempts import Attempt, AttemptCarrier, AttemptLeg
from steerd.probe.methods.resets import Endpoints, Resets

_TCP_INFO: Final = struct.Struct("=68xI28xI")
"""Of struct tcp_info (linux/tcp.h): the RTT in microseconds, and how many segments were sent again."""

_RESET: Final = struct.pack("@ii", 1, 0)  # struct linger: closing resets, and leaves nothing behind
_ONE_MORE: Final = 1  # SYN after the first, the fewest that the kernel may be told; our timeout is often shorter
_WORDS_OF_PEER: Final = (0, errno.ECONNRESET, errno.EPIPE)  # connected, and perhaps closed again
_SILENCE: Final = errno.ETIMEDOUT


class TcpCarrier(AttemptCarrier):
    """A `steerd.probe.carrier.Carrier` for one family; an attempt is a handshake. Raises `ProbeError` if it cannot see
    refusals."""

    kind = socket.SOCK_STREAM
    awaited = select.EPOLLOUT

    def __init__(self, family: int, find: Find) -> None:
        super().__init__(family, find)
        self._resets = Resets(family)

    def close(self) -> None:
        super().close()
        self._resets.close()

    def leg(self, settings: ProbePath, index: int) -> AttemptLeg:
        if not settings.port:
            raise ProbeError(f"path {settings.path}: probing by tcp needs a port")
        return super().leg(settings, index)

    def _address(self, sock: socket.socket, leg: Leg) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, _ONE_MORE)
        super()._address(sock, leg)

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
