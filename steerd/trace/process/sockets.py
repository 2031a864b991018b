"""Sockets that send as a path's probes go, and one that hears what comes of them."""

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from steerd.net import icmp
from steerd.net.bpf import JEQ, KEEP, NEXT, RET, assemble, attach, transport
from steerd.net.devices import look
from steerd.net.sockets import SocketOwner, address_family
from steerd.trace.process import messages
from steerd.trace.process.messages import IcmpMessage
from steerd.trace.request import Aim, Request

# Not in the socket module: asm-generic/socket.h.
_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("@ll")
_READ: Final = 2048  # bytes of a packet: more than any error quotes
_ANCILLARY: Final = 128
_BATCH: Final = 256  # packets read at a time
_BUFFER: Final = 1 << 20
_DESTINATION_PORT: Final = 2  # where it is in a TCP header

NOT_ALLOWED: Final = "it is not allowed here: CAP_NET_RAW and CAP_NET_ADMIN are needed"


class TraceError(Exception):
    """A trace cannot be made at all. The message is for whoever asked for it."""


class Packet(NamedTuple):
    """``at``: when it arrived, CLOCK_REALTIME in seconds."""

    data: bytes
    source: str
    port: int
    at: float


def send_as(sock: socket.socket, request: Request) -> None:
    """Send as the path's probes are sent. TraceError: the device does not exist, or a capability is missing."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, request.device.encode() + b"\0")
        if request.mark:
            # As bytes: Python takes a number with the highest bit for too large.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("@I", request.mark))
    except PermissionError as error:
        raise TraceError(NOT_ALLOWED) from error
    except OSError as error:
        raise TraceError(f"the device {request.device} is not there") from error


def listen(sock: socket.socket) -> None:
    """Have the kernel stamp what arrives, and make room for it."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)


def receive_port(sock: socket.socket, family: int, port: int) -> None:
    """Let this raw TCP socket receive only what is for ``port``."""
    load = transport(family)
    program = [*load.begin, (load.h, _DESTINATION_PORT), (JEQ, port, NEXT, "drop"), (RET, KEEP), "drop", (RET, 0)]
    attach(sock, assemble(program))


def packets(sock: socket.socket) -> Iterator[Packet]:
    """What a listening socket has received, a batch at most."""
    with contextlib.suppress(OSError):  # nothing more, or an error of an earlier packet
        for _ in range(_BATCH):
            data, ancillary, _, address = sock.recvmsg(_READ, _ANCILLARY)
            at = time.time()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                    at = seconds + nanoseconds / 1e9
            yield Packet(data, address[0], address[1], at)


def wait(listening: Sequence["socket.socket | IcmpListener"], seconds: float) -> None:
    """Wait until one of them has something to read, or the time is over."""
    select.select(listening, [], [], max(0.0, seconds))


def source(request: Request, aim: Aim) -> str:
    """The source address of the path's probes. OSError: no route leads to the target."""
    if aim.source is not None:
        return aim.source
    with socket.socket(address_family(aim.family), socket.SOCK_DGRAM) as sock:
        send_as(sock, request)
        sock.connect((aim.address, 9))  # any port: nothing is sent
        return str(sock.getsockname()[0])


def device_mtu(device: str) -> int:
    """The device's MTU in bytes. TraceError: it does not exist, or is down."""
    found = look(device)
    if found is None or not found.up:
        raise TraceError(f"the device {device} is {'down' if found else 'not there'}")
    return found.mtu


class IcmpListener(SocketOwner):
    """Hears ICMP from any device: errors of this machine's own kernel come from none."""

    def __init__(self, aim: Aim) -> None:
        self._family = aim.family
        self._socket = icmp.open_socket(aim.family)
        icmp.let_pass(self._socket, aim.family, (icmp.ECHO_REPLY[aim.family], *icmp.ERRORS[aim.family]))
        listen(self._socket)

    def heard(self) -> Iterator[tuple[IcmpMessage, str, float]]:
        """What was received: the message, from whom, and when (CLOCK_REALTIME, seconds)."""
        for packet in packets(self._socket):
            if (message := messages.read(self._family, packet.data)) is not None:
                yield message, packet.source, packet.at
