"""When connections were refused: a raw socket sees the resets, with the kernel's time stamps."""

import socket
import struct
from typing import Final, NamedTuple

from steerd.config.settings import IPV4
from steerd.net.sockets import address_family
from steerd.probe.error import ProbeError
from steerd.probe.wire import datagram as wire
from steerd.probe.wire import filter as packet_filter

_RX_SOFTWARE, _SOFTWARE = 1 << 3, 1 << 4
_ANCILLARY: Final = 256
_PACKET: Final = 128
_AT_ONCE: Final = 10_000
_PORTS: Final = struct.Struct("!HH")


class Connection(NamedTuple):
    """Our own port, and the packed address and the port at the other end."""

    port: int
    peer: bytes
    peer_port: int


class Refusals:
    """Raises `ProbeError` if the socket cannot be had."""

    def __init__(self, family: int) -> None:
        self._family = family
        try:
            self._socket = socket.socket(address_family(family), socket.SOCK_RAW, socket.IPPROTO_TCP)
        except PermissionError:
            raise ProbeError("cannot open a raw TCP socket: CAP_NET_RAW is needed") from None
        except OSError as error:
            raise ProbeError(f"cannot open a raw TCP socket for IPv{family}: {error.strerror}") from None
        try:
            self._socket.setblocking(False)
            wire.enlarge(self._socket)
            packet_filter.attach(self._socket, packet_filter.refusal_filter(family))
            self._socket.setsockopt(socket.SOL_SOCKET, wire.SO_TIMESTAMPING, _RX_SOFTWARE | _SOFTWARE)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def read(self) -> dict[Connection, int]:
        """Since the last call: when each connection was refused, CLOCK_REALTIME in ns. Nothing is proved yet: that
        it was refused only the kernel can say, which knows the numbers."""
        found: dict[Connection, int] = {}
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _, address = self._socket.recvmsg(_PACKET, _ANCILLARY)
            except OSError:
                break
            at_ns = wire.received(ancillary)
            start = (data[0] & 0xF) * 4 if self._family == IPV4 else 0
            if at_ns and len(data) >= start + _PORTS.size:
                theirs, ours = _PORTS.unpack_from(data, start)
                peer = socket.inet_pton(address_family(self._family), address[0].partition("%")[0])
                found[Connection(ours, peer, theirs)] = at_ns
        return found
