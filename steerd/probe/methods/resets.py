"""When connections were refused: a raw socket sees the resets, with the kernel's time stamps."""

import socket
import struct
from typing import Final, NamedTuple

from steerd.config.family import IPV4
from steerd.net.sockets import SocketOwner, address_family, closed_on_error
from steerd.probe.methods.sockets import open_raw
from steerd.probe.wire import datagram as wire
from steerd.probe.wire import filter as packet_filter

_ANCILLARY: Final = 256
_PACKET: Final = 128
_AT_ONCE: Final = 10_000
_PORTS: Final = struct.Struct("!HH")


class Endpoints(NamedTuple):
    """Of a connection: our own port, and the packed address and the port at the other end."""

    port: int
    peer: bytes
    peer_port: int


class Resets(SocketOwner):
    """Hears the resets that come for connections of one family. Raises `ProbeError` if its socket cannot be opened."""

    def __init__(self, family: int) -> None:
        self._family = family
        self._socket = open_raw(family, "TCP")
        with closed_on_error(self._socket):
            wire.make_room(self._socket)
            packet_filter.attach(self._socket, packet_filter.refusal_filter(family))
            self._socket.setsockopt(socket.SOL_SOCKET, wire.SO_TIMESTAMPING, wire.RECEIPTS)

    def read(self) -> dict[Endpoints, int]:
        """Since the last call: when each connection seems to have been refused, CLOCK_REALTIME in ns. Only the kernel,
        which knows the sequence numbers, can prove it."""
        found: dict[Endpoints, int] = {}
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
                found[Endpoints(ours, peer, theirs)] = at_ns
        return found
