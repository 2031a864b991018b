"""MQTT 5 packets, seen before paho buffers any of them: what a broker may send to a gateway, and how much.

paho does not hold the sender to the size that we announced, keeps what comes with QoS 2 until it is released, and
leaves a packet that it cannot read in its way for ever.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

PACKET_MAX: Final = 64 << 10
"""Bytes of a packet, which we announce in CONNECT."""
OTHERS_MAX: Final = 4 << 10
"""Bytes of a packet other than PUBLISH: paho takes long for many properties."""
PROPERTIES_MAX: Final = 1 << 10
"""Bytes of the properties of a PUBLISH, for the same reason. Anybody may publish more: then it is passed over."""

UNREADABLE: Final = "malformed packet"
REASONS: Final = ("invalid topic", UNREADABLE, "packet above 64 KiB", "QoS 2", "unexpected packet")
"""All that a connection is ended for."""


class Kind(IntEnum):
    """The packets that a client may get which asks for no QoS 2 nor enhanced authentication, and never unsubscribes."""

    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBACK = 9
    PINGRESP = 13
    DISCONNECT = 14


_KINDS: Final = frozenset(Kind)


class BrokenError(ValueError):
    """The broker breaks the protocol, or does what was never asked for. `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the broker sends what it must not: {reason}")
        self.reason = reason


class Packet(NamedTuple):
    """One whole packet. ``passed_over``: it is sound, and not for paho; ``answer``: what its sender waits for."""

    data: bytes
    passed_over: bool = False
    answer: bytes = b""


class Framing:
    """Cuts a stream into packets. Holds one incomplete packet at most, and no more of it than came."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun = False

    def packets(self, data: bytes) -> Iterator[Packet]:
        """The packets that ``data`` completes. BrokenError: at the first byte that shows it."""
        self._buffer += data
        while (size := self._size()) is not None and len(self._buffer) >= size:
            packet = bytes(self._buffer[:size])
            del self._buffer[:size]
            yield _published(packet) if packet[0] >> 4 == Kind.PUBLISH else Packet(packet)

    def _size(self) -> int | None:
        """How long the packet that begins here is; None: it cannot be told yet."""
        buffer = self._buffer
        if not buffer:
            return None
        kind, flags = buffer[0] >> 4, buffer[0] & 0x0F
        if kind not in _KINDS or (kind == Kind.CONNACK) is self._begun:
            raise BrokenError("unexpected packet")
        if kind != Kind.PUBLISH and flags:
            raise BrokenError(UNREADABLE)
        if kind == Kind.PUBLISH and flags & 0b0110 > 0b0010:
            raise BrokenError("QoS 2" if flags & 0b0110 == 0b0100 else UNREADABLE)
        read = _number(buffer, 1)
        if read is None:
            return None
        length, begins = read
        if begins + length > PACKET_MAX:
            raise BrokenError("packet above 64 KiB")
        if length > OTHERS_MAX and kind != Kind.PUBLISH:
            raise BrokenError(UNREADABLE)
        if len(buffer) >= begins + length:
            self._begun = True
        return begins + length


def _published(packet: bytes) -> Packet:
    """A PUBLISH (MQTT 5, 3.3) whose topic is one, and whose properties are few."""
    try:
        _, begins = _number(packet, 1) or (0, 0)
        ends = begins + 2 + int.from_bytes(packet[begins : begins + 2], "big")
        topic = packet[begins + 2 : ends].decode()
    except UnicodeDecodeError as error:
        raise BrokenError("invalid topic") from error
    if not topic or {"+", "#", "\0"} & set(topic):
        raise BrokenError("invalid topic")
    confirmed = packet[0] & 0b0010
    identifier = packet[ends : ends + 2] if confirmed else b""
    properties = _number(packet, ends + len(identifier))
    if len(packet) < ends or properties is None or identifier == b"\0\0" or sum(properties) > len(packet):
        raise BrokenError(UNREADABLE)
    answer = bytes((Kind.PUBACK << 4, 2)) + identifier if confirmed else b""
    return Packet(packet, properties[0] > PROPERTIES_MAX, answer)


def _number(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer (MQTT 5, 1.5.5), and where it ends; None: it is cut off."""
    value = 0
    for place in range(4):
        if at + place >= len(data):
            return None
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise BrokenError(UNREADABLE)
