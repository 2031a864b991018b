"""What others wrote into the main table: read, never written. Synchronous; for one thread."""

import errno
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from steerd.config.settings import IPV4, IPV6, Prefixes
from steerd.net.netlink import Connection, NetlinkError, attributes
from steerd.route.kernel.codec import link as link_codec
from steerd.route.kernel.codec import route as route_codec
from steerd.route.kernel.codec.route import Rta
from steerd.route.model.objects import MAIN, Device, RouteType
from steerd.route.model.prefixes import ADDRESS_FAMILY, FAMILIES, WIDTH, join

_HEADER_SIZE = 12  # struct rtmsg
_AT_LENGTH, _AT_PROTOCOL, _AT_TYPE = 1, 5, 7
_U32 = struct.Struct("=I")
_NO_SUCH_FAMILY = {errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}

_MOST_PREFIXES = 50_000
"""Beyond this main is a full routing table, and what it knows better than by a default is nearly everything."""


class DefaultRoute(NamedTuple):
    """A default route of main's, as its owner wrote it. ``via`` is numeric, or empty for the device alone."""

    family: int
    device: str
    via: str
    metric: int
    protocol: int


@dataclass(frozen=True, slots=True)
class Main:
    """``specific`` is what main knows better than by a default route; ``defaults`` are sorted, the one in use first of
    its family. ``complete`` is False where there was too much of it to take in. ``devices``, by name, are those that
    there were."""

    specific: Prefixes = field(default_factory=Prefixes)
    defaults: tuple[DefaultRoute, ...] = ()
    complete: bool = True
    devices: Mapping[str, Device] = field(default_factory=dict)

    def up(self, device: str) -> int | None:
        """The device's number; None: it is down or not there."""
        found = self.devices.get(device)
        return found.index if found and found.up else None


class MainTable(ExitStack):
    """Reads the main table over a connection of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._connection = self.enter_context(Connection())

    def read(self) -> Main:
        """All of it. Raises `NetlinkError`."""
        dump = self._connection.dump
        devices = link_codec.decode(dump(link_codec.RTM_GETLINK, link_codec.DUMP_REQUEST))
        names = {one.index: one.name for one in devices.values()}
        specific: dict[int, bytes] = {}
        defaults: list[DefaultRoute] = []
        complete = True
        for family in FAMILIES:
            try:
                bodies = dump(route_codec.RTM_GETROUTE, route_codec.dump_request(family, table=MAIN))
            except NetlinkError as error:
                if error.errno in _NO_SUCH_FAMILY:
                    continue
                raise
            entries: list[bytes] = []
            for body in bodies:
                if not body[_AT_LENGTH]:
                    defaults += _default(family, body, names)
                elif body[_AT_TYPE] == RouteType.UNICAST and len(entries) < _MOST_PREFIXES:
                    entries.append(_destination(family, body))
                elif len(entries) >= _MOST_PREFIXES:
                    complete = False
            specific[family] = join(entries)
        ordered = sorted(defaults, key=lambda one: (one.family, one.metric))
        return Main(Prefixes(specific.get(IPV4, b""), specific.get(IPV6, b"")), tuple(ordered), complete, devices)

    def leaves(self, address: str, mark: int) -> tuple[int, int] | None:
        """The number of the device that an own packet would leave by now, and the deciding table; None: none."""
        family = IPV6 if ":" in address else IPV4
        packed = socket.inet_pton(ADDRESS_FAMILY[family], address)
        try:
            answer = self._connection.ask(
                route_codec.RTM_GETROUTE, route_codec.lookup_request(family, packed, b"", 0, mark)
            )
        except NetlinkError:
            return None
        device, table, _length = route_codec.decode_lookup(answer[0])
        return device, table


def _destination(family: int, body: bytes) -> bytes:
    width = WIDTH[family] - 1
    address = next((value for kind, value in attributes(body, _HEADER_SIZE) if kind == Rta.DST), b"")
    return address.ljust(width, b"\0")[:width] + body[_AT_LENGTH : _AT_LENGTH + 1]


def _default(family: int, body: bytes, names: Mapping[int, str]) -> Iterator[DefaultRoute]:
    values = dict(attributes(body, _HEADER_SIZE))
    # The next hop of another family (RFC 5549) is nothing to steer by, and without it there would be no next hop.
    if body[_AT_TYPE] != RouteType.UNICAST or Rta.VIA in values:
        return
    metric = _U32.unpack(values.get(Rta.PRIORITY, bytes(4)))[0]
    hops = [(values[Rta.OIF], values.get(Rta.GATEWAY))] if Rta.OIF in values else _hops(values.get(Rta.MULTIPATH, b""))
    for index, gateway in hops:
        via = socket.inet_ntop(ADDRESS_FAMILY[family], gateway) if gateway else ""
        device = names.get(_U32.unpack(index)[0], "")
        yield DefaultRoute(family, device, via, metric, body[_AT_PROTOCOL])


def _hops(data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The ways of a multipath route: struct rtnexthop (length, flags, weight, device index), then attributes."""
    while len(data) >= 8:
        length = int.from_bytes(data[:2], sys.byteorder)
        if length < 8:
            return
        values = dict(attributes(data[:length], 8))
        if Rta.VIA not in values:
            yield data[4:8], values.get(Rta.GATEWAY)
        data = data[(length + 3) & ~3 :]
