"""From settings and choices to the kernel objects that there should be. Pure."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from steerd.config.settings import IPV4, RoutePath, RoutePolicy, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route import prefixes
from steerd.route.numbers import Ids, WayOut
from steerd.route.objects import (
    BEST_WEIGHT,
    METRIC,
    RUNNER_UP_WEIGHT,
    SHADOW_METRIC,
    Group,
    Kind,
    Nexthop,
    RouteType,
    State,
)
from steerd.route.prefixes import FAMILIES
from steerd.route.selection import Selection, fixed_rules, steering_rules


class Choice(NamedTuple):
    best: PathId | None
    runner_up: PathId | None = None


BLOCKED = Choice(None)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What besides the settings decides what is possible: paths that configuration no longer names but
    traffic still uses, ways out that the kernel would accept now, numbers, and kernel features."""

    retired: Mapping[PathId, RoutePath]
    usable: AbstractSet[WayOut]
    ids: Ids
    families: tuple[int, ...] = FAMILIES
    nexthop_objects: bool = True


def way_out(path: RoutePath, family: int) -> WayOut | None:
    """How the path leaves in this family; None when it does not carry it."""
    if family not in path.families:
        return None
    via = path.via if family == IPV4 else path.via6
    return WayOut(family, path.device, via or "")


def ways_out(paths: Iterable[RoutePath]) -> set[WayOut]:
    return {way for path in paths for family in FAMILIES if (way := way_out(path, family))}


def desired(
    settings: RouteSettings,
    selections: Iterable[Selection],
    choices: Mapping[PolicyId, Choice],
    circumstances: Circumstances,
) -> State:
    """The whole wanted state. A policy without an entry in ``choices`` is not in place yet; one whose choice
    is empty or impossible has shadows only."""
    paths = {path.path: path for path in settings.paths}
    everyone = {**circumstances.retired, **paths}
    usable = circumstances.usable
    ids = circumstances.ids
    nexthops: dict[int, Nexthop] = {}
    groups: dict[int, Group] = {}
    routes: dict[Kind, bytes] = {}
    for path in settings.paths:
        for family in circumstances.families:
            shadow = Kind(family, path.table, SHADOW_METRIC, RouteType.UNREACHABLE)
            routes[shadow] = prefixes.DEFAULT[family]
            way = way_out(path, family)
            if way and way in usable:
                kind = Kind(family, path.table, METRIC, RouteType.UNICAST, device=way.device, via=way.via)
                routes[kind] = prefixes.DEFAULT[family]
    if circumstances.nexthop_objects:
        for path in everyone.values():
            for family in circumstances.families:
                way = way_out(path, family)
                if way and way in usable:
                    nexthops[ids.nexthops[way]] = Nexthop(ids.nexthops[way], *way)
    targets: dict[tuple[PolicyId, int], Kind] = {}
    for policy, choice in choices.items():
        for family in circumstances.families:
            members = possible(choice, everyone, usable, family)
            if not members:
                continue
            if circumstances.nexthop_objects:
                group = Group(ids.groups[policy, family], weigh([ids.nexthops[way] for way in members]))
                targets[policy, family] = Kind(family, 0, METRIC, RouteType.UNICAST, nexthop=group.id)
                groups[group.id] = group
            else:
                way = members[0]
                targets[policy, family] = Kind(family, 0, METRIC, RouteType.UNICAST, device=way.device, via=way.via)
    active: list[tuple[Selection, int]] = []
    used: set[int] = set()
    for selection in selections:
        policies = [one for one in selection.policies if one.policy in choices]
        for family in circumstances.families:
            in_family = [one for one in policies if prefixes.of_family(one.prefixes, family)]
            if in_family:
                active.append((selection, family))
                for kind, packed in _table(settings, family, selection.table, in_family, targets).items():
                    routes[kind] = packed
                    used.add(kind.nexthop)
    rules = [*fixed_rules(settings, circumstances.families), *steering_rules(settings, active)]
    kept = {number: group for number, group in groups.items() if number in used}
    return State(frozenset(rules), nexthops, kept, {kind: packed for kind, packed in routes.items() if packed})


def weigh(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    """The members of a group whose best is the first. A lone member stands for any weight."""
    return tuple(zip(numbers, (BEST_WEIGHT, RUNNER_UP_WEIGHT), strict=False))


def possible(
    choice: Choice,
    paths: Mapping[PathId, RoutePath],
    usable: AbstractSet[WayOut],
    family: int,
) -> list[WayOut]:
    """The ways out that this choice comes to, best first.

    The first path with any usable way leads in both families: when it does not carry one of them, that
    family has no way, since traffic of one PoP must not appear at another.
    """
    alive = [
        path
        for name in choice
        if name is not None and (path := paths.get(name)) and not usable.isdisjoint(ways_out([path]))
    ]
    ways = [way_out(path, family) for path in alive]
    if not ways or ways[0] not in usable:
        return []
    return list(dict.fromkeys(way for way in ways if way is not None and way in usable))


def _table(
    settings: RouteSettings,
    family: int,
    table: int,
    policies: list[RoutePolicy],
    targets: Mapping[tuple[PolicyId, int], Kind],
) -> dict[Kind, bytes]:
    management = prefixes.pack(family, settings.management)
    routes: dict[Kind, bytes] = {}
    throws = management
    shadows: list[bytes] = []
    each = [steered(policy, family, management) for policy in policies]
    # Policies that differ in input interfaces only meet in own traffic: the first in the file has the prefix.
    meet = sum(map(len, each)) != len(prefixes.union(family, *each))
    for policy, asked in zip(policies, each, strict=True):
        wanted = prefixes.minus(family, asked, prefixes.union(family, *shadows)) if meet else asked
        shadows.append(wanted)
        throws = prefixes.union(family, throws, prefixes.of_family(policy.excepted, family))
        if target := targets.get((policy.policy, family)):
            kind = target._replace(table=table)
            routes[kind] = prefixes.union(family, routes.get(kind, b""), wanted)
    shadow = prefixes.union(family, *shadows)
    routes[Kind(family, table, SHADOW_METRIC, RouteType.UNREACHABLE)] = shadow
    # Of two policies here one may leave to main the very prefix that the other steers: it is steered.
    routes[Kind(family, table, METRIC, RouteType.THROW)] = prefixes.minus(family, throws, shadow)
    return routes


def steered(policy: RoutePolicy, family: int, management: bytes) -> bytes:
    """The prefixes that get routes: not those within what the policy excepts, or within management."""
    wanted = prefixes.outside(family, prefixes.of_family(policy.prefixes, family), management)
    return prefixes.outside(family, wanted, prefixes.of_family(policy.excepted, family))
