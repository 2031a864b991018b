"""A wire that makes a system call for each packet: what every Python has."""

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence

from steerd.config.family import IPV4
from steerd.net.sockets import SocketOwner, address_family
from steerd.probe.wire import datagram as wire
from steerd.probe.wire.datagram import Ancillary, Arrival, Stamp

_ANCILLARY = 256

Envelope = tuple[tuple[str, int], Ancillary]


class Single(SocketOwner):
    """A `steerd.probe.wire.datagram.Wire` over a socket that it closes in the end."""

    def __init__(self, sock: socket.socket, family: int) -> None:
        self.overflowed = False
        self._family = address_family(family)
        self._level = socket.IPPROTO_IP if family == IPV4 else socket.IPPROTO_IPV6
        self._socket = sock
        self._numbered = True
        self._drops = wire.Drops(sock)
        wire.stamp(sock, numbered=True)

    def envelope(self, target: bytes, port: int, options: Ancillary) -> Envelope:
        return (socket.inet_ntop(self._family, target), port), options

    def send(self, parcels: Sequence[tuple[bytes, int, Envelope]]) -> Sequence[int]:
        return [self._send(*parcel) for parcel in parcels]

    def _send(self, packet: bytes, number: int, envelope: Envelope) -> int:
        address, options = envelope
        if not self._numbered:
            return self._try(packet, address, options)
        known = [*options, (socket.SOL_SOCKET, wire.SCM_TS_OPT_ID, wire.WORD.pack(number))]
        error = self._try(packet, address, known)
        # A kernel before 6.13 does not know that option; a blackhole route says EINVAL with it and without.
        if error == errno.EINVAL and (error := self._try(packet, address, options)) == 0:
            self._numbered = False
            wire.stamp(self._socket, numbered=False)
        return error

    def _try(self, packet: bytes, address: tuple[str, int], options: Ancillary) -> int:
        try:
            self._socket.sendmsg((packet,), options, 0, address)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def stamps(self) -> Iterator[Stamp]:
        with contextlib.suppress(OSError):
            for _ in range(wire.AT_ONCE):
                packet, ancillary, _, _ = self._socket.recvmsg(wire.PACKET, _ANCILLARY, socket.MSG_ERRQUEUE)
                if found := self._stamp(packet, ancillary):
                    yield found

    def _stamp(self, packet: bytes, ancillary: Ancillary) -> Stamp | None:
        at_ns = 0
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == wire.SO_TIMESTAMPING:
                at_ns = wire.nanoseconds(data)
            elif level == self._level and kind in (wire.IP_RECVERR, wire.IPV6_RECVERR):
                _, origin, _, _, _, info, identity = wire.EXTENDED_ERROR.unpack_from(data)
                if origin == wire.SO_EE_ORIGIN_TIMESTAMPING:
                    number = identity if self._numbered else None
                    return number, info == wire.SCM_TSTAMP_SCHED, at_ns, packet
        return None

    def arrivals(self) -> Iterator[Arrival]:
        count = 0
        with contextlib.suppress(OSError):
            for _ in range(wire.AT_ONCE):
                data, ancillary, _, address = self._socket.recvmsg(wire.PACKET, _ANCILLARY)
                count += 1
                source = socket.inet_pton(self._family, address[0].partition("%")[0])
                yield memoryview(data), source, wire.received(ancillary)
        self.overflowed = self._drops.overflowed(count)
