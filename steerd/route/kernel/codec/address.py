"""Addresses of devices from bytes (linux/if_addr.h)."""

import struct
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from steerd.net.netlink import attributes

RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22

_HEADER = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, device index
_ADDRESS, _LOCAL = 1, 2

DUMP_REQUEST = _HEADER.pack(0, 0, 0, 0, 0)


def decode(body: bytes) -> tuple[int, IPv4Interface | IPv6Interface | None]:
    """The device's number, and the address with its network. Of a point-to-point device that is the near end's."""
    _family, length, _flags, _scope, index = _HEADER.unpack_from(body)
    values = dict(attributes(body, _HEADER.size))
    packed = values.get(_LOCAL) or values.get(_ADDRESS)
    return index, ip_interface((packed, length)) if packed else None


def device_index(body: bytes) -> int:
    """The device's number alone."""
    return int(_HEADER.unpack_from(body)[-1])
