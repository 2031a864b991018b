"""Routes to and from bytes (linux/rtnetlink.h), built for hundreds of thousands of them.

All routes of one kind differ in their prefix only. So a kind is encoded once and prefixes are put in
between; and of what the kernel lists, everything but the prefix is decoded once for each kind.
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

from steerd.config.settings import IPV4, IPV6
from steerd.route.netlink import NLM_F_CREATE, NLM_F_REPLACE, Message, attribute, attributes
from steerd.route.objects import Kind, Routes, RouteType
from steerd.route.prefixes import ADDRESS_FAMILY, split

RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26

_HEADER = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_U32 = struct.Struct("=I")
_NARROW_TABLES = 256
_SCOPE_UNIVERSE = 0
_SCOPE_LINK = 253
_SCOPE_NOWHERE = 255
_CLONED = 0x200
_TEMPLATES = 1024


class _Rta(IntEnum):
    DST = 1
    OIF = 4
    GATEWAY = 5
    PRIORITY = 6
    MULTIPATH = 9
    TABLE = 15
    NH_ID = 30


def add(routes: Routes, protocol: int, indexes: Mapping[str, int]) -> Iterator[Message]:
    """Each takes the place of what its slot holds. ``indexes`` gives devices by name."""
    kind = routes.kind
    scope = _SCOPE_UNIVERSE
    if kind.type == RouteType.UNICAST and not kind.via and not kind.nexthop:
        scope = _SCOPE_LINK
    return _messages(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, routes, protocol, scope, _tail(kind, indexes))


def remove(routes: Routes, protocol: int, indexes: Mapping[str, int]) -> Iterator[Message]:
    return _messages(RTM_DELROUTE, 0, routes, protocol, _SCOPE_NOWHERE, _tail(routes.kind, indexes))


def dump_request(family: int, *, table: int = 0, protocol: int = 0) -> bytes:
    """0 stands for all."""
    header = _HEADER.pack(ADDRESS_FAMILY[family], 0, 0, 0, table if table < _NARROW_TABLES else 0, protocol, 0, 0, 0)
    return header + (attribute(_Rta.TABLE, _U32.pack(table)) if table else b"")


def _tail(kind: Kind, indexes: Mapping[str, int]) -> bytes:
    family = ADDRESS_FAMILY[kind.family]
    parts = [attribute(_Rta.TABLE, _U32.pack(kind.table)), attribute(_Rta.PRIORITY, _U32.pack(kind.metric))]
    if kind.nexthop:
        parts.append(attribute(_Rta.NH_ID, _U32.pack(kind.nexthop)))
    if kind.device:
        parts.append(attribute(_Rta.OIF, _U32.pack(indexes.get(kind.device, 0))))
    if kind.via:
        parts.append(attribute(_Rta.GATEWAY, socket.inet_pton(family, kind.via)))
    return b"".join(parts)


def _messages(operation: int, flags: int, routes: Routes, protocol: int, scope: int, tail: bytes) -> Iterator[Message]:
    kind = routes.kind
    family = ADDRESS_FAMILY[kind.family]
    narrow = kind.table if kind.table < _NARROW_TABLES else 0
    heads = [
        _HEADER.pack(family, length, 0, 0, narrow, protocol, scope, kind.type, 0)
        for length in range(33 if kind.family == IPV4 else 129)
    ]
    destination = _DESTINATION[kind.family]
    for entry in split(kind.family, routes.prefixes):
        length = entry[-1]
        middle = destination + entry[:-1] if length else b""
        yield Message(operation, flags, heads[length] + middle + tail)


_DESTINATION = {IPV4: struct.pack("=HH", 8, _Rta.DST), IPV6: struct.pack("=HH", 20, _Rta.DST)}
"""The head of the destination attribute."""


class Found(NamedTuple):
    """Routes by kind, their prefixes sorted and packed; and, apart, those of other protocols."""

    ours: dict[Kind, bytes]
    foreign: list[tuple[int, Kind]]


def decode(family: int, bodies: Iterable[bytes], names: Mapping[int, str], protocol: int) -> Found:
    """``names`` gives devices by index."""
    templates: dict[bytes, tuple[int, Kind] | None] = {}
    found: dict[tuple[int, Kind], list[bytes]] = {}
    last = b"\0"
    entries: list[bytes] | None = None
    width = 4 if family == IPV4 else 16
    head = _DESTINATION[family]
    end = 24 + width
    nothing = bytes(width + 1)
    for body in bodies:
        # The kernel puts the table first and the destination next; anything else is taken the slow way.
        if body[20:24] == head and body[1]:
            template = body[:1] + body[2:20] + body[end:]
            entry = body[24:end] + body[1:2]
        elif not body[1]:
            template = body[:1] + body[2:]
            entry = nothing
        else:
            template, entry = _slowly(body)
        if template != last:
            last = template
            if template not in templates:
                if len(templates) >= _TEMPLATES:
                    templates.clear()
                templates[template] = _decode_template(template, names)
            known = templates[template]
            entries = None if known is None else found.setdefault(known, [])
        if entries is not None:
            entries.append(entry)
    ours = {kind: b"".join(sorted(some)) for (whose, kind), some in found.items() if whose == protocol}
    return Found(ours, [key for key in found if key[0] != protocol])


def _slowly(body: bytes) -> tuple[bytes, bytes]:
    rest = [body[:1], body[2:12]]
    address = b""
    for kind, value in attributes(body, 12):
        if kind == _Rta.DST:
            address = value
        else:
            rest.append(attribute(kind, value))
    return b"".join(rest), address + body[1:2]


def _decode_template(template: bytes, names: Mapping[int, str]) -> tuple[int, Kind] | None:
    """A route without its prefix and prefix length; None for what is no entry of a table (a cached clone)."""
    address_family, _src_len, _tos, table, protocol, _scope, kind, flags = struct.unpack_from("=BBBBBBBI", template)
    if flags & _CLONED:
        return None
    family = IPV4 if address_family == socket.AF_INET else IPV6
    metric = nexthop = 0
    device = via = ""
    for one, value in attributes(template, 11):
        match one:
            case _Rta.TABLE:
                table = _U32.unpack(value)[0]
            case _Rta.PRIORITY:
                metric = _U32.unpack(value)[0]
            case _Rta.NH_ID:
                nexthop = _U32.unpack(value)[0]
            case _Rta.OIF:
                index = _U32.unpack(value)[0]
                device = names.get(index, f"if{index}")
            case _Rta.GATEWAY:
                via = socket.inet_ntop(address_family, value)
            case _Rta.MULTIPATH:
                via = "multipath"  # never ours unless by nexthop id, where it is only a copy of the group
            case _:
                pass
    if nexthop or kind != RouteType.UNICAST:
        # Copies of what the id says, or the loopback device of an IPv6 reject.
        device = via = ""
    if nexthop:
        kind = RouteType.UNICAST
    return protocol, Kind(family, table, metric, kind, nexthop, device, via)
