"""Network devices as far as their packets' size goes: what the kernel says of one, and that one changed."""

import errno
import fcntl
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFMTU: Final = 0x8921
_IFF_UP: Final = 0x1

_GROUPS: Final = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_ADDRESSES: Final = (20, 21)  # RTM_NEWADDR, RTM_DELADDR
_HEADER: Final = struct.Struct("=IHHII")
_INDEX: Final = struct.Struct("=4xi")  # of struct ifinfomsg and of struct ifaddrmsg alike
_DATAGRAM: Final = 1 << 16
_AT_ONCE: Final = 64


class Device(NamedTuple):
    """A device that is up: its index, and its MTU in bytes."""

    interface: int
    mtu: int


class Links:
    """``on_change(indexes)``: something changed of any device, and of those with these indexes an address; None: it is
    not known of which."""

    def __init__(self, on_change: Callable[[set[int] | None], None]) -> None:
        self._on_change = on_change
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _GROUPS))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._asking.close()
        self._socket.close()

    def device(self, name: str) -> Device | None:
        """What it is now; None: it is not there, or not up."""
        request = struct.pack("16s24x", name.encode())
        try:
            (flags,) = struct.unpack_from("=H", fcntl.ioctl(self._asking, _SIOCGIFFLAGS, request), 16)
            (mtu,) = struct.unpack_from("=i", fcntl.ioctl(self._asking, _SIOCGIFMTU, request), 16)
            return Device(socket.if_nametoindex(name), mtu) if flags & _IFF_UP else None
        except OSError:
            return None

    def read(self) -> None:
        """Take in what is there. Called when the socket is readable."""
        addressed: set[int] | None = set()
        for _ in range(_AT_ONCE):
            try:
                datagram = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                addressed = None  # some were lost
                continue
            if addressed is not None:
                addressed |= _addressed(datagram)
        self._on_change(addressed)


def _addressed(datagram: bytes) -> set[int]:
    found, at = set(), 0
    while at + _HEADER.size + _INDEX.size <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size:
            break
        if kind in _ADDRESSES:
            found.add(_INDEX.unpack_from(datagram, at + _HEADER.size)[0])
        at += (length + 3) & ~3
    return found
