"""Whether paths' next hops answer ARP and neighbour discovery: the kernel's neighbour table, read and never written.
Synchronous; for one thread."""

import errno
import socket
import struct
from contextlib import ExitStack
from typing import Final

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import RouteSettings
from steerd.core.settings import PathId
from steerd.net.netlink import Connection, NetlinkError, attributes
from steerd.route.model.objects import ONLINK
from steerd.route.model.prefixes import ADDRESS_FAMILY, FAMILIES

_GETNEIGH: Final = 30
_HEADER: Final = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, device index, state, flags, type
_DST: Final = 1
_INCOMPLETE, _FAILED = 0x01, 0x20
_ASKED: Final = {IPV4: "ARP", IPV6: "neighbour discovery"}
_LOOKS: Final = 2
"""In a row without an answer: one is what a first packet falls into."""


class Neighbours(ExitStack):
    """``silent``: in words, of each path whose next hop does not answer, as of the last `look`."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: dict[PathId, str] = {}
        self._connection: Connection | None = None
        self._unanswered: dict[tuple[str, str], int] = {}

    def look(self, settings: RouteSettings) -> None:
        """Read it, as far as paths have next hops. Raises `OSError`."""
        hops = {
            (path.device, via.removesuffix(ONLINK)): (path.path, family)
            for path in settings.paths
            for family, via in ((IPV4, path.via), (IPV6, path.via6))
            if via and family in path.families
        }
        found = self._failed() if hops else set()
        self._unanswered = {hop: self._unanswered.get(hop, 0) + 1 for hop in hops if hop in found}
        self.silent = {
            path: f"next hop {via} does not answer {_ASKED[family]} on {device} (`ip neigh show {via} dev {device}`): "
            "see that it is there, and on that network"
            for (device, via), (path, family) in hops.items()
            if self._unanswered.get((device, via), 0) >= _LOOKS
        }

    def _failed(self) -> set[tuple[str, str]]:
        """Of all devices, by name, the addresses that do not answer."""
        if self._connection is None:
            self._connection = self.enter_context(Connection())
        names = dict(socket.if_nameindex())
        found: set[tuple[str, str]] = set()
        for family in FAMILIES:
            try:
                bodies = self._connection.dump(_GETNEIGH, _HEADER.pack(ADDRESS_FAMILY[family], 0, 0, 0, 0))
            except NetlinkError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                    raise
                continue
            for body in bodies:
                _, index, state, _, _ = _HEADER.unpack_from(body)
                address = dict(attributes(body, _HEADER.size)).get(_DST, b"")
                if state & (_INCOMPLETE | _FAILED) and len(address) in (4, 16):
                    found.add((names.get(index, ""), socket.inet_ntop(ADDRESS_FAMILY[family], address)))
        return found
