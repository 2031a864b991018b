"""Notices what changes in the kernel of links, addresses, rules, routes and nexthops, filtered there."""

import socket
from collections.abc import Callable

from steerd.net.bpf import JEQ, KEEP, LD_B, LD_H, LD_W, NEXT, RET, Instruction, assemble
from steerd.net.netlink import NETLINK_ROUTE, frames, sender
from steerd.net.notices import Notices
from steerd.route.kernel.codec import link as link_codec
from steerd.route.kernel.codec import nexthop as nexthop_codec
from steerd.route.kernel.codec import route as route_codec
from steerd.route.kernel.codec import rule as rule_codec
from steerd.route.model.objects import MAIN, Device

_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV4_RULE = 1, 5, 7, 8
_IPV6_ADDRESS, _IPV6_ROUTE, _IPV6_RULE, _NEXTHOP = 9, 11, 19, 32
_IPV4_NETCONF, _IPV6_NETCONF = 24, 25
_GROUPS = (
    *(_LINK, _NEXTHOP, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV4_RULE, _IPV4_NETCONF),
    *(_IPV6_ADDRESS, _IPV6_ROUTE, _IPV6_RULE, _IPV6_NETCONF),
)

_AT_TYPE, _AT_PORT = 4, 12
_IN_ROUTE_PROTOCOL = 5
_AT_ROUTE_TABLE, _AT_ROUTE_PROTOCOL, _AT_NEXTHOP_PROTOCOL = 16 + 4, 16 + _IN_ROUTE_PROTOCOL, 16 + 2
_ROUTES = (route_codec.RTM_NEWROUTE, route_codec.RTM_DELROUTE)
_NEXTHOPS = (nexthop_codec.RTM_NEWNEXTHOP, nexthop_codec.RTM_DELNEXTHOP)
_ADDRESSES = (link_codec.RTM_NEWADDR, link_codec.RTM_DELADDR)
_NETCONFS = (80, 81)  # RTM_NEWNETCONF, RTM_DELNETCONF: some sysctls of devices, among them forwarding
_RULES = (rule_codec.RTM_NEWRULE, rule_codec.RTM_DELRULE)
_REMOVALS = (route_codec.RTM_DELROUTE, rule_codec.RTM_DELRULE, nexthop_codec.RTM_DELNEXTHOP)


class Watch(Notices):
    """``on_device(device, gone)`` for each link message, ``on_address(index)`` for each address added to or removed
    from a device, ``on_surroundings()`` when others change the main table, rules, or whether packets are forwarded,
    ``on_change()`` for all else that may concern us, ``on_overrun()`` when messages were lost: then everything must be
    read again. ``remover`` is the netlink address of who last removed something of our protocol; 0: not known."""

    def __init__(
        self,
        *,
        protocol: int,
        port: int,
        on_device: Callable[[Device, bool], None],
        on_address: Callable[[int], None],
        on_surroundings: Callable[[], None],
        on_change: Callable[[], None],
        on_overrun: Callable[[], None],
    ) -> None:
        self.remover = 0
        self._protocol = protocol
        self._on_surroundings = on_surroundings
        self._on_device = on_device
        self._on_address = on_address
        self._on_change = on_change
        super().__init__(NETLINK_ROUTE, _GROUPS, self._heard, on_overrun, program=program(protocol, port))

    def retarget(self, protocol: int, port: int) -> None:
        """For settings with another protocol number."""
        self._protocol = protocol
        self.attach(program(protocol, port))

    def _heard(self, datagram: bytes) -> None:
        for kind, _flags, _number, body in frames(datagram):
            if kind in (link_codec.RTM_NEWLINK, link_codec.RTM_DELLINK):
                if body[0] != socket.AF_UNSPEC:  # of a bridge's port: leaving a bridge is no end of a device
                    continue
                self._on_device(link_codec.decode_one(body), kind == link_codec.RTM_DELLINK)
            elif kind in _ADDRESSES:
                self._on_address(link_codec.address_device(body))
            elif kind in _NETCONFS or (kind in _ROUTES and body[_IN_ROUTE_PROTOCOL] != self._protocol):
                self._on_surroundings()
            else:
                if kind in _RULES:
                    self._on_surroundings()
                if kind in _REMOVALS:
                    self.remover = sender(datagram) or self.remover
                self._on_change()


def program(protocol: int, port: int) -> bytes:
    """A classic BPF filter: drops what we did ourselves; of routes and nexthops keeps only those of our protocol, and
    the routes of the main table, whosoever they are. 20,000 changes to another table must not wake us.
    Netlink is in the machine's byte order, BPF loads in the network's: constants are swapped."""

    steps: list[Instruction] = [
        (LD_W, _AT_PORT),
        (JEQ, socket.htonl(port), "drop", NEXT),
        (LD_H, _AT_TYPE),
        *((JEQ, socket.htons(kind), "route", NEXT) for kind in _ROUTES),
        *((JEQ, socket.htons(kind), "nexthop", NEXT) for kind in _NEXTHOPS),
        (RET, KEEP),
        "route",
        (LD_B, _AT_ROUTE_PROTOCOL),
        (JEQ, protocol, "keep", NEXT),
        (LD_B, _AT_ROUTE_TABLE),
        (JEQ, MAIN, "keep", "drop"),
        "nexthop",
        (LD_B, _AT_NEXTHOP_PROTOCOL),
        (JEQ, protocol, "keep", "drop"),
        "drop",
        (RET, 0),
        "keep",
        (RET, KEEP),
    ]
    return assemble(steps)
