"""Policy routing rules to and from bytes (linux/fib_rules.h)."""

import socket
import struct
from collections.abc import Iterable
from enum import IntEnum

from steerd.config.settings import IPV4, IPV6
from steerd.net.netlink import NLM_F_CREATE, NLM_F_EXCL, Message, attribute, attributes
from steerd.route.model import prefixes
from steerd.route.model.objects import Action, Rule

RTM_NEWRULE = 32
RTM_DELRULE = 33
RTM_GETRULE = 34

_HEADER = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, reserved, reserved, action, flags
_U32 = struct.Struct("=I")


class _Fra(IntEnum):
    DST = 1
    SRC = 2
    IIFNAME = 3
    GOTO = 4
    PRIORITY = 6
    FWMARK = 10
    SUPPRESS_IFGROUP = 13
    SUPPRESS_PREFIXLEN = 14
    TABLE = 15
    FWMASK = 16
    PAD = 18
    PROTOCOL = 21


_FIB_RULE_INVERT = 0x2
_NO_SUPPRESSION = 0xFFFFFFFF
_NARROW_TABLES = 256  # the header's own table field is one byte


def add(rule: Rule, protocol: int) -> Message:
    return Message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _body(rule, protocol))


def remove(rule: Rule, protocol: int) -> Message:
    return Message(RTM_DELRULE, 0, _body(rule, protocol))


def dump_request(family: int) -> bytes:
    return _HEADER.pack(prefixes.ADDRESS_FAMILY[family], 0, 0, 0, 0, 0, 0, 0, 0)


def _body(rule: Rule, protocol: int) -> bytes:
    source = prefixes.pack(rule.family, (rule.source,)) if rule.source else b""
    table = rule.target if rule.action == Action.LOOKUP else 0
    parts = [
        _HEADER.pack(
            prefixes.ADDRESS_FAMILY[rule.family],
            0,
            source[-1] if source else 0,
            0,
            table if table < _NARROW_TABLES else 0,
            0,
            0,
            rule.action,
            _FIB_RULE_INVERT if rule.invert else 0,
        ),
        attribute(_Fra.PRIORITY, _U32.pack(rule.priority)),
        attribute(_Fra.PROTOCOL, bytes((protocol,))),
    ]
    if table:
        parts.append(attribute(_Fra.TABLE, _U32.pack(table)))
    if rule.action == Action.GOTO:
        parts.append(attribute(_Fra.GOTO, _U32.pack(rule.target)))
    if rule.mark or rule.mask:
        parts += [attribute(_Fra.FWMARK, _U32.pack(rule.mark)), attribute(_Fra.FWMASK, _U32.pack(rule.mask))]
    if source:
        parts.append(attribute(_Fra.SRC, source[:-1]))
    if rule.iif:
        parts.append(attribute(_Fra.IIFNAME, rule.iif.encode() + b"\0"))
    if rule.suppress is not None:
        parts.append(attribute(_Fra.SUPPRESS_PREFIXLEN, _U32.pack(rule.suppress)))
    parts += [attribute(kind, value) for kind, value in rule.other]
    return b"".join(parts)


def decode(bodies: Iterable[bytes]) -> list[tuple[int, Rule]]:
    """(protocol, rule) of each."""
    return [_decode(body) for body in bodies]


def _decode(body: bytes) -> tuple[int, Rule]:
    address_family, dst_len, src_len, tos, narrow, _, _, action, flags = _HEADER.unpack_from(body)
    family = IPV4 if address_family == socket.AF_INET else IPV6
    protocol = priority = mark = mask = 0
    target, source, iif = narrow, "", ""
    suppress: int | None = None
    other: list[tuple[int, bytes]] = []
    for kind, value in attributes(body, _HEADER.size):
        match kind:
            case _Fra.PROTOCOL:
                protocol = value[0]
            case _Fra.PRIORITY:
                priority = _U32.unpack(value)[0]
            case _Fra.TABLE:
                target = _U32.unpack(value)[0] if action == Action.LOOKUP else target
            case _Fra.GOTO:
                target = _U32.unpack(value)[0]
            case _Fra.FWMARK:
                mark = _U32.unpack(value)[0]
            case _Fra.FWMASK:
                mask = _U32.unpack(value)[0]
            case _Fra.SRC:
                source = prefixes.text(family, value + bytes((src_len,)))
            case _Fra.IIFNAME:
                iif = value.rstrip(b"\0").decode(errors="replace")
            case _Fra.SUPPRESS_PREFIXLEN:
                number = _U32.unpack(value)[0]
                suppress = None if number == _NO_SUPPRESSION else number
            case _Fra.PAD:
                pass
            case _Fra.SUPPRESS_IFGROUP if value == _U32.pack(_NO_SUPPRESSION):
                pass
            case _ if value.strip(b"\0"):  # a newer kernel may list what it supports, unset
                other.append((kind, value))
    if tos or dst_len:
        # Never set by us: makes the rule compare unequal to any that we want.
        other.append((0, bytes((tos, dst_len))))
    if action not in {Action.LOOKUP, Action.GOTO}:
        target = 0
    invert = bool(flags & _FIB_RULE_INVERT)
    return protocol, Rule(family, priority, action, target, mark, mask, source, iif, invert, suppress, tuple(other))
