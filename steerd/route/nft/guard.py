"""The leak guard: what belongs to a guarded policy leaves by the devices of its own paths, or not at all. Pure.

It sees forwarded packets after all routing, and needs no rule, route or nexthop of ours. What main has a longer prefix
for than its default route may leave by any device: LAN and containers stay reachable. But for routes that take all of a
policy's addresses between them, such as two halves: these are a default route in pieces.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import Guard, Prefixes, RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model import prefixes
from steerd.route.model.leads import Lead
from steerd.route.nft import words
from steerd.route.nft.classify import classify, left_alone
from steerd.route.nft.examples import group, logging_rule
from steerd.route.wanted.choice import devices
from steerd.route.wanted.selection import Selection

ExtraDevices = Mapping[PolicyId, frozenset[str]]
"""Devices that carry a policy's traffic now though no path that it may use has them."""


def guard(
    settings: RouteSettings,
    selections: Sequence[Selection],
    extra: ExtraDevices,
    taken: Mapping[tuple[PolicyId, int], AbstractSet[Lead]],
    bridges: Mapping[str, AbstractSet[str]],
    *,
    answers: bool,
    logged: bool,
) -> list[str]:
    """The chains. ``bridges``: the Ethernet addresses of each and of its ports: what is for another passes from port to
    port, and is not ours to judge, though it is seen here where the kernel has nftables look at bridged frames.
    ``taken``: what main's routes take away from policies altogether, by policy and family: these do not count as better
    known. ``answers``: a path answers connections that came in by it, even if no policy may choose it. ``logged``: of
    what is dropped there are examples."""
    chains = []
    for policy in sorted(settings.policies, key=lambda one: one.order):
        if policy.guard is Guard.OFF:
            continue
        ways = allowed(settings, policy, extra)
        leave = [f"oifname {words.names(ways)} accept"] if ways else []
        others = sorted({family for _, family in taken if (policy.policy, family) not in taken})
        leave += [f"{words.PROTOCOL[family]} daddr @doubtful{family} accept" for family in others]
        drop = f'counter drop comment "{policy.policy}: by no other way"'
        leave += [logging_rule(policy.order, group(settings))] if logged else []
        # A rule for each family, in the order of `FAMILIES`, so that they are counted apart.
        chains.append(words.chain(guard_chain(policy), [*leave, f"meta nfproto ipv4 {drop}", drop]))
    relevant = [_without_narrower(settings, one) for one in selections]

    def verdict(policy: RoutePolicy) -> str:
        return "accept" if policy.guard is Guard.OFF else f"goto {guard_chain(policy)}"

    deep, lookups = classify(settings, relevant, "guarded", verdict)
    hook = "type filter hook forward priority filter + 5; policy accept;"
    rules = [hook, *left_alone(settings, "accept"), *bridged(bridges)]
    if answers:
        rules.append(f"ct direction reply ct mark and {settings.mark_mask:#x} != 0 oifname @paths accept")
    return [*chains, *deep, words.chain("guard", [*rules, *lookups])]


def guard_chain(policy: RoutePolicy) -> str:
    """The name of the chain that drops what the policy's packets may not do."""
    return f"guard_{policy.order}"


def bridged(bridges: Mapping[str, AbstractSet[str]]) -> Iterator[str]:
    """Rules, in the forward hook, for frames that a bridge passes from port to port."""
    for bridge in sorted(bridges):
        ours = ", ".join(sorted(bridges[bridge]))
        yield f'iifname "{bridge}" oifname "{bridge}" ether daddr != {{ {ours} }} accept'


def allowed(settings: RouteSettings, policy: RoutePolicy, extra: ExtraDevices) -> frozenset[str]:
    """The devices that the policy's packets may leave by."""
    return devices(settings, policy) | extra.get(policy.policy, frozenset())


def _without_narrower(settings: RouteSettings, selection: Selection) -> Selection:
    """Without unguarded policies that a guarded default would send by the same devices: saves 100,000 ranges."""
    whole = None
    for policy in selection.policies:
        both = all(
            prefixes.holds(family, prefixes.of_family(policy.prefixes, family), prefixes.DEFAULT[family])
            for family in (IPV4, IPV6)
            if any(prefixes.of_family(one.prefixes, family) for one in selection.policies)
        )
        if both and policy.guard is not Guard.OFF:
            whole = devices(settings, policy)
    if whole is None:
        return selection
    kept = tuple(
        policy
        for policy in selection.policies
        if policy.guard is not Guard.OFF or policy.excepted != Prefixes() or not devices(settings, policy) <= whole
    )
    return Selection(selection.selectors, kept, selection.rank, selection.table)
