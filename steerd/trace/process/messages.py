"""ICMP as it arrives, both families: what it says, and the packet of ours that it quotes. Anybody may have sent it."""

import struct
from enum import Enum
from typing import Final, NamedTuple

IPV4: Final = 4

ECHO: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}
PASSING: Final = {4: (0, 3, 11, 12), 6: (129, 1, 2, 3, 4)}
"""The types that are read: echo reply, unreachable, (packet too big,) time exceeded, parameter problem."""

_ICMP: Final = {4: 1, 6: 58}
_HEADER: Final = 8
_IPV4_HEADER: Final = 20
_IPV6_HEADER: Final = 40
_HEAD: Final = struct.Struct("!BB2xHH")
_ECHO_HEAD: Final = struct.Struct("!B3xHH")

_PROHIBITED: Final = "prohibited"
_UNREACHABLE: Final = {
    4: {
        0: "network unreachable",
        1: "host unreachable",
        2: "protocol unreachable",
        3: "port unreachable",
        6: "network unknown",
        7: "host unknown",
        9: _PROHIBITED,
        10: _PROHIBITED,
        13: _PROHIBITED,
    },
    6: {
        0: "no route",
        1: _PROHIBITED,
        3: "host unreachable",
        4: "port unreachable",
        5: _PROHIBITED,
        6: "no route",
    },
}
"""RFC 792, RFC 1812 and RFC 4443, by code."""


class Kind(Enum):
    REPLY = "reply"
    EXPIRED = "expired"  # the time to live ended
    TOO_BIG = "too big"
    ERROR = "error"


class Message(NamedTuple):
    """``text`` words an error; ``mtu`` is the next hop's, in bytes, 0 when it is not told; ``body`` is the packet that
    an error quotes, as much of it as there is, or the payload of a reply."""

    kind: Kind
    body: bytes
    identifier: int = 0
    sequence: int = 0
    text: str = ""
    mtu: int = 0


def read(family: int, data: bytes) -> Message | None:
    """What a raw socket received: for IPv4 with the IP header, for IPv6 without. None for what says nothing here."""
    start = (data[0] & 0xF) * 4 if family == IPV4 and data else 0
    if len(data) < start + _HEADER:
        return None
    kind, code, third, fourth = _HEAD.unpack_from(data, start)
    body = data[start + _HEADER :]
    if kind == ECHO_REPLY[family]:
        return Message(Kind.REPLY, body, third, fourth)
    if family == IPV4:
        if (kind, code) == (3, 4):
            return Message(Kind.TOO_BIG, body, text="packet too big", mtu=fourth)
        if kind == 3:
            return Message(Kind.ERROR, body, text=_UNREACHABLE[4].get(code, "unreachable"))
        if (kind, code) == (11, 0):
            return Message(Kind.EXPIRED, body)
        return Message(Kind.ERROR, body, text="parameter problem") if kind == 12 else None
    if kind == 2:
        return Message(Kind.TOO_BIG, body, text="packet too big", mtu=third << 16 | fourth)
    if kind == 1:
        return Message(Kind.ERROR, body, text=_UNREACHABLE[6].get(code, "unreachable"))
    if (kind, code) == (3, 0):
        return Message(Kind.EXPIRED, body)
    return Message(Kind.ERROR, body, text="parameter problem") if kind == 4 else None


class QuotedEcho(NamedTuple):
    """An echo request that an error quotes. ``target`` is the packed address that it was sent to."""

    target: bytes
    identifier: int
    sequence: int


def quoted_echo(family: int, quoted: bytes) -> QuotedEcho | None:
    """The echo request of which these are the first bytes; None for any other packet."""
    if family == IPV4:
        start = max((quoted[0] & 0xF) * 4, _IPV4_HEADER) if quoted else _IPV4_HEADER
        protocol_at, address = 9, slice(16, 20)
    else:
        start, protocol_at, address = _IPV6_HEADER, 6, slice(24, 40)
    if len(quoted) < start + _ECHO_HEAD.size or quoted[protocol_at] != _ICMP[family]:
        return None
    kind, identifier, sequence = _ECHO_HEAD.unpack_from(quoted, start)
    return QuotedEcho(quoted[address], identifier, sequence) if kind == ECHO[family] else None
