"""Nexthops, nexthop groups and their buckets to and from bytes (linux/nexthop.h)."""

import socket
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import IntEnum

from steerd.config.family import IPV4, IPV6
from steerd.net.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Message, attribute, attributes
from steerd.route.model.objects import ONLINK, ONLINK_FLAG, Group, Nexthop, written
from steerd.route.model.prefixes import ADDRESS_FAMILY

RTM_NEWNEXTHOP = 104
RTM_DELNEXTHOP = 105
RTM_GETNEXTHOP = 106
RTM_GETNEXTHOPBUCKET = 118

_HEADER = struct.Struct("=BBBBI")  # family, scope, protocol, reserved, flags
_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")
_MEMBER = struct.Struct("=IBBH")  # id, weight - 1, reserved
_NESTED = 0x8000
_GROUP_TYPE_RESILIENT = 1


class _Nha(IntEnum):
    ID = 1
    GROUP = 2
    GROUP_TYPE = 3
    BLACKHOLE = 4
    OIF = 5
    GATEWAY = 6
    RES_GROUP = 12
    RES_BUCKET = 13


class _NhaResGroup(IntEnum):
    BUCKETS = 1
    IDLE_TIMER = 2


_NHA_RES_BUCKET_NH_ID = 3

DUMP_REQUEST = _HEADER.pack(0, 0, 0, 0, 0)


def add_nexthop(nexthop: Nexthop, index: int, protocol: int, *, replace: bool = False) -> Message:
    """A message that makes it; ``index`` is the device's."""
    family = ADDRESS_FAMILY[nexthop.family]
    gateway, onlink, _ = nexthop.via.partition(ONLINK)
    parts = [
        _HEADER.pack(family, 0, protocol, 0, ONLINK_FLAG if onlink else 0),
        attribute(_Nha.ID, _U32.pack(nexthop.id)),
        attribute(_Nha.OIF, _U32.pack(index)),
    ]
    if gateway:
        parts.append(attribute(_Nha.GATEWAY, socket.inet_pton(family, gateway)))
    return Message(RTM_NEWNEXTHOP, NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL), b"".join(parts))


def add_group(group: Group, protocol: int) -> Message:
    """Refused when there is one with this id."""
    return Message(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_EXCL, _group(group, protocol))


def replace_group(group: Group, protocol: int) -> Message:
    """Refused when there is no such group: one made anew would have no routes."""
    return Message(RTM_NEWNEXTHOP, NLM_F_REPLACE, _group(group, protocol))


def _group(group: Group, protocol: int) -> bytes:
    members = b"".join(_MEMBER.pack(one, weight - 1, 0, 0) for one, weight in group.members)
    resilience = attribute(_NhaResGroup.BUCKETS, _U16.pack(group.buckets)) + attribute(
        _NhaResGroup.IDLE_TIMER, _U32.pack(group.idle_timer)
    )
    return (
        _HEADER.pack(socket.AF_UNSPEC, 0, protocol, 0, 0)
        + attribute(_Nha.ID, _U32.pack(group.id))
        + attribute(_Nha.GROUP, members)
        + attribute(_Nha.GROUP_TYPE, _U16.pack(_GROUP_TYPE_RESILIENT))
        + attribute(_Nha.RES_GROUP | _NESTED, resilience)
    )


def remove(number: int) -> Message:
    """A nexthop or a group; the routes that use it go with it."""
    return Message(RTM_DELNEXTHOP, 0, DUMP_REQUEST + attribute(_Nha.ID, _U32.pack(number)))


def buckets_request(group: int) -> bytes:
    """Asks for all buckets of a group."""
    return DUMP_REQUEST + attribute(_Nha.ID, _U32.pack(group))


def decode(bodies: Iterable[bytes], names: Mapping[int, str]) -> list[tuple[int, Nexthop | Group]]:
    """(protocol, object) of each; ``names`` gives devices by index."""
    return [_decode(body, names) for body in bodies]


def _decode(body: bytes, names: Mapping[int, str]) -> tuple[int, Nexthop | Group]:
    address_family, _scope, protocol, _, flags = _HEADER.unpack_from(body)
    values = dict(attributes(body, _HEADER.size))
    number = _U32.unpack(values[_Nha.ID])[0]
    if _Nha.GROUP in values:
        members = tuple(
            (one, weight + 1 + (high << 8)) for one, weight, high, _ in _MEMBER.iter_unpack(values[_Nha.GROUP])
        )
        resilience = dict(attributes(values.get(_Nha.RES_GROUP, b""), 0))
        size = _U16.unpack(resilience.get(_NhaResGroup.BUCKETS, b"\0\0"))[0]
        idle = _U32.unpack(resilience.get(_NhaResGroup.IDLE_TIMER, bytes(4)))[0]
        return protocol, Group(number, members, size, idle)
    family = IPV6 if address_family == socket.AF_INET6 else IPV4
    device = ""
    if _Nha.OIF in values and _Nha.BLACKHOLE not in values:
        index = _U32.unpack(values[_Nha.OIF])[0]
        device = names.get(index, f"if{index}")
    gateway = values.get(_Nha.GATEWAY)
    via = written(socket.inet_ntop(ADDRESS_FAMILY[family], gateway) if gateway else "", flags)
    return protocol, Nexthop(number, family, device, via)


def decode_buckets(bodies: Iterable[bytes]) -> Counter[int]:
    """How many buckets each nexthop has."""
    found: Counter[int] = Counter()
    for body in bodies:
        for kind, value in attributes(body, _HEADER.size):
            if kind == _Nha.RES_BUCKET:
                found[_U32.unpack(dict(attributes(value, 0))[_NHA_RES_BUCKET_NH_ID])[0]] += 1
    return found
