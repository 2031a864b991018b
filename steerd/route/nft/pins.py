"""Connections that stay on their path: marks in conntrack. Pure.

The first packet that leaves by a path marks its connection; later ones take the mark over, which leads them to that
path's own table whatever the policy's choice is by then. A connection that came in by a path has another mark, which
leads its answers to the same table, so that the two can be released separately.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from steerd.config.settings import IPV4, IPV6, Flows, RoutePath, RoutePolicy, RouteSettings
from steerd.route.model.objects import ONLINK
from steerd.route.nft import words
from steerd.route.nft.classify import classify, left_alone
from steerd.route.wanted.selection import Selection


def pins(settings: RouteSettings, selections: Sequence[Selection], uplinks: AbstractSet[str]) -> list[str]:
    """The chains and maps. ``uplinks`` are the devices of main's default routes."""
    mask = settings.mark_mask
    others = ~mask & words.ALL_BITS
    alone = {path.device: path for path in settings.paths if _alone(settings, path)}
    chains = []
    for mark in (mark for path in settings.paths for mark in (path.mark, path.inbound_mark) if mark):
        chains.append(words.chain(f"lead_{mark:x}", [f"meta mark set meta mark and {others:#x} or {mark:#x}"]))
        chains.append(words.chain(f"mark_{mark:x}", [f"ct mark set ct mark and {others:#x} or {mark:#x}"]))
    came = {f'"{device}"': f"mark_{path.inbound_mark:x}" for device, path in alone.items() if path.inbound_mark}
    chains += [words.jumps_map("came", "ifname", came), words.chain("came", ["iifname vmap @came"])]
    left = {f'"{device}"': f"mark_{path.mark:x}" for device, path in alone.items()}
    rules = ["oifname vmap @left"]
    for path in settings.paths:
        for family, via in ((IPV4, path.via), (IPV6, path.via6)):
            if path.device not in alone and via:
                nexthop = f"rt {words.PROTOCOL[family]} nexthop {via.removesuffix(ONLINK)}"
                rules.append(f'oifname "{path.device}" {nexthop} goto mark_{path.mark:x}')
    chains += [words.jumps_map("left", "ifname", left), words.chain("left", rules)]

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
    chains.append(words.chain("arriving", [*arriving, pinned, answers, *by_main]))
    new = f"ct direction original {unmarked} oifname @paths"

    def verdict(policy: RoutePolicy) -> str:
        return "accept" if policy.flows is Flows.MOVE else "goto left"

    # Where main does not use the paths' devices, all that leaves by them belongs to a policy: what main itself routes
    # behind them was accepted before that.
    rest = "goto left" if uplinks.isdisjoint(path.device for path in settings.paths) else None
    for own, base, hook in (
        (False, "leaving", "type filter hook forward priority mangle + 5; policy accept;"),
        (True, "own_leaving", "type filter hook output priority mangle + 6; policy accept;"),
    ):
        deep, lookups = classify(settings, selections, f"{base}_as", verdict, own=own, rest=rest)
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


def _alone(settings: RouteSettings, path: RoutePath) -> bool:
    """Whether the device tells the path: no other path has it."""
    return all(one is path or one.device != path.device for one in settings.paths)
