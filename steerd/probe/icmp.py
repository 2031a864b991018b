"""One raw ICMP socket per family: everything that differs between paths travels with each packet."""

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from steerd.config.settings import IPV4
from steerd.probe import filter as echo_filter
from steerd.probe.packet import ECHO_REPLY, ERRORS, Echo, Quote, number_in, read

# Not in the socket module: asm-generic/socket.h, linux/in.h, linux/icmpv6.h.
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPING = 37
_SO_MEMINFO = 55
_SK_MEMINFO_DROPS = 8
_SCM_TS_OPT_ID = 81
_IP_PKTINFO = 8
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_ICMP6_FILTER = 1

# linux/net_tstamp.h, linux/errqueue.h
_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE, _OPT_ID, _TX_SCHED, _OPT_TSONLY = 1 << 1, 1 << 3, 1 << 4, 1 << 7, 1 << 8, 1 << 11
_STAMPS = _TX_SOFTWARE | _TX_SCHED | _RX_SOFTWARE | _SOFTWARE | _OPT_ID
_SCM_TSTAMP_SCHED = 1
_SO_EE_ORIGIN_TIMESTAMPING = 4

_TIMESPEC = struct.Struct("@ll")
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_WORD = struct.Struct("=I")
_MEMINFO = struct.Struct("=9I")

_RECEIVE_BUFFER = 8 << 20  # bytes: the default holds 256 small replies, fewer than one tick may bring
_BATCH = 20_000  # packets read at a time at most, so that no flood holds the loop
_FULL = 64  # packets found waiting at once: with fewer, the buffer was not full
_PACKET = 576
_ANCILLARY = 256

Ancillary = list[tuple[int, int, bytes]]


class Stamp(NamedTuple):
    """A probe on its way out of this machine, CLOCK_REALTIME in ns: it entered our queue, or left it."""

    number: int
    queued: bool
    at_ns: int


class Arrival(NamedTuple):
    message: Echo | Quote
    source: str
    at_ns: int


class EchoSocket:
    """Sends echo requests and reads what comes of them. Raises `OSError` if it can not be opened.

    ``overflowed`` is whether packets were lost in our own receive buffer by the last `arrivals`.
    """

    def __init__(self, family: int, identifiers: int, tag: bytes) -> None:
        self.family = family
        self.overflowed = False
        self._dropped = 0
        self._tag = tag
        self._numbered = True
        self._level = socket.IPPROTO_IP if family == IPV4 else socket.IPPROTO_IPV6
        if family == IPV4:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        else:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        try:
            self._set_up(identifiers)
        except OSError:
            self._socket.close()
            raise

    def _set_up(self, identifiers: int) -> None:
        sock = self._socket
        sock.setblocking(False)
        echo_filter.attach(sock, echo_filter.echo_filter(self.family, identifiers, self._tag))
        if self.family != IPV4:
            # The kernel copies each message to each raw socket that lets its type pass; the filter comes after.
            passing = [*ERRORS[self.family], ECHO_REPLY[self.family]]
            blocked = (1 << 256) - 1 - sum(1 << kind for kind in passing)
            words = struct.pack("@8I", *((blocked >> 32 * word) & 0xFFFFFFFF for word in range(8)))
            sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, words)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _STAMPS | _OPT_TSONLY)

    def close(self) -> None:
        self._socket.close()

    def options(self, mark: int, interface: int) -> Ancillary:
        """What goes with each packet of one path: its mark and the index of its device (0: whatever the
        routes say)."""
        options = [(socket.SOL_SOCKET, socket.SO_MARK, _WORD.pack(mark))] if mark else []
        if interface and self.family == IPV4:
            options.append((self._level, _IP_PKTINFO, struct.pack("@i4s4s", interface, bytes(4), bytes(4))))
        elif interface:
            options.append((self._level, socket.IPV6_PKTINFO, struct.pack("@16si", bytes(16), interface)))
        return options

    def send(self, packet: bytes, number: int, target: str, options: Ancillary) -> int:
        """Send now; 0, or the errno with which the kernel refused."""
        if not self._numbered:
            return self._send(packet, target, options)
        error = self._send(packet, target, [*options, (socket.SOL_SOCKET, _SCM_TS_OPT_ID, _WORD.pack(number))])
        # A kernel before 6.13 does not know that option; a blackhole route says EINVAL with it and without.
        if error == errno.EINVAL and (error := self._send(packet, target, options)) == 0:
            self._numbered = False
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _STAMPS)
        return error

    def _send(self, packet: bytes, target: str, options: Ancillary) -> int:
        try:
            self._socket.sendmsg((packet,), options, 0, (target, 0))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def stamps(self) -> Iterator[Stamp]:
        """The stamps of departure that came since the last call."""
        with contextlib.suppress(OSError):
            for _ in range(_BATCH):
                packet, ancillary, _, _ = self._socket.recvmsg(_PACKET, _ANCILLARY, socket.MSG_ERRQUEUE)
                stamp = self._stamp(packet, ancillary)
                if stamp:
                    yield stamp

    def _stamp(self, packet: bytes, ancillary: list[tuple[int, int, bytes]]) -> Stamp | None:
        at_ns = 0
        number: int | None = None
        queued = False
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING:
                at_ns = _nanoseconds(data)
            elif kind in (_IP_RECVERR, _IPV6_RECVERR) and level == self._level:
                _, origin, _, _, _, info, identity = _EXTENDED_ERROR.unpack_from(data)
                if origin == _SO_EE_ORIGIN_TIMESTAMPING:
                    queued = info == _SCM_TSTAMP_SCHED
                    number = identity if self._numbered else number_in(packet, self._tag)
        return Stamp(number, queued, at_ns) if at_ns and number is not None else None

    def arrivals(self) -> Iterator[Arrival]:
        """What was received since the last call; ``at_ns`` is 0 if the kernel did not stamp it."""
        count = 0
        with contextlib.suppress(OSError):
            for _ in range(_BATCH):
                data, ancillary, _, address = self._socket.recvmsg(_PACKET, _ANCILLARY)
                count += 1
                at_ns = 0
                for level, kind, value in ancillary:
                    if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING:
                        at_ns = _nanoseconds(value)
                message = read(self.family, data)
                if message:
                    yield Arrival(message, address[0], at_ns)
        # SO_RXQ_OVFL would tell only with the next packet, which may be too late. Packets with a bad checksum count
        # as dropped too: without a full buffer it was those.
        dropped = _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        self.overflowed = dropped[_SK_MEMINFO_DROPS] != self._dropped and count >= _FULL
        self._dropped = dropped[_SK_MEMINFO_DROPS]


def _nanoseconds(stamps: bytes) -> int:
    seconds, nanoseconds = _TIMESPEC.unpack_from(stamps)
    return int(seconds * 1_000_000_000 + nanoseconds)
