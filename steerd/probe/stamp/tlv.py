"""What may follow a STAMP packet: type, length and value (RFC 8972, section 4). Pure.

steerd sends Extra Padding only, and reflects anything: unknown TLVs go back as they came, flagged as such.
"""

import hmac
import struct
from typing import NamedTuple

from steerd.probe.stamp.packet import BASE, BASE_SIGNED, HMAC_SIZE, digest

EXTRA_PADDING = 1
HMAC = 8
"""Types (RFC 8972, section 5.1)."""

UNRECOGNIZED, MALFORMED, INTEGRITY = 0x80, 0x40, 0x20
"""Flags (RFC 8972, section 4): a sender sets the first, a reflector sets each where it is true."""

_HEAD = struct.Struct("!BBH")
_SEQUENCE = struct.Struct("!I")


class Tlv(NamedTuple):
    """Flags, type and value."""

    flags: int
    kind: int
    value: bytes

    def pack(self, flags: int) -> bytes:
        """Its bytes, with these flags."""
        return _HEAD.pack(flags, self.kind, len(self.value)) + self.value


def padding(size: int, *, signed: bool) -> bytes:
    """The Extra Padding (RFC 8972, section 4.1) that fills a packet up to ``size`` bytes: none if the base packet is as
    long, else at least the four bytes of its own head."""
    missing = size - (BASE_SIGNED if signed else BASE)
    if missing <= 0:
        return b""
    length = max(0, missing - _HEAD.size)
    return _HEAD.pack(UNRECOGNIZED, EXTRA_PADDING, length) + bytes(length)


def reflect(tlvs: bytes, key: bytes | None, asked: int, sequence: int) -> bytes:
    """What follows the reflected packet ``sequence`` if ``tlvs`` followed the sender's packet ``asked``: as many
    bytes. With a key they must be signed with it (section 4.8), and are signed again."""
    if not tlvs:
        return tlvs
    found, rest = split(tlvs)
    proved = _proved(found, rest, key, asked)
    answer: list[bytes] = []
    for tlv in found:
        if proved is False:
            answer.append(tlv.pack(tlv.flags | INTEGRITY))
        elif key and proved and tlv.kind == HMAC:
            answer.append(tlv._replace(value=_sign(key, sequence, b"".join(answer))).pack(0))
        else:
            answer.append(tlv.pack(0 if tlv.kind == EXTRA_PADDING else UNRECOGNIZED))
    if rest:
        answer.append(bytes([rest[0] | MALFORMED]) + rest[1:])
    return b"".join(answer)


def split(tlvs: bytes) -> tuple[list[Tlv], bytes]:
    """The TLVs, and everything from the first malformed one on."""
    found: list[Tlv] = []
    at = 0
    while len(tlvs) - at >= _HEAD.size:
        flags, kind, length = _HEAD.unpack_from(tlvs, at)
        end = at + _HEAD.size + length
        if end > len(tlvs) or (kind == HMAC and length != HMAC_SIZE):
            break
        found.append(Tlv(flags, kind, tlvs[at + _HEAD.size : end]))
        at = end
    return found, tlvs[at:]


def _proved(found: list[Tlv], rest: bytes, key: bytes | None, asked: int) -> bool | None:
    """Whether the HMAC among the TLVs is right; None if none is needed, or there is no key to tell."""
    if key is None:
        return None
    places = [place for place, tlv in enumerate(found) if tlv.kind == HMAC]
    if not places:
        # Padding alone needs no signature; a malformed TLV is not processed.
        return None if not found or ([tlv.kind for tlv in found] == [EXTRA_PADDING] and not rest) else False
    place = places[0]
    if len(places) > 1 or any(tlv.kind != EXTRA_PADDING for tlv in found[place + 1 :]):
        return False
    text = b"".join(tlv.pack(tlv.flags) for tlv in found[:place])
    return hmac.compare_digest(_sign(key, asked, text), found[place].value)


def _sign(key: bytes, sequence: int, text: bytes) -> bytes:
    """The HMAC covers the packet's sequence number and the TLVs before it (RFC 8972, section 4.8)."""
    return digest(key, _SEQUENCE.pack(sequence) + text)
