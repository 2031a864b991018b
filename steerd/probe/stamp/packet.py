"""The packets of STAMP, the Simple Two-Way Active Measurement Protocol. Pure: no socket, no clock.

RFC 8762 has the base packets: section 4.2 the Session-Sender's, 4.3 the Session-Reflector's, 4.4 their
authentication. RFC 8972 gives two of their zero bytes to the session's identifier (section 3) and lets TLVs follow
(section 4; `steerd.probe.stamp.tlv`). Both kinds are 44 bytes, 112 with a key.
"""

import hmac
import math
import struct
from typing import Any, NamedTuple

HMAC_SIZE = 16
"""Bytes of an HMAC-SHA-256 that are sent: 128 bits of it (RFC 8762, section 4.4)."""

# Each without authentication, and with, up to the HMAC.
_SENDER = struct.Struct("!IQHH28x"), struct.Struct("!I12xQHH68x")
_REFLECTED = struct.Struct("!IQHHQIQHxxB3x"), struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x")

BASE, BASE_SIGNED = _SENDER[0].size, _SENDER[1].size + HMAC_SIZE
"""Bytes of a packet without TLVs; signed is what the RFC calls authenticated."""

_NTP_TO_UNIX = 2_208_988_800  # seconds from 1900 to 1970
_SECOND = 1_000_000_000
_ERA = 1 << 32
_HALF_ERA = 1 << 31

_SYNCHRONIZED, _PTP = 0x8000, 0x4000
_SCALE_BITS, _SCALES, _MULTIPLIERS = 8, 0x3F, 0xFF


class SenderPacket(NamedTuple):
    """A test packet of a Session-Sender. ``timestamp`` is a 64-bit NTP time stamp, ``error`` an Error Estimate of 16
    bits, ``ssid`` the STAMP Session Identifier (0: none), ``tlvs`` whatever follows the base packet."""

    sequence: int
    timestamp: int
    error: int
    ssid: int
    tlvs: bytes = b""


class ReflectedPacket(NamedTuple):
    """A test packet of a Session-Reflector: what it was asked with (``sender_...``), when that was ``received``,
    and when the answer left (``timestamp``). ``error`` is that of both its time stamps."""

    sequence: int
    timestamp: int
    error: int
    ssid: int
    received: int
    sender_sequence: int
    sender_timestamp: int
    sender_error: int
    sender_ttl: int
    tlvs: bytes = b""


class ErrorEstimate(NamedTuple):
    """How far a time stamp may be off, in seconds; whether its clock follows UTC; whether the time stamp is in the
    truncated format of PTP in place of NTP's (RFC 4656, section 4.1.2; RFC 8186, section 2.3, for ``ptp``)."""

    seconds: float
    synchronized: bool = False
    ptp: bool = False

    def pack(self) -> int:
        """The 16 bits of the field; of all that can be said, the least that is not below ``seconds``."""
        units = math.ceil(self.seconds * _ERA)
        scale = min(_SCALES, max(0, units.bit_length() - 8))
        multiplier = -(-units >> scale)
        if multiplier > _MULTIPLIERS and scale < _SCALES:
            scale += 1
            multiplier = -(-units >> scale)
        flags = (_SYNCHRONIZED if self.synchronized else 0) | (_PTP if self.ptp else 0)
        # A multiplier of zero is forbidden.
        return flags | scale << _SCALE_BITS | min(_MULTIPLIERS, max(1, multiplier))

    @classmethod
    def read(cls, field: int) -> "ErrorEstimate":
        """What the 16 bits of the field say."""
        scale = field >> _SCALE_BITS & _SCALES
        return cls(math.ldexp(field & _MULTIPLIERS, scale - 32), bool(field & _SYNCHRONIZED), bool(field & _PTP))


UNSYNCHRONIZED = ErrorEstimate(1.0).pack()
"""Of our own time stamps: nobody should compare them with another clock's."""


def ntp(at_ns: int) -> int:
    """CLOCK_REALTIME in ns as a 64-bit NTP time stamp (RFC 5905, section 6): seconds since 1900, modulo 2^32, and
    32 bits of fraction. `nanoseconds` gives back the same value."""
    seconds, rest = divmod(at_ns, _SECOND)
    return (seconds + _NTP_TO_UNIX) % _ERA << 32 | (rest << 32) // _SECOND


def nanoseconds(timestamp: int, error: int = 0) -> int:
    """A time stamp as CLOCK_REALTIME in ns: in the format that its Error Estimate names.

    NTP's seconds are read as a time from 1968 to 2104. PTP's are left as they are, though they count leap seconds.
    """
    seconds, rest = timestamp >> 32, timestamp % _ERA
    if error & _PTP:
        return seconds * _SECOND + rest
    if seconds < _HALF_ERA:
        seconds += _ERA
    return (seconds - _NTP_TO_UNIX) * _SECOND + (rest * _SECOND + _HALF_ERA >> 32)


def pack(packet: SenderPacket | ReflectedPacket, key: bytes | None) -> bytes:
    """The bytes of a packet (RFC 8762, sections 4.2.1 and 4.2.2, 4.3.1 and 4.3.2); with a key it is signed."""
    layouts = _SENDER if isinstance(packet, SenderPacket) else _REFLECTED
    text = layouts[bool(key)].pack(*packet[:-1])
    return text + (digest(key, text) if key else b"") + packet.tlvs


def read_sender(data: bytes, key: bytes | None) -> SenderPacket | None:
    """What a Session-Reflector received; None if it is too short or not signed with this key."""
    fields = _read(_SENDER, data, key)
    return SenderPacket._make(fields) if fields else None


def read_reflected(data: bytes, key: bytes | None) -> ReflectedPacket | None:
    """What a Session-Sender received; None if it is too short or not signed with this key."""
    fields = _read(_REFLECTED, data, key)
    return ReflectedPacket._make(fields) if fields else None


def digest(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA-256 of ``text``, truncated to 128 bits as in RFC 4868."""
    return hmac.digest(key, text, "sha256")[:HMAC_SIZE]


def _read(layouts: tuple[struct.Struct, struct.Struct], data: bytes, key: bytes | None) -> tuple[Any, ...] | None:
    base, layout = (BASE_SIGNED if key else BASE), layouts[bool(key)]
    if len(data) < base or (
        key and not hmac.compare_digest(digest(key, data[: layout.size]), data[layout.size : base])
    ):
        return None
    return *layout.unpack_from(data), data[base:]
