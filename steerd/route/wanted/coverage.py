"""How much of a policy's traffic routes take that come before ours: not one by one, but all together. Pure, but for
what it remembers.

Two halves are as good as a default route, and so are a thousand pieces: what counts is the share of the policy's
addresses that they hold between them.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from heapq import merge
from typing import Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import RoutePolicy, RouteSettings
from steerd.route.model import prefixes
from steerd.route.model.intervals import Range, sweep
from steerd.route.model.leads import Lead, Leads
from steerd.route.model.objects import RouteType
from steerd.route.wanted.desired import steered

MUCH: Final = 0.1
ALL: Final = 0.9
"""Shares. All but private and special addresses are 99.5 % of IPv4; a full Internet routing table holds some 80 %."""

_CULPRIT: Final = 0.01
"""With this share of the policy's addresses a next hop has a part in it, if all are taken."""

_NETWORK: Final = {IPV4: 8, IPV6: 32}
"""From this length on an attached network is one: LAN, containers. Wider ones are somebody's trick."""

_WIDE: Final = {IPV4: 8, IPV6: 16}
"""Shorter prefixes than that are nobody's network, nor in a full Internet routing table: pieces of a default route."""

NOBODY: Final = {
    IPV4: prefixes.pack(IPV4, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
    IPV6: prefixes.pack(IPV6, (f"{number:x}000::/3" for number in range(0, 16, 2) if number != 2)),
}
"""Where a default route leads nobody: no part of a whole. In IPv6 all but global unicast addresses, unless a policy
names them (RFC 6890, RFC 4291)."""

_EXAMPLES: Final = 3


class Covered(NamedTuple):
    """The ``share`` of a policy's addresses (0: less than `MUCH`), and what the routes that hold it are, without their
    metrics, the greatest share first."""

    share: float = 0.0
    leads: tuple[Lead, ...] = ()


_REMEMBERED: Final = 1024
"""Of 100 policies the guard, the remarks and the account ask for 600."""


class _Memory(threading.local):
    """What was found with the same routes: the guard, the remarks and the account of each policy ask for the same. Of a
    thread: a plan is made beside routing's own."""

    def __init__(self) -> None:
        self.leads: Leads = {}
        # Hashes stand for prefixes: lists of former configurations are not kept for this.
        self.found: dict[tuple[int, int, int, frozenset[str]], Covered] = {}


_memory = _Memory()


def covered(settings: RouteSettings, leads: Leads, policy: RoutePolicy, family: int, but: AbstractSet[str]) -> Covered:
    """What routes take of the policy's addresses that lead by other devices than ``but``, or nowhere. Attached networks
    are as they should be."""
    if _memory.leads != leads or len(_memory.found) >= _REMEMBERED:
        _memory.leads = dict(leads)
        _memory.found.clear()
    leads = {lead: packed for lead, packed in leads.items() if lead.family == family and not lead.some}
    matter = {lead: most for lead, packed in leads.items() if (most := _most(lead, packed))}
    management = prefixes.pack(family, settings.management)
    mine = steered(policy, family, management)
    if not matter or not mine:
        return Covered()
    holes = prefixes.union(family, NOBODY[family], prefixes.of_family(policy.excepted, family), management)
    by = frozenset(device for lead in matter for device in lead.devices if device in but)
    key = family, hash(mine), hash(holes), by
    if key not in _memory.found:
        most = sum(matter[lead] for lead in matter if _elsewhere(lead, by))
        _memory.found[key] = _covered(family, mine, holes, leads, by, most)
    return _memory.found[key]


def _covered(family: int, mine: bytes, holes: bytes, leads: Leads, but: AbstractSet[str], most: int) -> Covered:
    """``most``: no fewer addresses than all routes hold that lead elsewhere."""
    total = sum(here.last - here.first + 1 for here in _space(family, mine, holes))
    if most < MUCH * total or not total:
        return Covered()
    near = {
        # Of a few prefixes most routes do not matter; of many, looking which do costs more than it saves.
        lead: prefixes.overlapping(family, packed, mine) if len(mine) * prefixes.COVER_COSTS < len(packed) else packed
        for lead, packed in leads.items()
    }
    sizes: Counter[Lead] = Counter()
    for size, lead in _common(_space(family, mine, holes), _taken(near, family, but)):
        sizes[lead] += size
    share = sizes.total() / total
    if share < MUCH:
        return Covered()
    great = [lead for lead, size in sizes.most_common() if size >= _CULPRIT * total]
    enough = sum(sizes[lead] for lead in great) >= min(share, ALL) * total
    return Covered(share, tuple(great if enough else (lead for lead, _ in sizes.most_common())))


def doubtful(leads: Leads, culprits: AbstractSet[Lead], family: int) -> bytes:
    """The prefixes of routes that lead as the culprits do, but for attached networks."""
    found = (
        b"".join(entry for entry in prefixes.split(family, packed) if not _is_network(lead, entry))
        for lead, packed in leads.items()
        if lead.family == family and lead._replace(metric=0) in culprits
    )
    return prefixes.union(family, *found)


def wide(family: int, packed: bytes) -> bytes:
    """Those of the prefixes that are pieces of a default route."""
    return b"".join(entry for entry in prefixes.split(family, packed) if entry[-1] < _WIDE[family])


def words(settings: RouteSettings, leads: Leads, policy: RoutePolicy, found: Covered) -> str:
    """``100 % of its IPv4 addresses: 0.0.0.0/1, 128.0.0.0/1 by wan``"""
    family = found.leads[0].family
    mine = steered(policy, family, prefixes.pack(family, settings.management))
    parts: list[str] = []
    for lead in found.leads[:_EXAMPLES]:
        packs = (packed for one, packed in leads.items() if one._replace(metric=0) == lead)
        entries = prefixes.split(family, prefixes.overlapping(family, prefixes.union(family, *packs), mine))
        first = sorted(sorted(entries, key=lambda entry: entry[-1])[:_EXAMPLES])
        more = f" and {len(entries) - len(first)} more" if len(entries) > len(first) else ""
        parts.append(", ".join(prefixes.text(family, entry) for entry in first) + more + " " + where(lead))
    if len(found.leads) > _EXAMPLES:
        parts.append("...")
    return f"{found.share * 100:.0f} % of its IPv{family} addresses: {'; '.join(parts)}"


def where(lead: Lead) -> str:
    """``by wan``, ``to nowhere``"""
    if lead.devices:
        return f"by {', '.join(lead.devices)}"
    return "by a nexthop object" if lead.type == RouteType.UNICAST else "to nowhere"


def _is_network(lead: Lead, entry: bytes) -> bool:
    return lead.attached and entry[-1] >= _NETWORK[lead.family]


def _elsewhere(lead: Lead, but: AbstractSet[str]) -> bool:
    return lead.type != RouteType.THROW and not (lead.devices and but >= set(lead.devices))


def _most(lead: Lead, packed: bytes) -> int:
    """No fewer addresses than the routes hold, without attached networks."""
    width = prefixes.WIDTH[lead.family]
    lengths = Counter(packed[width - 1 :: width])
    bits = 8 * (width - 1)
    narrow = _NETWORK[lead.family] if lead.attached else bits + 1
    return sum(times << (bits - length) for length, times in lengths.items() if length < narrow)


def _space(family: int, mine: bytes, holes: bytes) -> Iterator[Range]:
    """The addresses that a policy is about."""
    left = ((entry, False) for entry in prefixes.split(family, holes))
    entries = merge(left, ((entry, True) for entry in prefixes.split(family, mine)))
    return (here for here, _ in sweep(family, ((entry, wanted or None) for entry, wanted in entries)))


def _taken(leads: Leads, family: int, but: AbstractSet[str]) -> Iterator[tuple[Range, Lead]]:
    """The addresses that routes lead elsewhere, each with the longest of them; of equal ones the lowest metric."""
    sides = [_marked(lead, packed, but) for lead, packed in leads.items()]
    return sweep(family, ((entry, target) for entry, _metric, _lead, target in merge(*sides)))


def _marked(lead: Lead, packed: bytes, but: AbstractSet[str]) -> Iterator[tuple[bytes, int, Lead, Lead | None]]:
    target = lead._replace(metric=0) if _elsewhere(lead, but) else None
    for entry in prefixes.split(lead.family, packed):
        yield entry, lead.metric, lead, None if _is_network(lead, entry) else target


def _common(mine: Iterable[Range], taken: Iterable[tuple[Range, Lead]]) -> Iterator[tuple[int, Lead]]:
    """How many addresses of ``mine`` each of the ranges has."""
    left = iter(mine)
    here = next(left, None)
    for there, lead in taken:
        while here and here.last < there.first:
            here = next(left, None)
        while here:
            size = min(here.last, there.last) - max(here.first, there.first) + 1
            if size > 0:
                yield size, lead
            if here.last > there.last or size <= 0:
                break
            here = next(left, None)
