"""The kernel through one connection: reads our objects, applies changes. Synchronous; for one thread."""

import errno
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

from steerd.config.route_settings import POLICY_TABLES, RouteSettings
from steerd.net.netlink import Connection, Message, NetlinkError
from steerd.net.sockets import closed_on_error
from steerd.route.kernel.codec import link as link_codec
from steerd.route.kernel.codec import nexthop as nexthop_codec
from steerd.route.kernel.codec import route as route_codec
from steerd.route.kernel.codec import rule as rule_codec
from steerd.route.kernel.listing import Listing
from steerd.route.model import numbers, prefixes
from steerd.route.model.objects import MAIN, Foreign, Group, Kind, Nexthop, Routes, RouteType, Rule, Seen, State
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted.diff import Change, Verb
from steerd.route.wanted.samples import Sample, Way

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EINVAL, errno.EPROTONOSUPPORT}
_GONE = {errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL}


class Refused(NamedTuple):
    """A change that the kernel refused, at least in part, and its words."""

    change: Change
    errno: int
    text: str


class Kernel(ExitStack):
    """``families`` and ``nexthop_objects`` (with resilient groups, Linux 5.13) say what this kernel can do."""

    def __init__(self) -> None:
        super().__init__()
        self._connection = self.enter_context(Connection())
        self._indexes: Mapping[str, int] = {}
        rules = {family: (rule_codec.RTM_GETRULE, rule_codec.dump_request(family)) for family in FAMILIES}
        nexthops, buckets = nexthop_codec.RTM_GETNEXTHOP, nexthop_codec.RTM_GETNEXTHOPBUCKET
        with closed_on_error(self):
            self.families = tuple(family for family, request in rules.items() if self._supports(*request))
            self.nexthop_objects = all(self._supports(kind, nexthop_codec.DUMP_REQUEST) for kind in (nexthops, buckets))

    @property
    def port(self) -> int:
        """Our address on netlink: notifications of our own changes carry it."""
        return self._connection.port

    @property
    def changes(self) -> int:
        """Messages sent so far to change something."""
        return self._connection.changes

    def _supports(self, kind: int, request: bytes) -> bool:
        try:
            self._connection.dump(kind, request)
        except NetlinkError as error:
            if error.errno in _UNSUPPORTED:
                return False
            raise
        return True

    def may_change(self, settings: RouteSettings) -> bool:
        """Whether we have CAP_NET_ADMIN here, asked by removing a route that never exists."""
        family = self.families[0]
        kind = Kind(family, settings.table, 1, RouteType.PROHIBIT)
        host = b"\xff" * (prefixes.WIDTH[family] - 1) + bytes((8 * prefixes.WIDTH[family] - 8,))
        impossible = next(route_codec.remove(Routes(kind, host), settings.protocol, {}))
        return self._connection.may_change(impossible)

    def read(self, settings: RouteSettings, *, foreign: bool = False) -> Seen:
        """Our objects within our ranges; with ``foreign`` also what others have there."""
        dump = self._connection.dump
        devices = link_codec.decode(dump(link_codec.RTM_GETLINK, link_codec.DUMP_REQUEST))
        self._indexes = {one.name: one.index for one in devices.values()}
        names = {one.index: one.name for one in devices.values()}
        ours, band, ids = settings.protocol, numbers.priorities(settings), numbers.nexthop_ids(settings)
        rules: list[tuple[int, Rule]] = []
        for family in self.families:
            rules += rule_codec.decode(dump(rule_codec.RTM_GETRULE, rule_codec.dump_request(family)))
        nexthops: list[tuple[int, Nexthop | Group]] = []
        if self.nexthop_objects:
            nexthops = nexthop_codec.decode(dump(nexthop_codec.RTM_GETNEXTHOP, nexthop_codec.DUMP_REQUEST), names)
        known = [one for protocol, one in nexthops if protocol == ours and one.id in ids]
        tables = numbers.tables(settings)
        routes: dict[Kind, bytes] = {}
        for family in self.families:
            request = route_codec.dump_request(family, protocol=settings.protocol)
            decoded = self._routes(family, request, names).found(settings.protocol).ours
            routes |= {kind: packed for kind, packed in decoded.items() if kind.table in tables}
        others = Foreign()
        if foreign:
            others = Foreign(
                tuple(one for one in rules if one[0] != ours),
                tuple(self._foreign_routes(settings, names)),
            )
        state = State(
            frozenset(rule for protocol, rule in rules if protocol == ours and rule.priority in band),
            {one.id: one for one in known if isinstance(one, Nexthop)},
            {one.id: one for one in known if isinstance(one, Group)},
            routes,
        )
        foreign_ids = frozenset(one.id for protocol, one in nexthops if protocol != ours and one.id in ids)
        return Seen(state, devices, others, foreign_ids)

    def strange_routes(self, settings: RouteSettings) -> list[tuple[int, Kind]]:
        """(protocol, kind) of what others have in our tables. Raises `NetlinkError`."""
        names = {index: name for name, index in self._indexes.items()}
        return list(self._foreign_routes(settings, names))

    def _foreign_routes(self, settings: RouteSettings, names: Mapping[int, str]) -> Iterator[tuple[int, Kind]]:
        used = {*range(settings.table, settings.table + POLICY_TABLES), *(path.table for path in settings.paths)}
        for family in self.families:
            for table in sorted(used):
                request = route_codec.dump_request(family, table=table)
                try:
                    found = self._routes(family, request, names)
                except NetlinkError as error:
                    if error.errno == errno.ENOENT:  # no such table yet
                        continue
                    raise
                yield from found.found(settings.protocol).foreign

    def _routes(self, family: int, request: bytes, names: Mapping[int, str]) -> Listing:
        return self._connection.dump_into(route_codec.RTM_GETROUTE, request, lambda: Listing(family, names))

    def apply(self, changes: Iterable[Change], settings: RouteSettings) -> list[Refused]:
        """All of them in order, whatever is refused. Removing what is gone, or adding what exists, is no refusal."""
        known = list(changes)
        ends: list[int] = []

        def messages() -> Iterator[Message]:
            sent = 0
            for change in known:
                for message in self._messages(change, settings.protocol):
                    sent += 1
                    yield message
                ends.append(sent)

        refused: dict[int, Refused] = {}
        for refusal in self._connection.change(messages()):
            place = bisect_right(ends, refusal.place)
            change = known[place]
            gone = change.verb == Verb.REMOVE and refusal.errno in _GONE
            if not gone and not (change.verb == Verb.ADD and refusal.errno == errno.EEXIST):
                refused.setdefault(place, Refused(change, refusal.errno, refusal.text))
        return list(refused.values())

    def _messages(self, change: Change, protocol: int) -> Iterable[Message]:
        verb, thing = change
        removing = verb == Verb.REMOVE
        match thing:
            case Rule():
                return [(rule_codec.remove if removing else rule_codec.add)(thing, protocol)]
            case Nexthop() | Group() if removing:
                return [nexthop_codec.remove(thing.id)]
            case Nexthop():
                index = self._indexes.get(thing.device, 0)
                return [nexthop_codec.add_nexthop(thing, index, protocol, replace=verb == Verb.REPLACE)]
            case Group():
                make = nexthop_codec.replace_group if verb == Verb.REPLACE else nexthop_codec.add_group
                return [make(thing, protocol)]
            case Routes():
                return (route_codec.remove if removing else route_codec.add)(thing, protocol, self._indexes)

    def addresses(self) -> dict[str, list[IPv4Interface | IPv6Interface]]:
        """The gateway's own, by device, as of the last `read`."""
        names = {index: name for name, index in self._indexes.items()}
        found: dict[str, list[IPv4Interface | IPv6Interface]] = {}
        for body in self._connection.dump(link_codec.RTM_GETADDR, link_codec.ADDRESSES_REQUEST):
            index, address = link_codec.decode_address(body)
            if address and index in names:
                found.setdefault(names[index], []).append(address)
        return found

    def way(self, sample: Sample) -> Way:
        """Where the kernel would send such a packet now. Raises `NetlinkError` if nowhere, or if it would refuse it."""
        iif = self._indexes.get(sample.iif, 0)
        ask = partial(route_codec.lookup_request, sample.family, sample.destination, sample.source, iif, sample.mark)
        (answer,) = self._connection.ask(route_codec.RTM_GETROUTE, ask())[:1]
        index, table, length = route_codec.decode_lookup(answer)
        if table == MAIN:
            entry = self._connection.ask(route_codec.RTM_GETROUTE, ask(entry=True))
            _, table, length = route_codec.decode_lookup(entry[0])
        name = next((name for name, number in self._indexes.items() if number == index), "")
        return Way(name, table, length if table == MAIN else None, route_codec.decode_gateway(answer))

    def gateway(self, family: int, destination: bytes, device: str, mark: int) -> str:
        """The next hop by which own packets that are bound to the device go there; empty: none, as on a tunnel.
        Raises `NetlinkError` if nowhere."""
        oif = self._indexes.get(device, 0)
        request = route_codec.lookup_request(family, destination, b"", 0, mark, oif=oif)
        return route_codec.decode_gateway(self._connection.ask(route_codec.RTM_GETROUTE, request)[0])

    def buckets(self, group: int) -> Counter[int]:
        """How many buckets of a group each nexthop has."""
        bodies = self._connection.dump(nexthop_codec.RTM_GETNEXTHOPBUCKET, nexthop_codec.buckets_request(group))
        return nexthop_codec.decode_buckets(bodies)
