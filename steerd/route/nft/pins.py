"""Connections that stay on their path: marks in conntrack. Pure.

The first packet that leaves by a path marks its connection; later ones take the mark over, which leads them to that
path's own table whatever the policy's choice is by then. A connection that came in by a path has another mark, which
leads its answers to the same table, so that the two can be released separately.

Where a policy keeps its clients whole, the path is also remembered for who sent the first packet: there is a set of
clients for each path, which packets fill. A client's next connection gets the path's mark as it comes in, unless the
path's table has no route by now.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import Flows, RoutePath, RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model import prefixes
from steerd.route.model.objects import ONLINK
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft import words
from steerd.route.nft.classify import classify, left_alone
from steerd.route.nft.table import DYNAMIC, Table, names
from steerd.route.wanted.selection import Selection

MOST_CLIENTS: Final = 32_768
"""In a set: of one policy, path and family. Those beyond it go by their policy's choice, connection by connection."""
_SET: Final = re.compile(r"clients_(\d+)_([0-9a-f]+)_[46]_\w+")
_FOR_OTHERS: Final = "fib daddr type != unicast accept"
"""What is for this machine, or for all, is not led anywhere."""


def pins(settings: RouteSettings, selections: Sequence[Selection], uplinks: AbstractSet[str]) -> list[str]:
    """The chains and maps. ``uplinks`` are the devices of main's default routes."""
    mask = settings.mark_mask
    others = ~mask & words.ALL_BITS
    alone = _told_by_device(settings)
    chains = []
    kept = {policy.policy: _kept(settings, policy) for policy in settings.policies}
    for mark in (mark for path in settings.paths for mark in (path.mark, path.inbound_mark) if mark):
        # Only who is known is: the path may have been given up a moment ago.
        heard = [
            f"{one.sender} @{one.name} {one.remember}"
            for some in kept.values()
            for one in some
            if one.path.mark == mark
        ]
        # To accept ends the search for a policy, in these hooks of ours alone.
        lead = f"meta mark set meta mark and {others:#x} or {mark:#x} accept"
        chains.append(words.chain(f"lead_{mark:x}", [*heard, lead]))
        chains.append(words.chain(f"mark_{mark:x}", [f"ct mark set ct mark and {others:#x} or {mark:#x} accept"]))
    came = {f'"{device}"': f"mark_{path.inbound_mark:x}" for device, path in alone.items() if path.inbound_mark}
    chains += [words.jumps_map("came", "ifname", came), words.chain("came", ["iifname vmap @came"])]
    chains += _leaves(settings, "left", {path.mark: f"mark_{path.mark:x}" for path in settings.paths})
    for policy in settings.policies:
        if kept[policy.policy]:
            chains += _joining(settings, policy, kept[policy.policy])

    outbound = {f"{path.mark:#x}": f"lead_{path.mark:x}" for path in settings.paths}
    inbound = {f"{path.inbound_mark:#x}": f"lead_{path.inbound_mark:x}" for path in settings.paths if path.inbound_mark}
    chains += [words.jumps_map("outbound", "mark", outbound), words.jumps_map("inbound", "mark", inbound)]
    unmarked = f"ct mark and {mask:#x} == 0"
    by_main = []  # What came in by no path of ours is answered as if we were not there.
    if settings.main_mark:
        by_main = [f"ct direction reply {unmarked} meta mark set meta mark and {others:#x} or {settings.main_mark:#x}"]
    elif settings.bypass_mark:
        by_main = [f"ct direction reply {unmarked} meta mark set {settings.bypass_mark:#x}"]
    pinned = f"ct direction original ct mark and {mask:#x} vmap @outbound"
    answers = f"ct direction reply ct mark and {mask:#x} vmap @inbound"
    arriving = [
        # Behind whatever others restore or set there, and behind their own look at the way back, which asks with the
        # mark (firewalld does, of IPv6): with ours it would find the path, not the LAN.
        "type filter hook prerouting priority filter + 900; policy accept;",
        # What others restore from the connection (wg-quick does, of UDP) would lead it back out of the path.
        f"iifname @paths meta mark and {mask:#x} != 0 meta mark set meta mark and {others:#x}",
        f"iifname @paths ct direction original {unmarked} goto came",
        "iifname @paths return",
    ]
    known = []
    if any(kept.values()):
        chains += _known(settings, selections, kept)
        known = [f"ct state new ct direction original {unmarked} goto known"]
    chains.append(words.chain("arriving", [*arriving, pinned, answers, *by_main, *known]))
    new = f"ct direction original {unmarked} oifname @paths"

    def verdict(policy: RoutePolicy) -> str:
        return "accept" if policy.flows is Flows.MOVE else "goto left"

    def joining(policy: RoutePolicy) -> str:
        return f"goto left_{policy.table}" if kept[policy.policy] else verdict(policy)

    # Where main does not use the paths' devices, all that leaves by them belongs to a policy: what main itself routes
    # behind them was accepted before that.
    rest = "goto left" if uplinks.isdisjoint(path.device for path in settings.paths) else None
    for own, base, hook in (
        (False, "leaving", "type filter hook forward priority mangle + 5; policy accept;"),
        (True, "own_leaving", "type filter hook output priority mangle + 6; policy accept;"),
    ):
        # The gateway's own connections have no sender but itself, and are not kept together.
        told = verdict if own else joining
        deep, lookups = classify(settings, selections, f"{base}_as", told, own=own, rest=rest)
        if lookups:
            probes = [f"meta mark and {mask:#x} != 0 return"] if own else []
            chains += [
                *deep,
                words.chain(f"{base}_new", [*left_alone(settings, "accept"), *lookups]),
                words.chain(base, [hook, *probes, f"{new} jump {base}_new"]),
            ]
    own_answers = [
        "type route hook output priority mangle + 5; policy accept;",
        "meta mark != 0 return",  # a probe, a tunnel's outer packet: its sender knows the way
        answers,
    ]
    if any(selection.selectors.own for selection in selections):
        own_answers += [pinned, *by_main]
    return [*chains, words.chain("own_answers", own_answers)]


def _told_by_device(settings: RouteSettings) -> dict[str, RoutePath]:
    """The paths that no other one shares its device with, by that."""
    known = Counter(path.device for path in settings.paths)
    return {path.device: path for path in settings.paths if known[path.device] == 1}


def _leaves(settings: RouteSettings, name: str, marked: Mapping[int, str], other: str = "") -> Iterator[str]:
    """A map and a chain that go on, for what leaves by a path, in the chain ``marked`` says; else in ``other``."""
    alone = _told_by_device(settings)
    rules = [f"oifname vmap @{name}"]
    for path in settings.paths:
        for family, via in ((IPV4, path.via), (IPV6, path.via6)):
            if path.device not in alone and path.mark in marked and via:
                nexthop = f"rt {words.PROTOCOL[family]} nexthop {via.removesuffix(ONLINK)}"
                rules.append(f'oifname "{path.device}" {nexthop} goto {marked[path.mark]}')
    known = {f'"{device}"': marked[path.mark] for device, path in alone.items() if path.mark in marked}
    yield words.jumps_map(name, "ifname", known)
    yield words.chain(name, [*rules, *([f"goto {other}"] if other else [])])


# Clients that are kept whole.


class _Kept(NamedTuple):
    """A set of clients that stay on a path."""

    policy: RoutePolicy
    path: RoutePath
    family: int

    @property
    def name(self) -> str:
        return f"clients_{self.policy.table}_{self.path.mark:x}_{self.family}"

    @property
    def sender(self) -> str:
        return f"{words.PROTOCOL[self.family]} saddr"

    @property
    def remember(self) -> str:
        """For as long again as it may be silent."""
        return f"update @{self.name} {{ {self.sender} timeout {self.policy.client_idle:.0f}s }}"


def _kept(settings: RouteSettings, policy: RoutePolicy) -> list[_Kept]:
    if policy.flows is not Flows.CLIENT:
        return []
    return [
        _Kept(policy, path, family)
        for path in settings.paths
        for family in FAMILIES
        if policy.allowed is None or path.path in policy.allowed
        if family in path.families and prefixes.of_family(policy.prefixes, family)
    ]


def clients(table: Table | None, marks: Collection[int], policy: RoutePolicy | None = None) -> list[str]:
    """The sets of a table in which clients, or those of one policy, are remembered for paths with these marks."""
    found = [name for block in table.blocks for kind, name in names(block) if kind == "set"] if table else []
    sets = [parts for parts in map(_SET.fullmatch, found) if parts and int(parts[2], 16) in marks]
    return [parts[0] for parts in sets if policy is None or int(parts[1]) == policy.table]


def crowd_chain(policy: RoutePolicy) -> str:
    """The name of the chain that counts connections of the policy's whose clients found no room in a set."""
    return f"crowd_{policy.table}"


def _joining(settings: RouteSettings, policy: RoutePolicy, kept: Sequence[_Kept]) -> Iterator[str]:
    """The sets, and the chains for what leaves with a client's first connection. A full set takes no more."""
    for one in kept:
        lines = [f"type {words.ADDRESS_TYPE[one.family]}", f"size {MOST_CLIENTS}", DYNAMIC]
        yield words.block(f"set {one.name}", lines)
    marks = dict.fromkeys(one.path.mark for one in kept)
    for mark in marks:
        joins = [f"{one.remember} goto mark_{mark:x}" for one in kept if one.path.mark == mark]
        joins += [f"jump {crowd_chain(policy)}", f"goto mark_{mark:x}"]
        yield words.chain(f"join_{policy.table}_{mark:x}", joins)
    yield words.chain(crowd_chain(policy), ["counter"])
    yield from _leaves(
        settings, f"left_{policy.table}", {mark: f"join_{policy.table}_{mark:x}" for mark in marks}, "left"
    )


def _known(
    settings: RouteSettings, selections: Sequence[Selection], kept: Mapping[PolicyId, Sequence[_Kept]]
) -> list[str]:
    """The chains that give a new connection of a known client its path's mark, from ``known`` on."""
    others = ~settings.mark_mask & words.ALL_BITS

    def verdict(policy: RoutePolicy) -> str:
        return f"goto known_{policy.table}" if kept[policy.policy] else "accept"

    deep, lookups = classify(settings, selections, "known_as", verdict, rest="accept")
    chains = [
        words.chain(
            f"keep_{mark:x}",
            [
                f"meta mark set meta mark and {others:#x} or {mark:#x}",
                # Its device may be gone, and nobody has forgotten the path's clients yet.
                f"fib daddr . mark oif missing meta mark set meta mark and {others:#x} accept",
                f"ct mark set ct mark and {others:#x} or {mark:#x}",
                f"goto lead_{mark:x}",
            ],
        )
        for mark in sorted({one.path.mark for some in kept.values() for one in some})
    ]
    chains += [
        words.chain(f"known_{policy.table}", [f"{one.sender} @{one.name} goto keep_{one.path.mark:x}" for one in some])
        for policy in settings.policies
        if (some := kept[policy.policy])
    ]
    return [*chains, *deep, words.chain("known", [_FOR_OTHERS, *left_alone(settings, "accept"), *lookups])]
