"""Network devices by name: their indexes, which change when one is deleted and made again, and their MTU."""

import fcntl
import socket
import struct
import time
from typing import Final, NamedTuple

RESOLVED_FOR: Final = 1.0
"""Seconds that an index is believed: the name may have passed to another device."""


_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFMTU: Final = 0x8921
_IFF_UP: Final = 1


class Device(NamedTuple):
    """Its index, and its MTU in bytes."""

    interface: int
    mtu: int
    up: bool


def look(name: str) -> Device | None:
    """What the device is now; None: it is not there."""
    asked = struct.pack("16s24x", name.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            (flags,) = struct.unpack_from("=H", fcntl.ioctl(sock, _SIOCGIFFLAGS, asked), 16)
            (mtu,) = struct.unpack_from("=i", fcntl.ioctl(sock, _SIOCGIFMTU, asked), 16)
            return Device(socket.if_nametoindex(name), mtu, bool(flags & _IFF_UP))
        except OSError:
            return None


class Devices:
    """The indexes of devices by name, asked of the kernel once a second at most."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, float]] = {}

    def index(self, name: str) -> int:
        """The device's index; 0 if there is no such device."""
        found = self._found.get(name)
        now = time.monotonic()
        if found is not None and now < found[1]:
            return found[0]
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            self._found.pop(name, None)  # so that it is found as soon as it is there
            return 0
        self._found[name] = index, now + RESOLVED_FOR
        return index

    def forget(self, name: str) -> None:
        """The index proved wrong: ask again."""
        self._found.pop(name, None)
