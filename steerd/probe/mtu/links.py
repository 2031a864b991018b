"""Network devices as far as their packets' size goes: what the kernel says of one, and that one changed."""

import errno
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFMTU: Final = 0x8921
_IFF_UP: Final = 0x1

_GROUPS: Final = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_NEW_ADDRESS, _LOST_ADDRESS = 20, 21  # RTM_NEWADDR, RTM_DELADDR
_IFA_ADDRESS: Final = 1
_HEADER: Final = struct.Struct("=IHHII")
_ADDRESS: Final = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, length, flags, scope, device
_ATTRIBUTE: Final = struct.Struct("=HH")
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
        self._addresses: set[tuple[int, bytes]] = set()
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
                addressed |= self._addressed(datagram)
        self._on_change(addressed)

    def _addressed(self, datagram: bytes) -> set[int]:
        """The devices that an address came to or went from. One whose lifetime was merely renewed, as each router
        advertisement does, is no news."""
        found = set()
        for kind, body in _messages(datagram):
            if kind not in (_NEW_ADDRESS, _LOST_ADDRESS) or len(body) < _ADDRESS.size:
                continue
            interface = _ADDRESS.unpack_from(body)[-1]
            address = interface, _attribute(body, _IFA_ADDRESS)
            known = address in self._addresses
            if kind == _NEW_ADDRESS:
                self._addresses.add(address)
            else:
                self._addresses.discard(address)
            if kind == _LOST_ADDRESS or not known:
                found.add(interface)
        return found


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, _, _, _ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size:
            return
        yield kind, datagram[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attribute(body: bytes, wanted: int) -> bytes:
    at = _ADDRESS.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        if kind == wanted:
            return body[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return b""
