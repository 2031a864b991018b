"""Routes to and from bytes (linux/rtnetlink.h), built for hundreds of thousands of them.

All routes of one kind differ in their prefix only: a kind is encoded once, and prefixes are put in between.
"""

import socket
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from ipaddress import ip_address

from steerd.config.family import IPV4, IPV6
from steerd.net.netlink import NLM_F_CREATE, NLM_F_REPLACE, Message, attribute, attributes
from steerd.route.model.objects import ONLINK, ONLINK_FLAG, Kind, Routes, RouteType
from steerd.route.model.prefixes import ADDRESS_FAMILY, split

RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26

_HEADER = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_U32 = struct.Struct("=I")
_NARROW_TABLES = 256
_SCOPE_UNIVERSE = 0
_SCOPE_LINK = 253
_SCOPE_NOWHERE = 255
_RTM_F_LOOKUP_TABLE, _RTM_F_FIB_MATCH = 0x1000, 0x2000


class Rta(IntEnum):
    DST = 1
    SRC = 2
    IIF = 3
    OIF = 4
    GATEWAY = 5
    PRIORITY = 6
    MULTIPATH = 9
    TABLE = 15
    MARK = 16
    VIA = 18
    NH_ID = 30


def add(routes: Routes, protocol: int, indexes: Mapping[str, int]) -> Iterator[Message]:
    """A message for each, which replaces what its slot holds. ``indexes`` gives devices by name."""
    kind = routes.kind
    scope = _SCOPE_UNIVERSE
    if kind.type == RouteType.UNICAST and not kind.via and not kind.nexthop:
        scope = _SCOPE_LINK
    return _messages(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, routes, protocol, scope, _tail(kind, indexes))


def remove(routes: Routes, protocol: int, indexes: Mapping[str, int]) -> Iterator[Message]:
    """A message for each; ``indexes`` as in `add`."""
    return _messages(RTM_DELROUTE, 0, routes, protocol, _SCOPE_NOWHERE, _tail(routes.kind, indexes))


def dump_request(family: int, *, table: int = 0, protocol: int = 0) -> bytes:
    """Asks for routes; 0 stands for all."""
    header = _HEADER.pack(ADDRESS_FAMILY[family], 0, 0, 0, table if table < _NARROW_TABLES else 0, protocol, 0, 0, 0)
    return header + (attribute(Rta.TABLE, _U32.pack(table)) if table else b"")


def lookup_request(
    family: int, destination: bytes, source: bytes, iif: int, mark: int = 0, *, oif: int = 0, entry: bool = False
) -> bytes:
    """Asks where a packet goes. ``iif`` 0: one that starts here; ``oif``: the device that it is bound to, if to any.
    ``entry``: by which route, not what that comes to."""
    bits = 8 * len(destination)
    table = _RTM_F_LOOKUP_TABLE if family == IPV4 else 0  # IPv6 tells the table anyway, and refuses to be asked
    flags = _RTM_F_FIB_MATCH if entry else table
    header = _HEADER.pack(ADDRESS_FAMILY[family], bits, 8 * len(source), 0, 0, 0, 0, 0, flags)
    origin = attribute(Rta.SRC, source) if source else b""
    devices = _given(Rta.IIF, iif) + _given(Rta.OIF, oif)
    return header + attribute(Rta.DST, destination) + origin + devices + _given(Rta.MARK, mark)


def decode_lookup(body: bytes) -> tuple[int, int, int]:
    """The device's number (0: none), the table, and the deciding prefix's length (for an ``entry`` only)."""
    values = dict(attributes(body, _HEADER.size))
    device, table = (_U32.unpack(values.get(kind, bytes(4)))[0] for kind in (Rta.OIF, Rta.TABLE))
    return device, table or body[4], body[1]


def decode_gateway(body: bytes) -> str:
    """The next hop that a lookup answers with, which may be of another family (RTA_VIA); empty: the device alone."""
    values = dict(attributes(body, _HEADER.size))
    via = values.get(Rta.VIA)
    packed = via[2:] if via else values.get(Rta.GATEWAY, b"")
    return str(ip_address(packed)) if packed else ""


def _tail(kind: Kind, indexes: Mapping[str, int]) -> bytes:
    family = ADDRESS_FAMILY[kind.family]
    slot = attribute(Rta.TABLE, _U32.pack(kind.table)) + attribute(Rta.PRIORITY, _U32.pack(kind.metric))
    device = attribute(Rta.OIF, _U32.pack(indexes.get(kind.device, 0))) if kind.device else b""
    via = attribute(Rta.GATEWAY, socket.inet_pton(family, kind.via.removesuffix(ONLINK))) if kind.via else b""
    return slot + _given(Rta.NH_ID, kind.nexthop) + device + via


def _given(kind: Rta, number: int) -> bytes:
    return attribute(kind, _U32.pack(number)) if number else b""


def _messages(operation: int, flags: int, routes: Routes, protocol: int, scope: int, tail: bytes) -> Iterator[Message]:
    kind = routes.kind
    family = ADDRESS_FAMILY[kind.family]
    narrow = kind.table if kind.table < _NARROW_TABLES else 0
    flag = ONLINK_FLAG if kind.via.endswith(ONLINK) else 0
    heads = [
        _HEADER.pack(family, length, 0, 0, narrow, protocol, scope, kind.type, flag)
        for length in range(33 if kind.family == IPV4 else 129)
    ]
    destination = DESTINATION[kind.family]
    for entry in split(kind.family, routes.prefixes):
        length = entry[-1]
        middle = destination + entry[:-1] if length else b""
        yield Message(operation, flags, heads[length] + middle + tail)


DESTINATION = {IPV4: struct.pack("=HH", 8, Rta.DST), IPV6: struct.pack("=HH", 20, Rta.DST)}
"""The head of the destination attribute."""
