"""Sockets that send as a path's probes go, and one that hears what comes of them."""

import contextlib
import fcntl
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from steerd.trace.process import messages
from steerd.trace.process.error import TraceError
from steerd.trace.process.messages import IPV4, Message
from steerd.trace.request import Aim, Request

# Not in the socket module: asm-generic/socket.h, linux/{icmp,icmpv6,in,in6,sockios}.h.
_SO_TIMESTAMPNS: Final = 35
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_ICMP6_FILTER: Final = 1
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_DONTFRAG: Final = 62
_PMTUDISC_PROBE: Final = 3
_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFMTU: Final = 0x8921
_IFF_UP: Final = 1

_IFREQ: Final = struct.Struct("@Hh")
_TIMESPEC: Final = struct.Struct("@ll")
_READ: Final = 2048  # bytes of a packet: more than any error quotes
_ANCILLARY: Final = 128
_BATCH: Final = 256  # packets read at a time
_BUFFER: Final = 1 << 20


NOT_ALLOWED: Final = "it is not allowed here: CAP_NET_RAW and CAP_NET_ADMIN are needed"


class Packet(NamedTuple):
    """``at``: when it arrived, CLOCK_REALTIME in seconds."""

    data: bytes
    source: str
    port: int
    at: float


def family(aim: Aim) -> socket.AddressFamily:
    return socket.AF_INET if aim.family == IPV4 else socket.AF_INET6


def send_as(sock: socket.socket, request: Request) -> None:
    """Let what this socket sends go the way of the path's probes. TraceError: the device is not there, or this may not
    be done."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, request.device.encode() + b"\0")
        if request.mark:
            # As bytes: Python takes a number with the highest bit for too large.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("@I", request.mark))
    except PermissionError as error:
        raise TraceError(NOT_ALLOWED) from error
    except OSError as error:
        raise TraceError(f"the device {request.device} is not there") from error


def set_dscp(sock: socket.socket, aim: Aim, dscp: int) -> None:
    if aim.family == IPV4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)


def never_fragment(sock: socket.socket, aim: Aim) -> None:
    """Send packets whole up to the device's MTU, whatever the kernel has learned of the way."""
    if aim.family == IPV4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)


def let_pass(sock: socket.socket, family: int, kinds: Sequence[int]) -> None:
    """Of all ICMP that this raw socket would get, only these types."""
    if family == IPV4:
        sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("@I", 0xFFFFFFFF ^ sum(1 << kind for kind in kinds)))
        return
    blocked = (1 << 256) - 1 - sum(1 << kind for kind in kinds)
    words = struct.pack("@8I", *((blocked >> 32 * word) & 0xFFFFFFFF for word in range(8)))
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, words)


def listen(sock: socket.socket) -> None:
    """Stamp what arrives, and leave room for much of it."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)


def packets(sock: socket.socket) -> Iterator[Packet]:
    """What a listening socket has received, a batch at most."""
    with contextlib.suppress(OSError):  # nothing more; or an error that the kernel keeps for whoever reads next
        for _ in range(_BATCH):
            data, ancillary, _, address = sock.recvmsg(_READ, _ANCILLARY)
            at = time.time()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                    at = seconds + nanoseconds / 1e9
            yield Packet(data, address[0], address[1], at)


def wait(listening: Sequence[socket.socket], seconds: float) -> None:
    """Until one of them has something to read, or the time is over."""
    select.select(listening, [], [], max(0.0, seconds))


def source(request: Request, aim: Aim) -> str:
    """The address that the path's probes come from. OSError: no route leads there."""
    if aim.source is not None:
        return aim.source
    with socket.socket(family(aim), socket.SOCK_DGRAM) as sock:
        send_as(sock, request)
        sock.connect((aim.address, 9))  # a port that does not matter: nothing is sent
        return str(sock.getsockname()[0])


def device_mtu(device: str) -> int:
    """Bytes. TraceError: there is no such device, or it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        asked = struct.pack("@16si20x", device.encode(), 0)
        try:
            flags, _ = _IFREQ.unpack_from(fcntl.ioctl(sock, _SIOCGIFFLAGS, asked), 16)
            (mtu,) = struct.unpack_from("@i", fcntl.ioctl(sock, _SIOCGIFMTU, asked), 16)
        except OSError as error:
            raise TraceError(f"the device {device} is not there") from error
    if not flags & _IFF_UP:
        raise TraceError(f"the device {device} is down")
    return int(mtu)


class IcmpListener:
    """Hears ICMP, whatever device it comes by: what this machine's own kernel has to say comes by none."""

    def __init__(self, aim: Aim) -> None:
        self._family = aim.family
        protocol = socket.IPPROTO_ICMP if aim.family == IPV4 else socket.IPPROTO_ICMPV6
        self.socket = socket.socket(family(aim), socket.SOCK_RAW, protocol)
        let_pass(self.socket, aim.family, messages.PASSING[aim.family])
        listen(self.socket)

    def heard(self) -> Iterator[tuple[Message, str, float]]:
        """What was received: the message, from whom, and when (CLOCK_REALTIME, seconds)."""
        for packet in packets(self.socket):
            message = messages.read(self._family, packet.data)
            if message is not None:
                yield message, packet.source, packet.at

    def close(self) -> None:
        self.socket.close()
