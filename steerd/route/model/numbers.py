"""Our ranges, and nexthop ids within them that do not depend on any order in the configuration."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from zlib import crc32

from steerd.config.route_settings import POLICY_TABLES, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model.objects import BUCKETS, State

PRIORITIES = 100
GROUP_IDS = 1 << 19
"""Groups take ids from the base on; the nexthops of paths follow them."""
NEXTHOP_IDS = 1 << 19


def tables(settings: RouteSettings) -> range:
    """Every table that may ever have been ours under these settings: marks tell how many paths there can be."""
    end = settings.table + POLICY_TABLES + (1 << settings.mark_mask.bit_count()) - 1
    return range(settings.table, max([end, *(path.table + 1 for path in settings.paths)]))


def priorities(settings: RouteSettings) -> range:
    """Of our rules."""
    return range(settings.rule_priority, settings.rule_priority + PRIORITIES)


def nexthop_ids(settings: RouteSettings) -> range:
    """Of our groups and nexthops."""
    return range(settings.nexthop_base, settings.nexthop_base + GROUP_IDS + NEXTHOP_IDS)


class WayOut(NamedTuple):
    """What tells one nexthop from another: never its id, nor its place in the configuration."""

    family: int
    device: str
    via: str


class Ids(NamedTuple):
    """By policy and family, and by way out."""

    groups: Mapping[tuple[PolicyId, int], int]
    nexthops: Mapping[WayOut, int]


def allocate(
    settings: RouteSettings,
    policies: Iterable[tuple[PolicyId, int]],
    ways: Iterable[WayOut],
    found: State,
    adopted: Mapping[tuple[PolicyId, int], int],
    foreign: AbstractSet[int] = frozenset(),
) -> Ids:
    """What exists keeps its id; the rest gets one from a hash of what it is, and none of the ``foreign`` ones: FRR's
    zebra puts nexthops of others back, as its own, when they are removed."""
    base = settings.nexthop_base
    ours = nexthop_ids(settings)
    # Of two for one way out the lower number counts.
    nexthops_there = sorted(found.nexthops.items(), reverse=True)
    existing = {WayOut(one.family, one.device, one.via): number for number, one in nexthops_there}
    taken = {*found.nexthops, *found.groups, *foreign}
    groups: dict[tuple[PolicyId, int], int] = {}
    for key in sorted(policies):
        slot = _slot(f"{key[1]} {key[0]}", GROUP_IDS)
        # Left over without a route, such as after all members died and came back: still this policy's.
        leftover = found.groups.get(base + slot)
        if key in adopted and adopted[key] in ours and adopted[key] not in {*groups.values(), *foreign}:
            groups[key] = adopted[key]
        elif leftover and leftover.buckets == BUCKETS and leftover.id not in {*adopted.values(), *groups.values()}:
            groups[key] = leftover.id
        else:
            groups[key] = _free(slot, GROUP_IDS, base, {*taken, *groups.values()})
    nexthops: dict[WayOut, int] = {}
    for way in sorted(set(ways)):
        slot = _slot(" ".join(map(str, way)), NEXTHOP_IDS)
        nexthops[way] = existing.get(way) or _free(slot, NEXTHOP_IDS, base + GROUP_IDS, {*taken, *nexthops.values()})
    return Ids(groups, nexthops)


def _slot(name: str, size: int) -> int:
    return crc32(name.encode()) % size


def _free(slot: int, size: int, base: int, taken: set[int]) -> int:
    for step in range(size):
        if (number := base + (slot + step) % size) not in taken:
            return number
    raise ValueError(f"no nexthop id left from {base} to {base + size}")
