"""Network devices from bytes (linux/if_link.h)."""

import struct
from collections.abc import Iterable
from enum import IntEnum

from steerd.net.netlink import attribute, attributes
from steerd.route.kernel.codec.tunnel import far_end
from steerd.route.model.objects import Device

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18

_HEADER = struct.Struct("=BBHiII")  # family, padding, type, index, flags, change
_U32 = struct.Struct("=I")
_IFF_UP = 0x1
_IFF_RUNNING = 0x40  # the operational state is up, or the driver does not know one (TUN, WireGuard)
_IFF_LOWER_UP = 0x10000  # carrier
_USABLE = _IFF_UP | _IFF_RUNNING | _IFF_LOWER_UP
_SKIP_STATISTICS = struct.pack("=I", 1 << 3)


class _Ifla(IntEnum):
    IFNAME = 3
    MTU = 4
    LINK = 5
    LINKINFO = 18
    EXT_MASK = 29
    LINK_NETNSID = 37


_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND = 1, 2, 4
_BESIDE = {b"", b"veth", b"dsa"}
"""Kinds whose link is not a device that they are on: the other end of a cable, a switch's port to the processor."""

DUMP_REQUEST = _HEADER.pack(0, 0, 0, 0, 0, 0) + attribute(_Ifla.EXT_MASK, _SKIP_STATISTICS)


def decode(bodies: Iterable[bytes]) -> dict[str, Device]:
    """Devices by name."""
    return {device.name: device for device in map(decode_one, bodies)}


def decode_one(body: bytes) -> Device:
    """One device."""
    _family, _padding, _type, index, flags, _change = _HEADER.unpack_from(body)
    values = dict(attributes(body, _HEADER.size))
    name = values.get(_Ifla.IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    info = dict(attributes(values.get(_Ifla.LINKINFO, b""), 0))
    vrf = info.get(_IFLA_INFO_SLAVE_KIND, b"").rstrip(b"\0") == b"vrf"
    mtu = _U32.unpack(values.get(_Ifla.MTU, bytes(4)))[0]
    kind = info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0")
    elsewhere = _Ifla.LINK_NETNSID in values or kind in _BESIDE
    lower = 0 if elsewhere else _U32.unpack(values.get(_Ifla.LINK, bytes(4)))[0]
    remote, mark = far_end(kind, info.get(_IFLA_INFO_DATA, b""))
    return Device(index, name, flags & _USABLE == _USABLE, vrf, mtu, lower, remote, mark)
