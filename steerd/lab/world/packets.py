"""The lab's packets: what a PoP answers to what it gets, and the numbered datagrams of the user traffic.

An answer is the packet itself with source and destination exchanged, which leaves all sums as they are; only what else
changes (the ICMP type, the PoP's number in a datagram) is corrected in the checksum.
"""

import struct
from enum import Enum
from typing import NamedTuple

TRAFFIC_PORT = 4040
OUTER_PORT = 51820
"""Of the packets in which a tunnel carries those of the users."""

_ICMP, _UDP, _ICMPV6 = 1, 17, 58
_ECHO, _ECHO_REPLY, _ECHO_V6, _ECHO_REPLY_V6 = 8, 0, 128, 129
_IPV6_HEADER = 40
_MAGIC = b"labU"
_DATAGRAM = struct.Struct("!4sIdH")
_CARRIER = struct.Struct("!H")
_CARRIER_AT = _DATAGRAM.size - _CARRIER.size


class Kind(Enum):
    ECHO = "echo"
    TRAFFIC = "traffic"
    OUTER = "outer"


class Seen(NamedTuple):
    """A packet as a PoP sees it. ``destination`` is packed; ``sequence`` is that of user traffic."""

    family: int
    kind: Kind
    destination: bytes
    transport_at: int
    sequence: int = 0


class Datagram(NamedTuple):
    """User traffic. ``sent_at`` on the monotonic clock; ``carrier``: the number of the PoP that answered, from 1 on."""

    sequence: int
    sent_at: float
    carrier: int


def datagram(sequence: int, sent_at: float) -> bytes:
    """The payload of a user's datagram."""
    return _DATAGRAM.pack(_MAGIC, sequence, sent_at, 0)


def read_datagram(payload: bytes) -> Datagram | None:
    """The inverse; None: it is no datagram of a user's."""
    if len(payload) < _DATAGRAM.size or not payload.startswith(_MAGIC):
        return None
    _, sequence, sent_at, carrier = _DATAGRAM.unpack_from(payload)
    return Datagram(sequence, sent_at, carrier)


def read(packet: bytes) -> Seen | None:
    """An IP packet that the lab knows; None for any other."""
    if len(packet) > _IPV6_HEADER and packet[0] >> 4 == 6:
        family, protocol, at, destination = 6, packet[6], _IPV6_HEADER, packet[24:40]
    elif len(packet) > 20 and packet[0] >> 4 == 4:
        family, protocol, at, destination = 4, packet[9], (packet[0] & 0xF) * 4, packet[16:20]
    else:
        return None
    if len(packet) < at + 8:
        return None
    if (protocol, packet[at]) in ((_ICMP, _ECHO), (_ICMPV6, _ECHO_V6)):
        return Seen(family, Kind.ECHO, destination, at)
    if protocol == _UDP:
        (port,) = struct.unpack_from("!H", packet, at + 2)
        if port == OUTER_PORT:
            return Seen(family, Kind.OUTER, destination, at)
        user = read_datagram(packet[at + 8 :])
        if user:
            return Seen(family, Kind.TRAFFIC, destination, at, user.sequence)
    return None


def answer(packet: bytes, seen: Seen, carrier: int) -> bytes:
    """The answer of PoP number ``carrier`` to an echo or to user traffic."""
    out = bytearray(packet)
    if seen.family == 4:
        out[12:16], out[16:20] = packet[16:20], packet[12:16]
    else:
        out[8:24], out[24:40] = packet[24:40], packet[8:24]
    at = seen.transport_at
    if seen.kind is Kind.ECHO:
        request, reply = (_ECHO, _ECHO_REPLY) if seen.family == 4 else (_ECHO_V6, _ECHO_REPLY_V6)
        out[at] = reply
        _correct(out, at + 2, request << 8, reply << 8)
    else:
        out[at : at + 2], out[at + 2 : at + 4] = packet[at + 2 : at + 4], packet[at : at + 2]
        _CARRIER.pack_into(out, at + 8 + _CARRIER_AT, carrier)
        if packet[at + 6 : at + 8] != b"\0\0":
            _correct(out, at + 6, 0, carrier)
            # A sum of 0 says "none", which IPv6 does not accept: the other zero is sent in its place (RFC 768).
            if out[at + 6 : at + 8] == b"\0\0":
                out[at + 6 : at + 8] = b"\xff\xff"
    return bytes(out)


def too_big(packet: bytes, seen: Seen, limit: int) -> bytes:
    """The ICMP error of a router that passes on no more than ``limit`` bytes: fragmentation needed (RFC 1191), or
    packet too big (RFC 4443). It comes from where the packet was to go."""
    if seen.family == 4:
        message = struct.pack("!BBHHH", 3, 4, 0, 0, limit) + packet[: seen.transport_at + 8]
        lengths = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, _ICMP, 0)
        header = lengths + packet[16:20] + packet[12:16]
        return _summed(header, 10) + _summed(message, 2)
    message = struct.pack("!BBHI", 2, 0, 0, limit) + packet[: 1280 - _IPV6_HEADER - 8]
    addresses = packet[24:40] + packet[8:24]
    pseudo = addresses + struct.pack("!II", len(message), _ICMPV6)
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 64) + addresses
    return header + _summed(pseudo + message, len(pseudo) + 2)[len(pseudo) :]


def _summed(packet: bytes, at: int) -> bytes:
    """With the checksum (RFC 1071) in its place."""
    even = packet + bytes(len(packet) % 2)
    total = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:at] + struct.pack("!H", total ^ 0xFFFF) + packet[at + 2 :]


def _correct(packet: bytearray, at: int, before: int, after: int) -> None:
    """Correct the checksum at ``at`` for one 16-bit word that changed (RFC 1624)."""
    (checksum,) = struct.unpack_from("!H", packet, at)
    total = (checksum ^ 0xFFFF) + (before ^ 0xFFFF) + after
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", packet, at, total ^ 0xFFFF)
