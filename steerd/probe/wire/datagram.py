"""A datagram socket with the kernel's time stamps both ways, behind one interface: `steerd.probe.wire.single` makes a
system call for each packet, `steerd.probe.wire.batch` one for many."""

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from steerd.config.family import IPV4
from steerd.net.sockets import address_family, enlarge

# Not in the socket module: asm-generic/socket.h, linux/in.h, linux/in6.h, linux/errqueue.h, linux/net_tstamp.h.
SO_TIMESTAMPING: Final = 37
SO_MEMINFO: Final = 55
SCM_TS_OPT_ID: Final = 81
IP_PKTINFO: Final = 8
IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
SO_EE_ORIGIN_TIMESTAMPING: Final = 4
SCM_TSTAMP_SCHED: Final = 1
_SK_MEMINFO_DROPS: Final = 8

_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE, _OPT_ID, _TX_SCHED, _OPT_TSONLY = 1 << 1, 1 << 3, 1 << 4, 1 << 7, 1 << 8, 1 << 11
RECEIPTS: Final = _RX_SOFTWARE | _SOFTWARE
"""Stamps of what comes alone (`SO_TIMESTAMPING`)."""
_STAMPS: Final = _TX_SOFTWARE | _TX_SCHED | RECEIPTS | _OPT_ID

TIMESPEC: Final = struct.Struct("@ll")
EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
WORD: Final = struct.Struct("=I")
_MEMINFO: Final = struct.Struct("=9I")

RECEIVE_BUFFER: Final = 8 << 20
SEND_BUFFER: Final = 1 << 20
"""Bytes: the default receive buffer holds 256 small replies, fewer than one tick may bring."""

PACKET: Final = 640
"""Bytes read of each packet: all headers, and what tells our probes."""

AT_ONCE: Final = 20_000
"""Packets read at a time at most, so that no flood holds the loop."""

_FULL: Final = 64  # packets found waiting at once: with fewer, the buffer was not full

Ancillary = list[tuple[int, int, bytes]]

Stamp = tuple[int | None, bool, int, bytes]
"""A probe on its way out of this machine: the number it was sent with, whether it entered our queue or (False) left it,
and when, CLOCK_REALTIME in ns. Without a number the kernel is too old to say, and gives the packet back, behind headers
of any length. Plain tuples, here and below: there are three of them for each probe."""

Arrival = tuple[memoryview, bytes, int]
"""A packet received: its data, the sender's packed address, and when (0: the kernel did not stamp it)."""


class Wire(Protocol):
    """One socket. ``overflowed``: since `arrivals` was called before, packets were lost in our own receive buffer."""

    overflowed: bool

    def envelope(self, target: bytes, port: int, options: Ancillary) -> Any:
        """What goes with each packet to one target: its packed address, and control messages."""

    def send(self, parcels: Sequence[tuple[bytes, int, Any]]) -> Sequence[int]:
        """Send packets, each with its number (32 bits) and envelope. For each 0, or the errno of its refusal."""

    def stamps(self) -> Iterator[Stamp]:
        """The stamps of departure since the last call."""

    def arrivals(self) -> Iterator[Arrival]:
        """What was received since the last call. An arrival is valid until the next one is asked for."""

    def close(self) -> None:
        """Close the socket."""


def options(family: int, *, mark: int = 0, interface: int = 0, source: str | None = None, dscp: int = 0) -> Ancillary:
    """The control messages of one path; ``interface`` is the index of its device (0: whatever the routes say)."""
    v4 = family == IPV4
    level, kind, tos = (
        (socket.IPPROTO_IP, IP_PKTINFO, socket.IP_TOS)
        if v4
        else (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, socket.IPV6_TCLASS)
    )
    found = [(socket.SOL_SOCKET, socket.SO_MARK, WORD.pack(mark))] if mark else []
    if interface or source:
        packed = socket.inet_pton(address_family(family), source) if source else bytes(16)
        place = struct.pack("@i4s4x", interface, packed) if v4 else struct.pack("@16si", packed, interface)
        found.append((level, kind, place))
    if dscp:
        found.append((level, tos, struct.pack("@i", dscp << 2)))
    return found


def make_room(sock: socket.socket) -> None:
    """Buffers for what a tick, or a stall, may bring."""
    enlarge(sock, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


def stamp(sock: socket.socket, *, numbered: bool) -> None:
    """Have the kernel stamp what leaves and what comes. ``numbered``: stamps of departure come with the number that
    went with the packet (kernels since 6.13); else with the packet itself."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, _STAMPS | (_OPT_TSONLY if numbered else 0))


def nanoseconds(stamps: bytes) -> int:
    """The first of a packet's time stamps, that of the software, in ns."""
    seconds, rest = TIMESPEC.unpack_from(stamps)
    return int(seconds * 1_000_000_000 + rest)


def received(ancillary: Ancillary) -> int:
    """When the packet with these control messages came, CLOCK_REALTIME in ns; 0: the kernel did not say."""
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            return nanoseconds(value)
    return 0


class Drops:
    """Tells whether the receive buffer of ``sock`` overflowed."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._dropped = 0

    def overflowed(self, count: int) -> bool:
        """Whether it did since the last call; ``count`` packets were found waiting in it meanwhile."""
        # SO_RXQ_OVFL would tell only with the next packet, which may be too late. Packets with a bad checksum count as
        # dropped too: without a full buffer it was those.
        memory = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
        before, self._dropped = self._dropped, _MEMINFO.unpack(memory)[_SK_MEMINFO_DROPS]
        return self._dropped != before and count >= _FULL
