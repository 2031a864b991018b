"""Network devices by name: their indexes, which change when one is deleted and made again, MTU and counters."""

import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

RESOLVED_FOR: Final = 1.0
"""Seconds that an index is believed: the name may have passed to another device."""

_SIOCGIFFLAGS, _SIOCGIFMTU, _IFF_UP = 0x8913, 0x8921, 1  # netdevice(7)


RX_BYTES, TX_BYTES, TX_PACKETS = 0, 8, 9
"""Places in `counters`."""
_NAME_WIDTH, _FIELDS = 6, 16


def counters(page: bytes, device: str) -> list[int] | None:
    """What the device has received and sent, from what /proc/net/dev has (proc_pid_net(5)). None: it is not there, or
    its line is garbled."""
    begin = b"\n%b:" % device.encode().rjust(_NAME_WIDTH)
    at = page.find(begin)
    fields = page[at + len(begin) : page.find(b"\n", at + 1)].split() if at >= 0 else []
    return [*map(int, fields)] if len(fields) >= _FIELDS and all(map(bytes.isdigit, fields)) else None


class LinkState(NamedTuple):
    """A device's index, and its MTU in bytes."""

    interface: int
    mtu: int
    up: bool


def look(name: str) -> LinkState | None:
    """The device as it is now; None: it does not exist."""
    asked = struct.pack("16s24x", name.encode())
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            (flags,) = struct.unpack_from("=H", fcntl.ioctl(sock, _SIOCGIFFLAGS, asked), 16)
            (mtu,) = struct.unpack_from("=i", fcntl.ioctl(sock, _SIOCGIFMTU, asked), 16)
            return LinkState(socket.if_nametoindex(name), mtu, bool(flags & _IFF_UP))
    except OSError:
        return None


class Devices:
    """The indexes of devices by name, asked of the kernel once a second at most. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, tuple[int, float]] = {}

    def index(self, name: str) -> int:
        """The device's index; 0 if it does not exist."""
        index, until = self._found.get(name, (0, 0.0))
        now = self._clock()
        if now >= until:
            try:
                index = socket.if_nametoindex(name)
            except OSError:
                if index and _exhausted():
                    return index
                self.forget(name)  # so that it is found as soon as it is there
                return 0
            self._found[name] = index, now + RESOLVED_FOR
        return index

    def forget(self, name: str) -> None:
        """The index proved wrong: ask again."""
        self._found.pop(name, None)


def _exhausted() -> bool:
    """Whether this process has no descriptor left, which it takes one to ask for a device: then it is where it was."""
    try:
        os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
