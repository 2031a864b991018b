"""What others wrote into the main table, and into other tables: read, never written. Synchronous; for one thread."""

import errno
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import Prefixes
from steerd.net.netlink import Connection, NetlinkError, attributes
from steerd.route.kernel.codec import link as link_codec
from steerd.route.kernel.codec import nexthop as nexthop_codec
from steerd.route.kernel.codec import route as route_codec
from steerd.route.kernel.codec import rule as rule_codec
from steerd.route.kernel.codec.route import Rta
from steerd.route.kernel.listing import Columns, Template
from steerd.route.model import prefixes
from steerd.route.model.leads import Lead, Leads
from steerd.route.model.objects import MAIN, Device, Group, Nexthop, RouteType, Rule, written
from steerd.route.model.prefixes import ADDRESS_FAMILY, FAMILIES
from steerd.route.wanted.coverage import wide

_HEADER_SIZE = 12  # struct rtmsg
_TEMPLATE = struct.Struct("=BBBBBBBI")  # struct rtmsg without the prefix length
_AT_LENGTH, _AT_SERVICE, _AT_PROTOCOL, _AT_TYPE, _AT_FLAGS = 1, 3, 5, 7, 8
_CLONED = 0x200
_KERNEL, _ADVERTISED = 2, 9  # RTPROT_KERNEL, RTPROT_RA: who makes the routes to attached networks
_U32 = struct.Struct("=I")
Interface = IPv4Interface | IPv6Interface
_NO_SUCH_FAMILY = {errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}


class DefaultRoute(NamedTuple):
    """A default route of main's, as its owner wrote it. ``via`` is numeric (with `ONLINK` behind it or not),
    or empty for the device alone. ``foreign``: its next hop is of the other family (RFC 8950)."""

    family: int
    device: str
    via: str
    metric: int
    protocol: int
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Main:
    """``leads`` has all that are no default routes; ``specific`` is what main knows better by them, so that packets
    leave, ``attached`` what of it are networks of this machine's; ``defaults`` are sorted, the one in use first of its
    family. ``devices``, by name, are those that there were."""

    leads: Leads = field(default_factory=dict)
    defaults: tuple[DefaultRoute, ...] = ()
    devices: Mapping[str, Device] = field(default_factory=dict)
    specific: Prefixes = field(init=False)
    attached: Prefixes = field(init=False)

    def __post_init__(self) -> None:
        leads_on = {
            # A default route in pieces, for some packets, is nothing that main knows better of the others.
            lead: prefixes.minus(lead.family, packed, wide(lead.family, packed)) if lead.some else packed
            for lead, packed in self.leads.items()
            if lead.type == RouteType.UNICAST
        }
        attached = {lead: packed for lead, packed in leads_on.items() if lead.attached}
        object.__setattr__(self, "specific", _joined(leads_on))
        object.__setattr__(self, "attached", _joined(attached))

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
        devices = link_codec.decode(self._connection.dump(link_codec.RTM_GETLINK, link_codec.DUMP_REQUEST))
        names = {one.index: one.name for one in devices.values()}
        leads: dict[Lead, bytes] = {}
        defaults: list[DefaultRoute] = []
        for family in FAMILIES:
            found = self._table(family, MAIN, names)
            leads |= self._named({lead: found.sorted(lead) for lead in found.packed}, names)
            defaults += (one for body in found.defaults for one in self._default(family, body, names))
        ordered = sorted(defaults, key=lambda one: (one.family, one.metric))
        return Main(leads, tuple(ordered), devices)

    def _default(self, family: int, body: bytes, names: Mapping[int, str]) -> Iterator[DefaultRoute]:
        """The ways of a default route; also those that a nexthop object has, where the route does not tell."""
        values = dict(attributes(body, _HEADER_SIZE))
        if Rta.NH_ID not in values or Rta.OIF in values or Rta.MULTIPATH in values:
            yield from _default(family, body, values, names)
        elif body[_AT_TYPE] == RouteType.UNICAST:
            metric = _U32.unpack(values.get(Rta.PRIORITY, bytes(4)))[0]
            for way in self._ways_of(_U32.unpack(values[Rta.NH_ID])[0], names):
                # An IPv4 next hop is none of an IPv6 route, but a device serves both.
                if way.family == family or not way.via:
                    yield DefaultRoute(family, way.device, way.via, metric, body[_AT_PROTOCOL])

    def _ways_of(self, number: int, names: Mapping[int, str]) -> list[Nexthop]:
        """The nexthops of an object, or of a group's members. Raises `NetlinkError`."""
        bodies = self._connection.dump(nexthop_codec.RTM_GETNEXTHOP, nexthop_codec.DUMP_REQUEST)
        known = {one.id: one for _, one in nexthop_codec.decode(bodies, names)}
        found = known.get(number)
        members = [known.get(member) for member, _ in found.members] if isinstance(found, Group) else [found]
        return [one for one in members if isinstance(one, Nexthop) and one.device]

    def rules(self) -> list[tuple[int, Rule]]:
        """(protocol, rule) of all there are, in order. Raises `NetlinkError`."""
        found: list[tuple[int, Rule]] = []
        for family in FAMILIES:
            try:
                bodies = self._connection.dump(rule_codec.RTM_GETRULE, rule_codec.dump_request(family))
            except NetlinkError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
            else:
                found += rule_codec.decode(bodies)
        return found

    def own(self) -> frozenset[str]:
        """The gateway's own addresses. Raises `NetlinkError`."""
        bodies = self._connection.dump(link_codec.RTM_GETADDR, link_codec.ADDRESSES_REQUEST)
        return frozenset(str(own.ip) for _, own in map(link_codec.decode_address, bodies) if own)

    def addresses(self, devices: Mapping[str, Device]) -> dict[str, list[Interface]]:
        """The gateway's own addresses with their networks, by device. Raises `NetlinkError`."""
        names = {one.index: one.name for one in devices.values()}
        found: dict[str, list[Interface]] = {}
        for index, own in map(
            link_codec.decode_address, self._connection.dump(link_codec.RTM_GETADDR, link_codec.ADDRESSES_REQUEST)
        ):
            if own is not None and index in names:
                found.setdefault(names[index], []).append(own)
        return found

    def table(self, family: int, number: int, devices: Mapping[str, Device]) -> Leads:
        """A table with its default routes; empty where there is none. Raises `NetlinkError`."""
        names = {one.index: one.name for one in devices.values()}
        found = self._table(family, number, names)
        leads = {lead: found.sorted(lead) for lead in found.packed}
        for body in found.defaults:
            if lead := _lead(names, body[:1] + body[2:]):
                leads[lead] = prefixes.union(family, leads.get(lead, b""), prefixes.DEFAULT[family])
        return self._named(leads, names)

    def _named(self, leads: Mapping[Lead, bytes], names: Mapping[int, str]) -> dict[Lead, bytes]:
        """With the devices of nexthop objects, where routes do not tell (``nexthop_compat_mode`` is 0)."""
        if all(lead.devices or not lead.via for lead in leads):
            return dict(leads)
        bodies = self._connection.dump(nexthop_codec.RTM_GETNEXTHOP, nexthop_codec.DUMP_REQUEST)
        known = {one.id: one for _, one in nexthop_codec.decode(bodies, names)}
        found: dict[Lead, bytes] = {}
        for lead, packed in leads.items():
            one = known.get(int(lead.via)) if lead.via and not lead.devices else None
            members = [known.get(number) for number, _ in one.members] if isinstance(one, Group) else [one]
            ways = [member for member in members if isinstance(member, Nexthop)]
            devices = tuple(sorted({way.device for way in ways if way.device}))
            vias = " ".join(sorted({way.via for way in ways if way.via}))
            named = lead._replace(devices=devices, via=vias) if ways else lead
            found[named] = prefixes.union(lead.family, found.get(named, b""), packed)
        return found

    def _table(self, family: int, table: int, names: Mapping[int, str]) -> "_Table":
        """Empty where there is no such table, or no such family."""
        request = route_codec.dump_request(family, table=table)
        try:
            return self._connection.dump_into(route_codec.RTM_GETROUTE, request, lambda: _Table(family, names))
        except NetlinkError as error:
            if error.errno in {*_NO_SUCH_FAMILY, errno.ENOENT}:
                return _Table(family, names)
            raise

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


class _Table(Columns[Lead]):
    """``defaults`` has the messages of default routes, which are in no pack."""

    def __init__(self, family: int, names: Mapping[int, str]) -> None:
        super().__init__(family, partial(_lead, names))
        self.defaults: list[bytes] = []

    def take(self, body: bytes) -> None:
        if body[_AT_LENGTH]:
            super().take(body)
        else:
            self.defaults.append(body)


def _joined(leads: Leads) -> Prefixes:
    packs = (prefixes.union(one, *(packed for lead, packed in leads.items() if lead.family == one)) for one in FAMILIES)
    return Prefixes(*packs)


def _lead(names: Mapping[int, str], template: Template) -> Lead | None:
    address_family, source, service, _table, protocol, _scope, kind, flags = _TEMPLATE.unpack_from(template)
    if flags & _CLONED:
        return None
    family = IPV4 if address_family == socket.AF_INET else IPV6
    values = dict(attributes(template, _TEMPLATE.size))
    metric = _U32.unpack(values.get(Rta.PRIORITY, bytes(4)))[0]
    if kind != RouteType.UNICAST:  # of others a device would be the loopback of an IPv6 reject
        return Lead(family, kind, metric, some=bool(source or service))
    ways = list(_ways(values))
    devices = sorted({names.get(index, f"if{index}") for index, _ in ways})
    vias = sorted({socket.inet_ntop(address_family, gateway) for _, gateway in ways if gateway})
    if not ways and Rta.NH_ID in values:
        vias = [str(_U32.unpack(values[Rta.NH_ID])[0])]
    attached = protocol in (_KERNEL, _ADVERTISED) and not vias and Rta.VIA not in values
    return Lead(family, kind, metric, tuple(devices), " ".join(vias), attached, bool(source or service))


def _default(family: int, body: bytes, values: Mapping[int, bytes], names: Mapping[int, str]) -> Iterator[DefaultRoute]:
    if body[_AT_TYPE] != RouteType.UNICAST or body[_AT_SERVICE]:  # one for one type of service is none for all
        return
    metric = _U32.unpack(values.get(Rta.PRIORITY, bytes(4)))[0]
    flags = _U32.unpack_from(body, _AT_FLAGS)[0]
    for index, gateway in _ways(values):
        via = written(socket.inet_ntop(ADDRESS_FAMILY[family], gateway) if gateway else "", flags)
        yield DefaultRoute(family, names.get(index, ""), via, metric, body[_AT_PROTOCOL], foreign=Rta.VIA in values)


def _ways(values: Mapping[int, bytes]) -> Iterator[tuple[int, bytes | None]]:
    """The number of each device that a route leads by, with the next hop."""
    hops = [(values[Rta.OIF], values.get(Rta.GATEWAY))] if Rta.OIF in values else _hops(values.get(Rta.MULTIPATH, b""))
    for index, gateway in hops:
        yield _U32.unpack(index)[0], gateway


def _hops(data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The ways of a multipath route: struct rtnexthop (length, flags, weight, device index), then attributes."""
    while len(data) >= 8:
        length = int.from_bytes(data[:2], sys.byteorder)
        if length < 8:
            return
        yield data[4:8], dict(attributes(data[:length], 8)).get(Rta.GATEWAY)
        data = data[(length + 3) & ~3 :]
