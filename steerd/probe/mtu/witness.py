"""A second opinion: far sides may drop large echo requests and nothing else.

A datagram of the size in doubt goes to a port where nobody listens. If the target says so (RFC 792, RFC 4443), packets
of this size get there, whatever becomes of echo requests; if it says nothing, nothing is known.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from steerd.config.family import IPV4
from steerd.faults import Boundary, Reader
from steerd.net.icmp import HEADERS
from steerd.net.sockets import address_family, never_fragment
from steerd.probe.mtu.large_echo import Run
from steerd.probe.wire import datagram as wire

_TRIES: Final = 3
_PORT: Final = 33_434  # where traceroute asks, since nobody listens there
_UNREACHABLE: Final = {(2, 3, 3), (3, 1, 4)}
"""Origin (ICMP, ICMPv6), type and code of "port unreachable" in struct sock_extended_err (linux/errqueue.h)."""
_HEADER: Final = 8  # of UDP
_READ: Final = 16
_FAMILY: Final = 2  # bytes before the port, in struct sockaddr_in and sockaddr_in6


class Witness:
    """Asks at once, and twice more. ``told`` hears whether packets of ``size`` bytes of IP get to the target of the
    ``run``; not after `close`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, run: Run, size: int, timeout: float, told: Callable[[bool], None]
    ) -> None:
        """Raises `OSError`."""
        self._loop = loop
        self._run = run
        self._payload = bytes(size - HEADERS[run.leg.family])
        self._timeout = timeout
        self._told = told
        self._tries = 0
        family = run.leg.family
        self._socket = socket.socket(address_family(family), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        never_fragment(self._socket, family)
        level, kind = (socket.IPPROTO_IP, wire.IP_RECVERR), (socket.IPPROTO_IPV6, wire.IPV6_RECVERR)
        self._socket.setsockopt(*(level if family == IPV4 else kind), 1)
        self._reader = Reader(Boundary("path MTU"), loop, self._socket.fileno(), self._read)
        self._timer = loop.call_soon(self._ask)

    def close(self) -> None:
        """Ask no more."""
        self._timer.cancel()
        if self._socket.fileno() >= 0:
            self._reader.close()
            self._socket.close()

    def _ask(self) -> None:
        if self._tries == _TRIES:
            return self._end(passes=False)
        self._timer = self._loop.call_later(self._timeout, self._ask)
        target = (self._run.address, _PORT + self._tries)
        self._tries += 1
        try:
            self._socket.sendmsg((self._payload,), self._run.options, 0, target)
        except OSError:  # an error that came before is told with the next packet, too
            return None
        return None

    def _read(self) -> None:
        for flags in (socket.MSG_ERRQUEUE, 0):
            for _ in range(_READ):
                try:
                    _, ancillary, _, source = self._socket.recvmsg(0, 512, flags)
                except OSError:
                    break
                answered = not flags and source[0].partition("%")[0] == self._run.address
                if answered or any(self._proves(value) for _, _, value in ancillary):
                    return self._end(passes=True)
        return None

    def _proves(self, error: bytes) -> bool:
        if len(error) < wire.EXTENDED_ERROR.size:
            return False
        _, origin, kind, code, *_ = wire.EXTENDED_ERROR.unpack_from(error)
        offender = error[wire.EXTENDED_ERROR.size + _FAMILY + 2 :]
        behind = 0 if self._run.leg.family == IPV4 else 4  # the flow label
        return (origin, kind, code) in _UNREACHABLE and offender[behind:].startswith(self._run.target)

    def _end(self, *, passes: bool) -> None:
        self.close()
        self._told(passes)
