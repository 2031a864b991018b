"""The echo packet, both families: made without a checksum loop, read without trusting it.

Behind the header of the echo come 56 bytes, or as many as the path asks for: a cookie of 16, the probe's number, which
is drawn so that nobody can answer what he has not received, and what makes the sum of all that changes constant (the
complements of number and sequence). So one checksum serves all the probes of one identifier, and equal-cost paths on
the way hash them all alike.
"""

import struct
from typing import NamedTuple

from steerd.config.family import IPV4
from steerd.net import icmp
from steerd.net.icmp import ECHO, ECHO_REPLY, ICMP_HEADER, Quote

IDENTIFIER_MASK = 0xFC00
"""The identifier's bits that tell this process' probes; the rest changes when a path goes silent."""

COOKIE_SIZE = 16
TAG_SIZE = 4
"""The first bytes of all cookies of a process are the same, for the filter in the kernel."""

_HEAD = struct.Struct("!BBHH")
_TAIL = struct.Struct("!H16sIIH")
_ECHO = struct.Struct("!4xHH16sI")
PAYLOAD = 56
"""Bytes behind the header of an echo, as `ping` sends them."""
_USED = COOKIE_SIZE + 10


class EchoReply(NamedTuple):
    """An echo reply as it came: believe nothing in it before cookie and source are compared."""

    identifier: int
    sequence: int
    cookie: bytes
    number: int


def rotated(identifiers: int, rotation: int) -> int:
    """The bits of ``identifiers`` under `IDENTIFIER_MASK`; the others go round with ``rotation``, any number."""
    return identifiers & IDENTIFIER_MASK | rotation & ~IDENTIFIER_MASK & 0xFFFF


def head(family: int, identifier: int, cookie: bytes) -> bytes:
    """The first six bytes of all these echo requests. The kernel fills in the checksum of ICMPv6."""
    checksum = 0
    if family == IPV4:
        words = struct.unpack("!8H", cookie)
        total = (ECHO[family] << 8) + identifier + sum(words)
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        # Each number and sequence comes with its complement: 0xFFFF a pair, which is zero in this sum.
        checksum = total ^ 0xFFFF
    return _HEAD.pack(ECHO[family], 0, checksum, identifier)


def echo_request(head: bytes, cookie: bytes, number: int, padding: bytes = bytes(PAYLOAD - _USED)) -> bytes:
    """The packet of probe ``number`` (32 bits); the sequence is its lower half. ``padding`` as `padding` gives it."""
    sequence = number & 0xFFFF
    return head + _TAIL.pack(sequence, cookie, number, number ^ 0xFFFFFFFF, sequence ^ 0xFFFF) + padding


def padding(size: int) -> bytes:
    """What fills the payload up to ``size`` bytes; 0: up to `PAYLOAD`."""
    return bytes((size or PAYLOAD) - _USED)


def read(family: int, data: bytes | memoryview) -> EchoReply | Quote | None:
    """What a raw socket of ``family`` received: an IPv4 packet with its header, an ICMPv6 message without."""
    start = (data[0] & 0xF) * 4 if family == IPV4 and data else 0
    if len(data) < start + ICMP_HEADER:
        return None
    if data[start] == ECHO_REPLY[family]:
        if len(data) < start + _ECHO.size:
            return None
        return EchoReply(*_ECHO.unpack_from(data, start))
    error = icmp.error(family, data, start)
    return icmp.quoted_echo(family, error.quoted, error.limit) if error else None


def number_in(packet: bytes, tag: bytes) -> int | None:
    """The number of our probe somewhere in ``packet``, behind headers of any length."""
    at = packet.rfind(tag)
    if at < 0 or len(packet) < at + COOKIE_SIZE + 4:
        return None
    (number,) = struct.unpack_from("!I", packet, at + COOKIE_SIZE)
    return int(number)
