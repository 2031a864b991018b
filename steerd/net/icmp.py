"""ICMP of both families: types, and the errors with what they quote. Anybody may have sent it."""

import socket
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from steerd.config.family import IPV4
from steerd.net.sockets import address_family

ECHO: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}
UNREACHABLE: Final = {4: 3, 6: 1}
PARAMETER_PROBLEM: Final = {4: 12, 6: 4}
PACKET_TOO_BIG: Final = 2
"""Of IPv6 (RFC 4443, section 3.2)."""
FRAGMENTATION_NEEDED: Final = 4
"""The code of IPv4's "unreachable" that says so (RFC 1191)."""
ERRORS: Final = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
"""Destination unreachable, (packet too big,) time exceeded, parameter problem."""

IPV4_HEADER: Final = 20
IPV6_HEADER: Final = 40
ICMP_HEADER: Final = 8
HEADERS: Final = {4: IPV4_HEADER + ICMP_HEADER, 6: IPV6_HEADER + ICMP_HEADER}
"""Bytes before an echo's payload."""
LEAST: Final = {4: 576, 6: 1280}
"""Bytes that every path ought to carry: RFC 1122 (section 3.3.2, of hosts) and RFC 8200 (section 5)."""

_SOL_RAW: Final = 255
_FILTER: Final = 1  # ICMP_FILTER, ICMPV6_FILTER
_PROTOCOL: Final = {4: 1, 6: 58}
_HEAD: Final = struct.Struct("!BB2xHH")
_QUOTED: Final = struct.Struct("!B3xHH")


class Error(NamedTuple):
    """``limit`` is the largest packet that its sender would pass on, in bytes (0: it does not say; None: the error is
    another); ``quoted`` the packet that it is about, as much of it as there is."""

    type: int
    code: int
    limit: int | None
    quoted: bytes


class Quote(NamedTuple):
    """An echo request that an error quotes, with the packed address it was sent to, and the error's ``limit``."""

    identifier: int
    sequence: int
    target: bytes
    limit: int | None = None


def start(family: int, data: bytes | memoryview) -> int | None:
    """Where ICMP begins in what a raw socket received: IPv4 with its header, IPv6 without. None: it is too short."""
    at = (data[0] & 0xF) * 4 if family == IPV4 and data else 0
    return at if len(data) >= at + ICMP_HEADER else None


def error(family: int, data: bytes | memoryview, at: int) -> Error | None:
    """The error that begins at ``at``; None: it is none."""
    kind, code, third, fourth = _HEAD.unpack_from(data, at)
    if kind not in ERRORS[family]:
        return None
    limit: int | None = None
    if family == IPV4:
        limit = fourth if (kind, code) == (UNREACHABLE[4], FRAGMENTATION_NEEDED) else None
    elif kind == PACKET_TOO_BIG:
        limit = third << 16 | fourth
    return Error(kind, code, limit, bytes(data[at + ICMP_HEADER :]))


def quoted_echo(family: int, quoted: bytes, limit: int | None = None) -> Quote | None:
    """The echo request of which these are the first bytes; None for any other packet. ``limit`` is the error's."""
    if family == IPV4:
        begin = max((quoted[0] & 0xF) * 4, IPV4_HEADER) if quoted else IPV4_HEADER
        protocol_at, address = 9, slice(16, 20)
    else:
        begin, protocol_at, address = IPV6_HEADER, 6, slice(24, 40)
    if len(quoted) < begin + _QUOTED.size or quoted[protocol_at] != _PROTOCOL[family]:
        return None
    kind, identifier, sequence = _QUOTED.unpack_from(quoted, begin)
    return Quote(identifier, sequence, quoted[address], limit) if kind == ECHO[family] else None


def open_socket(family: int) -> socket.socket:
    """A raw socket for all ICMP of the family. Raises `OSError`."""
    return socket.socket(address_family(family), socket.SOCK_RAW, _PROTOCOL[family])


def let_pass(sock: socket.socket, family: int, kinds: Iterable[int]) -> None:
    """Let this raw socket receive these types only: the kernel copies each message to each socket that wants it."""
    passing = sum(1 << kind for kind in kinds)
    if family == IPV4:
        sock.setsockopt(_SOL_RAW, _FILTER, struct.pack("@I", 0xFFFFFFFF ^ passing))
    else:
        blocked = (1 << 256) - 1 - passing
        words = struct.pack("@8I", *((blocked >> 32 * word) & 0xFFFFFFFF for word in range(8)))
        sock.setsockopt(socket.IPPROTO_ICMPV6, _FILTER, words)
