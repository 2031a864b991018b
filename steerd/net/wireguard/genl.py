"""The kernel's WireGuard devices as bytes (linux/wireguard.h, linux/genetlink.h)."""

import socket
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from steerd.net.netlink import attribute, attributes
from steerd.net.wireguard.device import AllowedIp, Device, Grant, Peer

GENL_ID_CTRL = 0x10
FAMILY: Final = "wireguard"

_HEADER = struct.Struct("=BBxx")  # struct genlmsghdr: command, version
_CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 3, 1, 2
_GET_DEVICE, _SET_DEVICE, _VERSION = 0, 1, 1
_IFNAME, _FWMARK, _PEERS = 2, 7, 8
_KEY, _FLAGS, _ENDPOINT, _KEEPALIVE, _HANDSHAKE, _RX, _TX, _ALLOWED = 1, 3, 4, 5, 6, 7, 8, 9
_IP_FAMILY, _IP_ADDRESS, _IP_LENGTH = 1, 2, 3
_REMOVE_ME, _UPDATE_ONLY = 1, 4
_WANTED: Final = {_KEY, _ENDPOINT, _KEEPALIVE, _HANDSHAKE, _RX, _TX, _ALLOWED}
_NESTED = 0x8000
_U16, _U32, _U64 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=Q")
_TIMESPEC = struct.Struct("=qq")  # struct __kernel_timespec

PER_MESSAGE: Final = 1000
"""Allowed IPs in one message: an attribute holds at most 64 KiB, and one of IPv6 takes 44 bytes."""


def family_request(name: str = FAMILY) -> bytes:
    """Asks for the number of a generic netlink family."""
    return _HEADER.pack(_CTRL_CMD_GETFAMILY, 1) + attribute(_CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")


def decode_family(body: bytes) -> int:
    """The number by which the kernel knows the family at present."""
    return int(_U16.unpack(dict(attributes(body, _HEADER.size))[_CTRL_ATTR_FAMILY_ID])[0])


def get_request(name: str) -> bytes:
    """Asks for a device with its peers."""
    return _of_device(_GET_DEVICE, name)


def _of_device(command: int, name: str) -> bytes:
    return _HEADER.pack(command, _VERSION) + attribute(_IFNAME, name.encode() + b"\0")


def decode(name: str, bodies: Iterable[bytes]) -> Device:
    """A device from the messages of one dump; secret keys are skipped. A peer whose allowed IPs did not fit goes on in
    the next message, with nothing but its key and more of them."""
    mark = 0
    peers: dict[str, Peer] = {}
    for body in bodies:
        for kind, value in attributes(body, _HEADER.size):
            if kind == _FWMARK:
                mark = _U32.unpack(value)[0]
            elif kind == _PEERS:
                for _, inner in attributes(value, 0):
                    peer = _peer(inner)
                    known = peers.get(peer.key)
                    peers[peer.key] = replace(known, allowed=known.allowed | peer.allowed) if known else peer
    return Device(name, mark, peers)


def _peer(body: bytes) -> Peer:
    values = {kind: value for kind, value in attributes(body, 0) if kind in _WANTED}
    seconds, nanoseconds = _TIMESPEC.unpack(values.get(_HANDSHAKE, bytes(_TIMESPEC.size)))
    return Peer(
        key=b64encode(values[_KEY]).decode(),
        handshake=seconds + nanoseconds / 1e9,
        rx=_U64.unpack(values.get(_RX, bytes(8)))[0],
        tx=_U64.unpack(values.get(_TX, bytes(8)))[0],
        keepalive=_U16.unpack(values.get(_KEEPALIVE, bytes(2)))[0],
        endpoint=_address(values.get(_ENDPOINT, b"")),
        port=int.from_bytes(values.get(_ENDPOINT, b"")[2:4]),
        allowed=frozenset(_allowed(values.get(_ALLOWED, b""))),
    )


def _address(sockaddr: bytes) -> str:
    """Of a struct sockaddr_in or sockaddr_in6."""
    if len(sockaddr) < _U16.size:
        return ""
    family = _U16.unpack_from(sockaddr)[0]
    if family == socket.AF_INET:
        return socket.inet_ntop(family, sockaddr[4:8])
    return socket.inet_ntop(family, sockaddr[8:24]) if family == socket.AF_INET6 else ""


def _allowed(body: bytes) -> Iterator[AllowedIp]:
    for _, inner in attributes(body, 0):
        values = dict(attributes(inner, 0))
        yield values[_IP_ADDRESS] + values[_IP_LENGTH]


def set_requests(name: str, grants: Iterable[Grant]) -> Iterator[bytes]:
    """Gives allowed IPs to existing peers, `PER_MESSAGE` a message. What another peer has moves: the kernel puts the
    new owner in the place of the old one (wg_allowedips_insert)."""
    for grant in grants:
        for at in range(0, len(grant.allowed), PER_MESSAGE):
            yield set_request(name, [peer_of(grant.peer, _UPDATE_ONLY, grant.allowed[at : at + PER_MESSAGE])])


def drop_requests(name: str, allowed: tuple[AllowedIp, ...], stand_in: str) -> Iterator[bytes]:
    """Takes allowed IPs from whoever has them, and touches no others: ``stand_in``, the key of a new peer, takes them
    over and is removed with them. Before Linux 6.16 the other way is to replace all of a peer's, which it then lacks
    for a moment."""
    for at in range(0, len(allowed), PER_MESSAGE):
        yield set_request(name, [peer_of(stand_in, 0, allowed[at : at + PER_MESSAGE])])
    yield set_request(name, [peer_of(stand_in, _REMOVE_ME, ())])


def point_request(name: str, peer: str, address: str, port: int) -> bytes:
    """Tells an existing peer where its far end is, as a struct sockaddr_in or sockaddr_in6."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    begin, packed = _U16.pack(family) + port.to_bytes(2, "big"), socket.inet_pton(family, address)
    sockaddr = begin + packed + bytes(8) if family == socket.AF_INET else begin + bytes(4) + packed + bytes(4)
    return set_request(name, [peer_of(peer, _UPDATE_ONLY, ()) + attribute(_ENDPOINT, sockaddr)])


def set_request(name: str, peers: Iterable[bytes]) -> bytes:
    """A device with these peers, as it is told either way."""
    return _of_device(_SET_DEVICE, name) + attribute(
        _PEERS | _NESTED, b"".join(attribute(_NESTED, one) for one in peers)
    )


def peer_of(key: str, flags: int, allowed: tuple[AllowedIp, ...]) -> bytes:
    """One peer, with some of its allowed IPs."""
    body = attribute(_KEY, b64decode(key)) + attribute(_FLAGS, _U32.pack(flags))
    if not allowed:
        return body
    return body + attribute(_ALLOWED | _NESTED, b"".join(attribute(_NESTED, _ip(one)) for one in allowed))


def _ip(packed: AllowedIp) -> bytes:
    family = attribute(_IP_FAMILY, _U16.pack(socket.AF_INET if len(packed) == 5 else socket.AF_INET6))
    return family + attribute(_IP_ADDRESS, packed[:-1]) + attribute(_IP_LENGTH, packed[-1:])
