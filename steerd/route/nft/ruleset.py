"""What stands in our one table of nftables. Pure."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import Prefixes, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model import prefixes
from steerd.route.model.intervals import Range, flatten
from steerd.route.model.leads import Lead
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft import words
from steerd.route.nft.classify import merged
from steerd.route.nft.guard import ExtraDevices, guard
from steerd.route.nft.ingress import Inside, ingress
from steerd.route.nft.pins import pins
from steerd.route.nft.table import Table
from steerd.route.wanted.selection import Selection

COMMENT = "steerd, protocol "  # how the comment of our table begins: what tells it from another of its name
_HEADERS = {IPV4: 40, IPV6: 60}
"""Bytes of the IP and TCP headers without options: what RFC 9293, 3.7.1 takes from the MTU."""
MOST_RANGES: Final = 200_000
"""Of main's in a set: `nft` takes some ten seconds for so many."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What besides the settings goes into the table. ``main`` has the prefixes that main knows better than by a default
    route, ``attached`` those of them that are networks of this machine's, ``doubtful`` those by which it takes all that
    a policy is about, and ``taken`` by which routes, by policy and family; ``mtus`` the largest packet that each
    device's path takes, in bytes; ``uplinks`` the devices of main's default routes; ``bridges`` the Ethernet addresses
    of each and of its ports; ``can`` the uses of nftables that this kernel allows; ``inside`` as
    `ingress.inside` gives it."""

    main: Prefixes = field(default_factory=Prefixes)
    attached: Prefixes = field(default_factory=Prefixes)
    doubtful: Prefixes = field(default_factory=Prefixes)
    taken: Mapping[tuple[PolicyId, int], AbstractSet[Lead]] = field(default_factory=dict)
    extra: ExtraDevices = field(default_factory=dict)
    mtus: Mapping[str, int] = field(default_factory=dict)
    uplinks: frozenset[str] = frozenset()
    bridges: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    inside: Inside = field(default_factory=dict)
    can: frozenset[str] = frozenset({"guard", "pin", "client", "clamp", "ingress"})


def ruleset(settings: RouteSettings, selections: Iterable[Selection], inputs: Inputs) -> Table | None:
    """The table; None when there is nothing for it to do."""
    known = list(selections)
    pinned = "pin" in inputs.can and settings.pins
    chains: list[str] = []
    if "guard" in inputs.can and settings.guards:
        logged = "log" in inputs.can
        chains += guard(settings, known, inputs.extra, inputs.taken, inputs.bridges, answers=pinned, logged=logged)
    if "ingress" in inputs.can and settings.guards:
        chains += ingress(settings, inputs.inside, inputs.uplinks)
    if pinned:
        chains += pins(settings, known, inputs.uplinks)
    if "clamp" in inputs.can and settings.clamp_mss:
        chains += _clamp(settings, inputs.mtus)
    if not chains:
        return None
    comment = f"{COMMENT}{settings.protocol}, which keeps it as it is"
    return Table.of(settings.nft_table, comment, [*_sets(settings, inputs), *chains])


def _fitting(ranges: Mapping[Range, int]) -> Iterable[Range]:
    """Those that go into a set: if there are too many, the widest of the lowest ranks."""
    if len(ranges) <= MOST_RANGES:
        return ranges
    return sorted(sorted(ranges, key=lambda one: (ranges[one], one.first - one.last))[:MOST_RANGES])


def _clamp(settings: RouteSettings, mtus: Mapping[str, int]) -> list[str]:
    """Tells both ends of a TCP connection, as it opens, what the path's MTU leaves for data. It only lowers sizes."""
    rules = []
    for device in sorted({path.device for path in settings.paths} & mtus.keys()):
        for family in FAMILIES:
            size = mtus[device] - _HEADERS[family]
            for way in ("iifname", "oifname"):
                match = f'meta nfproto {words.PROTOCOL_FAMILY[family]} {way} "{device}"'
                rules.append(f"{match} tcp option maxseg size set {size}")
    if not rules:
        return []
    base = "type filter hook forward priority mangle + 5; policy accept;"
    return [words.chain("sizes", rules), words.chain("clamp", [base, "tcp flags & (syn | rst) == syn jump sizes"])]


def left_out(inputs: Inputs) -> int:
    """How many ranges of addresses that main knows better are guarded too, since they are too many."""
    many = [one for one in FAMILIES if prefixes.count(one, prefixes.of_family(inputs.main, one)) > MOST_RANGES]
    return sum(max(0, len(known(family, inputs)) - MOST_RANGES) for family in many)


def known(family: int, inputs: Inputs) -> dict[Range, int]:
    """The addresses that main knows better than by a default route, whole or in pieces, with their rank."""
    ranks = ((inputs.doubtful, None), (inputs.attached, 0), (inputs.main, 1))
    packs = [(prefixes.of_family(one, family), rank) for one, rank in ranks]
    return flatten(family, [(entry, rank) for packed, rank in packs for entry in prefixes.split(family, packed)])


def _sets(settings: RouteSettings, inputs: Inputs) -> list[str]:
    found = []
    for family in FAMILIES:
        found.append(words.ranges_set(f"main{family}", family, _fitting(known(family, inputs))))
        if doubtful := merged(family, prefixes.of_family(inputs.doubtful, family)):
            found.append(words.ranges_set(f"doubtful{family}", family, _fitting(dict.fromkeys(doubtful, 0))))
        if management := merged(family, prefixes.pack(family, settings.management)):
            found.append(words.ranges_set(f"management{family}", family, management))
    names = {path.device for path in settings.paths}
    lines = ["type ifname", *([f"elements = {words.names(names)}"] if names else [])]
    return [*found, words.block("set paths", lines)]
