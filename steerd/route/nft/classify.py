"""Which policy a packet belongs to, decided as the kernel's rules and tables decide it, in rules of nftables. Pure.

Selectors are asked in the order of the file, then the longest prefix wins. nftables has no longest match, so prefixes
are laid out as disjoint ranges.
"""

from collections.abc import Callable, Sequence
from ipaddress import ip_network

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import RoutePolicy, RouteSettings
from steerd.route.model import prefixes
from steerd.route.model.intervals import Range, every, flatten
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft import words
from steerd.route.wanted.desired import steered
from steerd.route.wanted.selection import Selection

MULTICAST = {IPV4: "224.0.0.0/4", IPV6: "ff00::/8"}

_FEW = 1_000  # so few prefixes that testing which of many others lie within them is cheap

Verdict = Callable[[RoutePolicy], str]
"""The verdict, in nft's words, for a packet that belongs to the policy; it ends the search."""


def left_alone(settings: RouteSettings, verdict: str) -> list[str]:
    """Rules for what belongs to no policy: bypassed, answers to what main brought, multicast (no unicast route moves
    it), management, main's own."""
    lines = [f"meta mark {settings.bypass_mark:#x} {verdict}"] if settings.bypass_mark else []
    if settings.pins and settings.main_mark:
        lines.append(f"meta mark and {settings.mark_mask:#x} == {settings.main_mark:#x} {verdict}")
    for family in FAMILIES:
        protocol = words.PROTOCOL[family]
        lines.append(f"{protocol} daddr {MULTICAST[family]} {verdict}")
        if prefixes.pack(family, settings.management):
            lines.append(f"{protocol} daddr @management{family} {verdict}")
        lines.append(f"{protocol} daddr @main{family} {verdict}")
    return lines


def merged(family: int, packed: bytes) -> list[Range]:
    """The addresses of a set of prefixes, as the widest ranges."""
    return list(flatten(family, ((entry, True) for entry in prefixes.split(family, packed))))


def classify(
    settings: RouteSettings,
    selections: Sequence[Selection],
    name: str,
    verdict: Verdict,
    *,
    own: bool = False,
    rest: str | None = None,
) -> tuple[list[str], list[str]]:
    """Chains, sets and maps named from ``name`` on, and the rules that lead to them: what belongs to a policy comes to
    its verdict, what belongs to none falls through. ``own``: of the gateway's own traffic, not of forwarded. ``rest``:
    a verdict that what belongs to none may get too, since no such packet is asked about: that can save every prefix of
    a policy."""
    blocks: list[str] = []
    rules: list[str] = []
    asked = [one for one in selections if one.selectors.own == own]
    for at, selection in enumerate(asked):
        # What this one leaves over may belong to a policy of a later one.
        later = {verdict(policy) for one in asked[at + 1 :] for policy in one.policies}
        others = rest if later <= {rest} else None
        for family in FAMILIES:
            if not asks(selection, family) or not (found := lookup(settings, selection, family, verdict, others)):
                continue
            chain = f"{name}_{at}_{family}"
            if list(found) == [every(family)]:
                blocks.append(words.chain(chain, found.values()))
            else:
                blocks.append(words.ranges_map(chain, family, found))
                blocks.append(words.chain(chain, [f"{words.PROTOCOL[family]} daddr vmap @{chain}"]))
            match, sets = selected(selection, family, f"{chain}_from")
            blocks += sets
            rules.append(f"{match} jump {chain}")
    return blocks, rules


def asks(selection: Selection, family: int) -> bool:
    """Whether the selectors select any packets of the family."""
    sources = selection.selectors.sources
    return not sources or any(ip_network(one).version == family for one in sources)


def selected(selection: Selection, family: int, name: str) -> tuple[str, list[str]]:
    """What a rule matches on, so that it sees what the selectors select; and the set, called ``name``, that it asks."""
    selectors, blocks = selection.selectors, []
    match = [f"meta nfproto {words.PROTOCOL_FAMILY[family]}"]
    if selectors.iifs:
        match.append(f"iifname {words.names(selectors.iifs)}")
    if any(selectors.fwmark):
        match.append("meta mark and {1:#x} == {0:#x}".format(*selectors.fwmark))
    if sources := [one for one in selectors.sources if ip_network(one).version == family]:
        blocks = [words.ranges_set(name, family, merged(family, prefixes.pack(family, sources)))]
        match.append(f"{words.PROTOCOL[family]} saddr @{name}")
    return " ".join(match), blocks


def lookup(
    settings: RouteSettings, selection: Selection, family: int, verdict: Verdict, rest: str | None
) -> dict[Range, str]:
    """What `classify` has each destination come to, for packets that the selectors match."""
    management = prefixes.pack(family, settings.management)
    mine = [(verdict(policy), steered(policy, family, management)) for policy in selection.policies]
    named = prefixes.union(family, *(packed for word, packed in mine if word != rest))
    entries: list[tuple[bytes, str | None]] = []
    if rest is not None and any(packed for _, packed in mine) and prefixes.count(family, named) <= _FEW:
        for word, packed in mine:
            listed = packed if word != rest else prefixes.minus(family, packed, prefixes.outside(family, packed, named))
            entries += [(entry, word) for entry in prefixes.split(family, listed)]
        # Of equal prefixes the first counts: a policy's own default route comes before what stands for all.
        return flatten(family, [*entries, (prefixes.DEFAULT[family], rest)])
    for word, packed in mine:
        entries += [(entry, word) for entry in prefixes.split(family, packed)]
    for policy in selection.policies:
        excepted = prefixes.of_family(policy.excepted, family)
        entries += [(entry, None) for entry in prefixes.split(family, excepted)]
    return flatten(family, entries)
