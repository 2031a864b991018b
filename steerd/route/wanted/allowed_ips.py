"""A policy's prefixes among the AllowedIPs of a WireGuard device's peers: who should have them, and who has. Pure.

Only the very prefixes of the policies are ours; what else peers are allowed, the targets of probes above all, is not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from steerd.config.route_settings import RoutePath, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.net.wireguard.device import AllowedIp, Device, grants, holders
from steerd.route.model import prefixes
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted.choice import Choice
from steerd.route.wanted.desired import steered

Prefixes = Mapping[PolicyId, tuple[AllowedIp, ...]]
Held = Mapping[tuple[PolicyId, str], str]
"""By policy and device: the peer that has most of the policy's prefixes."""


class Moves(NamedTuple):
    """What has to move on a device: each prefix with the peer that is to have it."""

    device: str
    moves: tuple[tuple[AllowedIp, str], ...]


def ours(settings: RouteSettings) -> dict[PolicyId, tuple[AllowedIp, ...]]:
    """What each policy steers, of both families."""
    management = {family: prefixes.pack(family, settings.management) for family in FAMILIES}
    return {
        policy.policy: tuple(
            entry
            for family in FAMILIES
            for entry in prefixes.split(family, steered(policy, family, management[family]))
        )
        for policy in settings.policies
    }


def wanted(
    own: Prefixes, choices: Mapping[PolicyId, Choice], paths: Mapping[PathId, RoutePath]
) -> dict[str, dict[AllowedIp, str]]:
    """By device, which peer is to have each prefix: that of the policy's first path on the device, the best, or one
    that stands by with another device. A blocked policy leaves its prefixes where they are."""
    found: dict[str, dict[AllowedIp, str]] = {}
    for policy, choice in choices.items():
        done: set[str] = set()
        for path in (paths[name] for name in choice.paths if name in paths):
            if path.peer and path.device not in done:
                done.add(path.device)
                found.setdefault(path.device, {}).update(dict.fromkeys(own.get(policy, ()), path.peer))
    return found


def missing(device: Device, want: Mapping[AllowedIp, str]) -> Moves:
    """What of that another peer has, or none. A peer that does not exist gets nothing."""
    have = holders(device)
    moves = ((one, peer) for one, peer in want.items() if have.get(one) != peer and peer in device.peers)
    return Moves(device.name, tuple(moves))


def held(own: Prefixes, devices: Mapping[str, Device]) -> dict[tuple[PolicyId, str], str]:
    """See `Held`."""
    found: dict[tuple[PolicyId, str], str] = {}
    for device in devices.values():
        have = holders(device)
        for policy, mine in own.items():
            counted = Counter(have[one] for one in mine if one in have)
            if counted:
                found[policy, device.name] = max(sorted(counted), key=counted.__getitem__)
    return found


def removable(own: Prefixes, paths: Iterable[RoutePath], devices: Mapping[str, Device]) -> dict[str, list[AllowedIp]]:
    """By device, the policies' prefixes that peers of these paths have."""
    every = {one for mine in own.values() for one in mine}
    peers = {(path.device, path.peer) for path in paths if path.peer}
    found = {
        name: sorted(one for one, peer in holders(device).items() if one in every and (name, peer) in peers)
        for name, device in devices.items()
    }
    return {name: mine for name, mine in found.items() if mine}


def lines(found: Iterable[Moves], devices: Mapping[str, Device]) -> Iterator[str]:
    """As commands. `wg` takes a peer's whole list; a prefix in two lists goes to the later one."""
    for device, moves in found:
        for grant in grants(moves):
            known = devices[device].peers[grant.peer].allowed
            listed = ",".join(_text(one) for one in sorted(known.union(grant.allowed)))
            yield f"wg set {device} peer {grant.peer} allowed-ips {listed}"


def _text(packed: AllowedIp) -> str:
    family = next(family for family in FAMILIES if prefixes.WIDTH[family] == len(packed))
    return prefixes.text(family, packed)
