"""What the kernel already does for our policies, whoever set it up: a former run, or this one. Pure.

The kernel is the state. A policy's group is the one that its routes lead to, and its choice the heaviest member;
members are recognised by device, gateway and family, never by a number or the order of the configuration.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steerd.config.family import IPV4
from steerd.config.route_settings import RoutePath, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route.model import prefixes
from steerd.route.model.numbers import WayOut
from steerd.route.model.objects import BUCKETS, METRIC, RUNNER_UP_WEIGHT, SHADOW_METRIC, Kind, RouteType, State
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted.choice import BLOCKED, Choice, choice_of, way_out, ways_out
from steerd.route.wanted.desired import steered
from steerd.route.wanted.selection import Selection


class Adopted(NamedTuple):
    """``choices`` has every policy that is in place, with an empty choice where only its shadows are. ``groups`` are
    the ids of their groups; ``strangers`` paths made up for members that no configured path explains, so that they stay
    until the first choice."""

    choices: dict[PolicyId, Choice]
    groups: dict[tuple[PolicyId, int], int]
    strangers: dict[PathId, RoutePath]


class _Table:
    """The routes of one table and family, as sets made at most once."""

    def __init__(self, family: int, table: int, state: State) -> None:
        self._family = family
        self._packs = {k: p for k, p in state.routes.items() if (k.family, k.table) == (family, table)}
        self._sets: dict[Kind, set[bytes]] = {}

    def most(self, wanted: set[bytes], metric: int, kind_of: RouteType) -> Kind | None:
        """The kind that has most of the wanted prefixes."""
        shared: dict[Kind, int] = {}
        for kind, packed in self._packs.items():
            if (kind.metric, kind.type) == (metric, kind_of):
                if kind not in self._sets:
                    self._sets[kind] = set(prefixes.split(self._family, packed))
                shared[kind] = len(wanted & self._sets[kind])
        best = max(shared, key=shared.__getitem__, default=None)
        return best if best and shared[best] else None


def adopt(settings: RouteSettings, selections: Iterable[Selection], state: State) -> Adopted:
    """What these settings find in place."""
    choices: dict[PolicyId, Choice] = {}
    groups: dict[tuple[PolicyId, int], int] = {}
    strangers: dict[PathId, RoutePath] = {}
    tables: dict[tuple[int, int], _Table] = {}
    management = {family: prefixes.pack(family, settings.management) for family in FAMILIES}
    # Each policy has forwarded traffic, and there no two have the same prefix.
    for selection in (one for one in selections if not one.selectors.own):
        for policy in selection.policies:
            ways: list[tuple[WayOut, int]] = []
            for family in FAMILIES:
                wanted = set(prefixes.split(family, steered(policy, family, management[family])))
                if not wanted:
                    continue
                table = tables.setdefault((family, selection.table), _Table(family, selection.table, state))
                kind = table.most(wanted, METRIC, RouteType.UNICAST)
                if kind:
                    if kind.nexthop and _resilient(state, kind.nexthop):
                        groups.setdefault((policy.policy, family), kind.nexthop)
                    ways = ways or ways_of(state, kind)
                if kind or table.most(wanted, SHADOW_METRIC, RouteType.UNREACHABLE):
                    choices.setdefault(policy.policy, BLOCKED)
            if ways and choices[policy.policy].best is None:
                named = [(name_of(settings, way, strangers), weight) for way, weight in ways]
                choices[policy.policy] = choice_of(named)
    return Adopted(choices, groups, strangers)


def _resilient(state: State, number: int) -> bool:
    group = state.groups.get(number)
    return group is not None and group.buckets == BUCKETS


def ways_of(state: State, kind: Kind) -> list[tuple[WayOut, int]]:
    """Where routes of this kind lead, with the weights there, runners-up last."""
    if not kind.nexthop:
        return [(WayOut(kind.family, kind.device, kind.via), RUNNER_UP_WEIGHT)] if kind.device else []
    group = state.groups.get(kind.nexthop)
    members = sorted(group.members, key=lambda one: one[1] <= RUNNER_UP_WEIGHT) if group else [(kind.nexthop, 1)]
    found = ((state.nexthops.get(number), weight) for number, weight in members)
    return [(WayOut(one.family, one.device, one.via), weight) for one, weight in found if one]


def name_of(settings: RouteSettings, way: WayOut, strangers: dict[PathId, RoutePath]) -> PathId:
    """The configured path that leaves this way; else a made-up one, which goes into ``strangers``."""
    for path in (*sorted(settings.paths, key=lambda one: one.path), *strangers.values()):
        if way_out(path, way.family) == way:
            return path.path
    name = PathId(f"unknown/{way.device}" + (f"/{way.via}" if way.via else ""))
    via, via6 = (way.via or None, None) if way.family == IPV4 else (None, way.via or None)
    families = frozenset({way.family}) if way.via else frozenset(FAMILIES)
    strangers[name] = RoutePath(name, way.device, via, via6, families, way.device, 0, 0)
    return name


def name_of_peer(
    paths: Mapping[PathId, RoutePath], device: str, peer: str, strangers: dict[PathId, RoutePath]
) -> PathId:
    """The path that leads to this peer; else a made-up one, which goes into ``strangers``."""
    for path in (*paths.values(), *strangers.values()):
        if (path.device, path.peer) == (device, peer):
            return path.path
    name = PathId(f"unknown/{device}/{peer}")
    strangers[name] = RoutePath(name, device, None, None, frozenset(FAMILIES), device, 0, 0, peer=peer)
    return name


def adopt_peers(settings: RouteSettings, adopted: Adopted, held: Mapping[tuple[PolicyId, str], str]) -> Adopted:
    """Of several peers on a policy's device the choice is the one that has its prefixes; none if nobody has them."""
    strangers = dict(adopted.strangers)
    paths = {path.path: path for path in settings.paths}
    choices: dict[PolicyId, Choice] = {}
    for policy, choice in adopted.choices.items():
        everyone = {**strangers, **paths}
        named: dict[PathId, None] = {}
        for path in (everyone[name] for name in choice.paths):
            if (peer := held.get((policy, path.device))) is not None:
                named[name_of_peer(paths, path.device, peer, strangers)] = None
        first = [*named, None, None]
        choices[policy] = Choice(first[0], first[1])
    used = {path for choice in choices.values() for path in choice.paths}
    kept = {name: path for name, path in strangers.items() if name in used}
    return adopted._replace(choices=choices, strangers=kept)


def names(settings: RouteSettings, ways: Mapping[PathId, RoutePath], path: PathId) -> PathId:
    """The configured name of a path that may have been renamed or removed: by device and gateways."""
    if any(one.path == path for one in settings.paths):
        return path
    gone = ways.get(path)
    if gone is None or not ways_out([gone]):  # a path that leads nowhere, for want of a gateway, resembles others
        return path
    for one in settings.paths:
        if one.peer == gone.peer and all(way_out(one, family) == way_out(gone, family) for family in FAMILIES):
            return one.path
    return path
