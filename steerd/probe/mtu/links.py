"""Notices of network devices: that one changed, and which have another address."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from steerd.faults import Boundary, Reader
from steerd.net.netlink import attributes, frames
from steerd.net.notices import Notices
from steerd.probe.error import ProbeError

_GROUPS: Final = (1, 5, 9)  # RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR
_NEW_ADDRESS, _LOST_ADDRESS = 20, 21  # RTM_NEWADDR, RTM_DELADDR
_IFA_ADDRESS: Final = 1
_ADDRESS: Final = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, length, flags, scope, device


class Addresses:
    """The addresses of devices, as far as they were announced."""

    def __init__(self) -> None:
        self._known: set[tuple[int, bytes]] = set()

    def __len__(self) -> int:
        return len(self._known)

    def lost(self) -> None:
        """Some announcements were lost, perhaps that devices went: a number is never used again, so forget all."""
        self._known.clear()

    def news(self, datagram: bytes) -> set[int]:
        """The devices that gained or lost an address; a renewed lifetime (router advertisements) is no news."""
        found = set()
        for kind, _flags, _number, body in frames(datagram):
            if kind not in (_NEW_ADDRESS, _LOST_ADDRESS) or len(body) < _ADDRESS.size:
                continue
            interface = _ADDRESS.unpack_from(body)[-1]
            address = interface, dict(attributes(body, _ADDRESS.size)).get(_IFA_ADDRESS, b"")
            if kind == _LOST_ADDRESS or address not in self._known:
                found.add(interface)
            (self._known.add if kind == _NEW_ADDRESS else self._known.discard)(address)
        return found


class Links(Notices):
    """``on_change(indexes)``: some device changed, and those with these indexes changed an address (None: perhaps any).
    It is called in the loop until `close`. Raises `ProbeError` if its socket cannot be opened."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_change: Callable[[set[int] | None], None]) -> None:
        self._on_change = on_change
        self._addresses = Addresses()
        self._addressed: set[int] | None = set()
        try:
            super().__init__(socket.NETLINK_ROUTE, _GROUPS, self._heard, self._lost)
        except OSError as error:
            raise ProbeError(f"cannot watch the network devices: {error.strerror}") from None
        self._reader = Reader(Boundary("devices"), loop, self.fileno(), self.read)

    def close(self) -> None:
        """Watch no more."""
        self._reader.close()
        super().close()

    def read(self) -> None:
        """Read what has come: to be called when the socket is readable."""
        self._addressed = set()
        super().read()
        self._on_change(self._addressed)

    def _heard(self, datagram: bytes) -> None:
        news = self._addresses.news(datagram)
        if self._addressed is not None:
            self._addressed |= news

    def _lost(self) -> None:
        self._addresses.lost()
        self._addressed = None
