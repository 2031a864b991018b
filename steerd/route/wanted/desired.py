"""From settings and choices to the kernel objects that there should be. Pure."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from steerd.config.route_settings import Flows, RoutePath, RoutePolicy, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route.model import prefixes
from steerd.route.model.numbers import Ids, WayOut
from steerd.route.model.objects import IDLE_TIMER, METRIC, SHADOW_METRIC, Group, Kind, Nexthop, RouteType, State
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted.choice import Choice, way_out, ways_out, weighed
from steerd.route.wanted.selection import Selection, fixed_rules, steering_rules


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What besides the settings decides what is possible. ``retired``: paths that configuration no longer names but
    traffic still uses; ``usable``: ways out that the kernel would accept now; ``pinning``: established connections
    bypass the routes; ``far_ends``: where devices send outer packets with the mark of what is in them."""

    retired: Mapping[PathId, RoutePath]
    usable: AbstractSet[WayOut]
    ids: Ids
    families: tuple[int, ...] = FAMILIES
    nexthop_objects: bool = True
    pinning: bool = False
    far_ends: Mapping[str, str] = field(default_factory=dict)


def desired(
    settings: RouteSettings,
    selections: Iterable[Selection],
    choices: Mapping[PolicyId, Choice],
    circumstances: Circumstances,
) -> State:
    """The whole wanted state. A policy without a choice is not in place; with an impossible one it has shadows only."""
    everyone = {**circumstances.retired, **{path.path: path for path in settings.paths}}
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
            if far := prefixes.pack(family, filter(None, [circumstances.far_ends.get(path.device)])):
                # The path's mark would lead the tunnel's own packets into the tunnel.
                routes[Kind(family, path.table, METRIC, RouteType.THROW)] = far
    if circumstances.nexthop_objects:
        ways = ways_out(everyone.values()) & usable
        nexthops = {
            ids.nexthops[way]: Nexthop(ids.nexthops[way], *way) for way in ways if way.family in circumstances.families
        }
    timers = idle_timers(settings, pinning=circumstances.pinning)
    targets: dict[tuple[PolicyId, int], Kind] = {}
    for policy, choice in choices.items():
        for family in circumstances.families:
            members = weighed(choice, everyone, usable, family)
            if not members:
                continue
            if circumstances.nexthop_objects:
                group = group_of(members, policy, family, ids, idle_timer=timers.get(policy, 0))
                targets[policy, family] = Kind(family, 0, METRIC, RouteType.UNICAST, nexthop=group.id)
                groups[group.id] = group
            else:
                way = members[0][0]
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


def group_of(
    members: Iterable[tuple[WayOut, int]], policy: PolicyId, family: int, ids: Ids, *, idle_timer: int
) -> Group:
    """The group that a policy's routes of a family lead to."""
    weights = tuple((ids.nexthops[way], weight) for way, weight in members)
    return Group(ids.groups[policy, family], weights, idle_timer=idle_timer)


def idle_timers(settings: RouteSettings, *, pinning: bool) -> dict[PolicyId, int]:
    """Hundredths of a second that flows which share a bucket must be silent before it follows other weights, if not 0.
    Pinned connections never use buckets, so that new ones follow at once."""
    return {
        one.policy: IDLE_TIMER
        for one in settings.policies
        if one.spread > 1 and not (pinning and one.flows is not Flows.MOVE)
    }


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
