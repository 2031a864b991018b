"""Network devices, the far ends of tunnels, and addresses from bytes (linux/if_link.h, if_tunnel.h, if_addr.h)."""

import struct
from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Final, NamedTuple

from steerd.net.netlink import attribute, attributes
from steerd.route.model.objects import Device

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22

_HEADER = struct.Struct("=BBHiII")  # family, padding, type, index, flags, change
_U32 = struct.Struct("=I")
_IFF_UP = 0x1
_IFF_RUNNING = 0x40  # the operational state is up, or the driver does not know one (TUN, WireGuard)
_IFF_LOWER_UP = 0x10000  # carrier
_USABLE = _IFF_UP | _IFF_RUNNING | _IFF_LOWER_UP
_ETHERNET = 6  # bytes of an address
_SKIP_STATISTICS = struct.pack("=I", 1 << 3)


class _Ifla(IntEnum):
    ADDRESS = 1
    IFNAME = 3
    MTU = 4
    LINK = 5
    MASTER = 10
    LINKINFO = 18
    EXT_MASK = 29
    LINK_NETNSID = 37


_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND = 1, 2, 4
_BESIDE = {b"", b"veth", b"dsa"}
"""Kinds whose link is not a device that they are on: the other end of a cable, a switch's port to the processor."""


class _Places(NamedTuple):
    """Where a kind of tunnel has its remote address, and the mark of its outer packets (0: it has none)."""

    remotes: tuple[int, ...]
    mark: int = 0


_GRE, _IPTUN, _VTI = _Places((7,), 20), _Places((3,), 20), _Places((5,), 6)
_TUNNELS: Final = {
    **dict.fromkeys((b"gre", b"gretap", b"ip6gre", b"ip6gretap", b"erspan", b"ip6erspan"), _GRE),
    **dict.fromkeys((b"ipip", b"sit", b"ip6tnl"), _IPTUN),
    **dict.fromkeys((b"vti", b"vti6"), _VTI),
    b"vxlan": _Places((2, 16)),
    b"geneve": _Places((2, 7)),
}
_INHERIT: Final = {b"vxlan", b"geneve"}
"""Tunnels whose outer packets the kernel routes by the mark of the inner ones (drivers/net/vxlan, geneve)."""

_ADDRESS_HEADER = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, device index
_IFA_ADDRESS, _IFA_LOCAL = 1, 2

DUMP_REQUEST = _HEADER.pack(0, 0, 0, 0, 0, 0) + attribute(_Ifla.EXT_MASK, _SKIP_STATISTICS)
ADDRESSES_REQUEST = _ADDRESS_HEADER.pack(0, 0, 0, 0, 0)


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
    hardware = values.get(_Ifla.ADDRESS, b"")
    master = _U32.unpack(values.get(_Ifla.MASTER, bytes(4)))[0]
    return Device(
        index,
        name,
        flags & _USABLE == _USABLE,
        vrf,
        mtu,
        lower,
        remote,
        mark,
        kind in _INHERIT,
        hardware.hex(":") if len(hardware) == _ETHERNET else "",
        kind == b"bridge",
        master,
    )


def far_end(kind: bytes, data: bytes) -> tuple[str, int]:
    """The remote address of a tunnel's outer packets, and their mark; "" and 0: it is no tunnel, or has none."""
    places = _TUNNELS.get(kind)
    if places is None:
        return "", 0
    values = dict(attributes(data, 0))
    found = [values[place] for place in places.remotes if place in values]
    addresses = [ip_address(one) for one in found if len(one) in (4, 16)]
    known = [str(one) for one in addresses if not one.is_unspecified and not one.is_multicast]
    mark = values.get(places.mark, b"") if places.mark else b""
    return known[0] if known else "", _U32.unpack(mark)[0] if len(mark) == _U32.size else 0


def decode_address(body: bytes) -> tuple[int, IPv4Interface | IPv6Interface | None]:
    """The device's number, and the address with its network. Of a point-to-point device that is the near end's."""
    _family, length, _flags, _scope, index = _ADDRESS_HEADER.unpack_from(body)
    values = dict(attributes(body, _ADDRESS_HEADER.size))
    packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
    return index, ip_interface((packed, length)) if packed else None


def address_device(body: bytes) -> int:
    """The number of the device that an address is of."""
    return int(_ADDRESS_HEADER.unpack_from(body)[-1])
