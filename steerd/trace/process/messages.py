"""What an ICMP message says of a trace's probe, in words."""

import struct
from enum import Enum
from typing import Final, NamedTuple

from steerd.net import icmp

_ECHO: Final = struct.Struct("!4xHH")  # identifier and sequence
_PROHIBITED: Final = "prohibited"
_UNREACHABLE: Final = {
    4: {
        0: "network unreachable",
        1: "host unreachable",
        2: "protocol unreachable",
        3: "port unreachable",
        6: "network unknown",
        7: "host unknown",
        **dict.fromkeys((9, 10, 13), _PROHIBITED),
    },
    6: {
        **dict.fromkeys((0, 6), "no route"),
        **dict.fromkeys((1, 5), _PROHIBITED),
        3: "host unreachable",
        4: "port unreachable",
    },
}
"""RFC 792, RFC 1812 and RFC 4443, by code."""


class Kind(Enum):
    REPLY = "reply"
    EXPIRED = "expired"  # the time to live ended
    TOO_BIG = "too big"
    ERROR = "error"


class IcmpMessage(NamedTuple):
    """``text`` words an error; ``mtu`` is the next hop's, in bytes, 0 when it is not told; ``body`` is the packet that
    an error quotes, as much of it as there is, or the payload of a reply."""

    kind: Kind
    body: bytes
    identifier: int = 0
    sequence: int = 0
    text: str = ""
    mtu: int = 0


def read(family: int, data: bytes) -> IcmpMessage | None:
    """What a raw socket received: for IPv4 with the IP header, for IPv6 without. None: it says nothing of a probe."""
    start = icmp.start(family, data)
    if start is None:
        return None
    if data[start] == icmp.ECHO_REPLY[family]:
        return IcmpMessage(Kind.REPLY, data[start + icmp.ICMP_HEADER :], *_ECHO.unpack_from(data, start))
    error = icmp.error(family, data, start)
    if error is None:
        return None
    if error.limit is not None:
        return IcmpMessage(Kind.TOO_BIG, error.quoted, text="packet too big", mtu=error.limit)
    if error.type == icmp.UNREACHABLE[family]:
        return IcmpMessage(Kind.ERROR, error.quoted, text=_UNREACHABLE[family].get(error.code, "unreachable"))
    if error.type == icmp.PARAMETER_PROBLEM[family]:
        return IcmpMessage(Kind.ERROR, error.quoted, text="parameter problem")
    return IcmpMessage(Kind.EXPIRED, error.quoted) if error.code == 0 else None
