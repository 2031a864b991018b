"""Policy routing rules to and from bytes (linux/fib_rules.h)."""

import socket
import struct
from collections.abc import Iterable

from steerd.config.family import IPV4, IPV6
from steerd.net.netlink import NLM_F_CREATE, NLM_F_EXCL, Message, attribute, attributes
from steerd.route.model import prefixes
from steerd.route.model.objects import Action, Fra, Rule

RTM_NEWRULE = 32
RTM_DELRULE = 33
RTM_GETRULE = 34

_HEADER = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, reserved, reserved, action, flags
_U32 = struct.Struct("=I")
_FIB_RULE_INVERT = 0x2
_NO_SUPPRESSION = 0xFFFFFFFF
_NARROW_TABLES = 256  # the header's own table field is one byte


def add(rule: Rule, protocol: int) -> Message:
    """Refused when there is one like it."""
    return Message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _body(rule, protocol))


def remove(rule: Rule, protocol: int) -> Message:
    """Removes the first rule like it."""
    return Message(RTM_DELRULE, 0, _body(rule, protocol))


def dump_request(family: int) -> bytes:
    """Asks for all rules of a family."""
    return _HEADER.pack(prefixes.ADDRESS_FAMILY[family], 0, 0, 0, 0, 0, 0, 0, 0)


def _body(rule: Rule, protocol: int) -> bytes:
    source = prefixes.pack(rule.family, (rule.source,)) if rule.source else b""
    table = rule.target if rule.action == Action.LOOKUP else 0
    family, length = prefixes.ADDRESS_FAMILY[rule.family], source[-1] if source else 0
    narrow, flags = table if table < _NARROW_TABLES else 0, _FIB_RULE_INVERT if rule.invert else 0
    parts = [
        _HEADER.pack(family, 0, length, 0, narrow, 0, 0, rule.action, flags),
        attribute(Fra.PRIORITY, _U32.pack(rule.priority)),
        attribute(Fra.PROTOCOL, bytes((protocol,))),
    ]
    if table:
        parts.append(attribute(Fra.TABLE, _U32.pack(table)))
    if rule.action == Action.GOTO:
        parts.append(attribute(Fra.GOTO, _U32.pack(rule.target)))
    if rule.mark or rule.mask:
        parts += [attribute(Fra.FWMARK, _U32.pack(rule.mark)), attribute(Fra.FWMASK, _U32.pack(rule.mask))]
    if source:
        parts.append(attribute(Fra.SRC, source[:-1]))
    if rule.iif:
        parts.append(attribute(Fra.IIFNAME, rule.iif.encode() + b"\0"))
    if rule.suppress is not None:
        parts.append(attribute(Fra.SUPPRESS_PREFIXLEN, _U32.pack(rule.suppress)))
    parts += [attribute(kind, value) for kind, value in rule.other]
    return b"".join(parts)


def decode(bodies: Iterable[bytes]) -> list[tuple[int, Rule]]:
    """(protocol, rule) of each."""
    return [_decode(body) for body in bodies]


def _decode(body: bytes) -> tuple[int, Rule]:
    address_family, dst_len, src_len, tos, narrow, _, _, action, flags = _HEADER.unpack_from(body)
    family = IPV4 if address_family == socket.AF_INET else IPV6
    values = dict(attributes(body, _HEADER.size))

    def number(kind: Fra, default: int = 0) -> int:
        return int(_U32.unpack(values.pop(kind))[0]) if kind in values else default

    source = values.pop(Fra.SRC, b"")
    iif = values.pop(Fra.IIFNAME, b"").rstrip(b"\0").decode(errors="replace")
    protocol = values.pop(Fra.PROTOCOL, b"\0")[0]
    suppress = number(Fra.SUPPRESS_PREFIXLEN, _NO_SUPPRESSION)
    table, landing = number(Fra.TABLE, narrow), number(Fra.GOTO)
    rule = Rule(
        family,
        number(Fra.PRIORITY),
        action,
        {Action.LOOKUP: table, Action.GOTO: landing}.get(action, 0),
        number(Fra.FWMARK),
        number(Fra.FWMASK),
        prefixes.text(family, source + bytes((src_len,))) if source else "",
        iif,
        invert=bool(flags & _FIB_RULE_INVERT),
        suppress=None if suppress == _NO_SUPPRESSION else suppress,
    )
    values.pop(Fra.PAD, None)
    if values.get(Fra.SUPPRESS_IFGROUP) == _U32.pack(_NO_SUPPRESSION):
        del values[Fra.SUPPRESS_IFGROUP]
    # A newer kernel may list what it supports, unset.
    other = [(kind, value) for kind, value in values.items() if value.strip(b"\0")]
    if tos or dst_len:
        # Never set by us: makes the rule compare unequal to any that we want.
        other.append((0, bytes((tos, dst_len))))
    return protocol, rule._replace(other=tuple(other))
