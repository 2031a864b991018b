"""A TUN device: what the kernel routes into it is read here, what is written here it receives."""

import fcntl
import os
import struct

from steerd.lab.enclosure import LabError

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MTU = 65_535


class Tun:
    """Makes the device in this process' namespace; it goes when this is closed. Raises `LabError`."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self._handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        except FileNotFoundError:
            raise LabError("the lab needs /dev/net/tun, which this system does not have") from None
        except PermissionError:
            raise LabError(
                "the lab may not open /dev/net/tun: run it as root, or let users make tunnels (chmod 0666 /dev/net/tun)"
            ) from None
        fcntl.ioctl(self._handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))

    def fileno(self) -> int:
        """For `select`."""
        return self._handle

    def read(self) -> bytes:
        """One IP packet. Raises `BlockingIOError` if there is none."""
        return os.read(self._handle, _MTU)

    def write(self, packet: bytes) -> None:
        """Have the kernel receive a packet. Raises `OSError` while the device is down."""
        os.write(self._handle, packet)

    def close(self) -> None:
        """Remove the device."""
        os.close(self._handle)
