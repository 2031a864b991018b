"""Neighbours and IPsec policies, as the kernel lists them (linux/neighbour.h, linux/xfrm.h)."""

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Final

from steerd.config.family import IPV4, IPV6
from steerd.machine.record import IpsecPolicy
from steerd.net.netlink import Connection, NetlinkError, attributes

_GETNEIGH: Final = 30
_NDMSG = struct.Struct("=BBHiHBB")  # family, padding, padding, device, state, flags, type
_NDA_DST: Final = 1

_XFRM: Final = 6  # NETLINK_XFRM
_GETPOLICY: Final = 0x15
_SELECTOR = struct.Struct("=16s16sHHHHHBBBxxxiI")  # destination, source, ports, family, lengths, protocol, device, user
_AFTER_LIFETIMES: Final = _SELECTOR.size + 64 + 32
_DIRECTION = struct.Struct("=IIB")  # priority, index, direction
_POLICY: Final = 168  # bytes of struct xfrm_userpolicy_info
_OUT: Final = 1
_TEMPLATES, _MARK, _INTERFACE = 5, 21, 31
_AF_INET6: Final = 10
_SOCKETS_OWN: Final = 3
"""From this remainder on a policy is of one socket."""


def neighbours(connection: Connection, devices: Mapping[int, str]) -> dict[tuple[str, str], int]:
    """The state of each neighbour, by device and address. Raises `NetlinkError`."""
    return dict(_neighbours(connection.dump(_GETNEIGH, bytes(_NDMSG.size)), devices))


def _neighbours(bodies: Iterable[bytes], devices: Mapping[int, str]) -> Iterator[tuple[tuple[str, str], int]]:
    for body in bodies:
        _family, _pad, _pad2, index, state, _flags, _type = _NDMSG.unpack_from(body)
        address = dict(attributes(body, _NDMSG.size)).get(_NDA_DST, b"")
        if index in devices and len(address) in (4, 16):
            yield (devices[index], str(ip_address(address))), state


def ipsec() -> list[IpsecPolicy]:
    """The policies that encrypt what leaves this machine. Raises `OSError`: we may not ask."""
    try:
        with Connection(_XFRM) as connection:
            return list(policies(connection.dump(_GETPOLICY, b"")))
    except NetlinkError as error:
        if error.errno == errno.EPERM:
            raise
        return []
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):  # this kernel has no IPsec
            return []
        raise


def policies(bodies: Iterable[bytes]) -> Iterator[IpsecPolicy]:
    """From the kernel's messages."""
    for body in bodies:
        destination, source, *_, family, to, of, _protocol, device, _user = _SELECTOR.unpack_from(body)
        _priority, index, direction = _DIRECTION.unpack_from(body, _AFTER_LIFETIMES)
        values = dict(attributes(body, _POLICY))
        if direction != _OUT or index % 8 >= _SOCKETS_OWN or _TEMPLATES not in values:
            continue
        width = 16 if family == _AF_INET6 else 4
        bound = bool(device) or _MARK in values or _INTERFACE in values
        yield IpsecPolicy(
            IPV6 if width == 16 else IPV4,
            str(ip_network((source[:width], of), strict=False)),
            str(ip_network((destination[:width], to), strict=False)),
            bound,
        )
