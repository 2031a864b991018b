"""WireGuard: what its peers take, and where its own outer packets go."""

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from shlex import quote
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

from steerd.config.probe_settings import TunnelPath
from steerd.config.route_settings import Actuator, RoutePath, RoutePolicy, RouteSettings
from steerd.config.settings import Config
from steerd.machine.finding import Cure, Finding, as_written, do, error, of_path, of_policy, put, run, warning
from steerd.machine.record import Machine, QuickFile
from steerd.net.wireguard.device import AllowedIp, Device, Peer
from steerd.route.model import prefixes
from steerd.route.model.intervals import Range, flatten
from steerd.route.model.objects import Action
from steerd.route.wanted.coverage import NOBODY
from steerd.route.wanted.desired import steered
from steerd.tunnel.peers import peer_of

_WHOLE = 200
"""AllowedIPs of a peer from which on a command does not repeat them."""
_NAMED = 3
_INSTALLED = Path("/etc/wireguard")


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Devices of paths that are WireGuard's, and tunnels whose outer packets a policy would steer."""
    routes = {path.path: path for path in config.route.paths}
    for path in config.tunnel.paths:
        if device := machine.wireguard.get(path.device):
            yield from _peers(config, machine, path, device, routes[path.path])
        if path.endpoint:
            yield from _endpoint(machine, path, device)
    for name in dict.fromkeys(path.device for path in config.route.paths):
        if device := machine.wireguard.get(name):
            yield from _mark(config.route, device)
        if quick := machine.quick.get(name):
            yield from _quick(machine, name, quick)
    for policy in config.route.policies:
        yield from _loops(config.route, machine, policy)


def _peers(config: Config, machine: Machine, path: TunnelPath, device: Device, route: RoutePath) -> Iterator[Finding]:
    peer = peer_of(path, device)
    if path.peer and peer is None:
        yield error(
            "peer-missing",
            of_path(path.path, "peer"),
            f"{device.name} has no peer {path.peer}.",
            "WireGuard sends nothing to a peer that it does not have.",
            do(f"Write one of those that it has: {', '.join(device.peers) or 'it has none'}."),
        )
        return
    if peer is None and not device.peers:
        yield error(
            "peer-missing",
            of_path(path.path, "dev"),
            f"{device.name} has no peer.",
            "What is sent by this device goes to nobody.",
            do(f"Give it one: `wg set {device.name} peer KEY endpoint ADDRESS:PORT allowed-ips 0.0.0.0/0,::/0`."),
        )
        return
    for target in path.targets:
        owner = device.owner(target)
        if owner is None or (peer is not None and owner != peer.key):
            address = inet_ntop(AF_INET if len(target) == 4 else AF_INET6, target)
            whose = "no peer" if owner is None else f"another peer than the path's, {owner}"
            yield error(
                "allowed-ips-target",
                of_path(path.path, "target" if len(target) == 4 else "target6"),
                f"{address} is in the AllowedIPs of {whose} of {device.name}.",
                "WireGuard drops the probes, or sends them to the wrong peer: the path never seems to work.",
                _allow(device, peer, [target + bytes((8 * len(target),))]),
            )
    if config.route.actuator is Actuator.NETLINK:
        yield from _allowed(config, machine, device, peer, route)


def _endpoint(machine: Machine, path: TunnelPath, device: Device | None) -> Iterator[Finding]:
    """Where there is nobody to tell of it: a device that is none of WireGuard's, or several peers and no target."""
    if device is None:
        hidden = any("WireGuard" in one.what for one in machine.unread)
        met = path.device in machine.main.devices and not hidden
        what = f"{path.device} is no WireGuard device." if met else ""
    else:
        met = not path.targets and not path.peer and len(device.peers) > 1
        what = (
            f"{path.device} has {len(device.peers)} peers, and by a target that is a name none of them is the path's."
        )
    if met:
        yield warning(
            "endpoint-unused",
            of_path(path.path, "endpoint"),
            what,
            "The name is never looked up: there is no peer to tell.",
            do("Take the key away." if device is None else "Write the target as an address of the AllowedIPs."),
        )


def _allowed(config: Config, machine: Machine, device: Device, peer: Peer | None, path: RoutePath) -> Iterator[Finding]:
    """What policies send there and no peer takes."""
    everyone = [one for each in device.peers.values() for one in each.allowed]
    for policy in config.route.policies:
        lacking: list[bytes] = []
        for family in sorted(path.families) if policy.allowed is None or path.path in policy.allowed else ():
            width = prefixes.WIDTH[family]
            taken = prefixes.join(one for one in everyone if len(one) == width)
            lacking += _lacking(config.route, machine, policy, family, taken)
        if lacking:
            named = [prefixes.text(4 if len(one) == 5 else 6, one) for one in lacking[:_NAMED]]
            more = ", ..." if len(lacking) > _NAMED else ""
            yield error(
                "allowed-ips",
                of_policy(policy.policy, "prefixes"),
                f"The AllowedIPs of {device.name} do not hold all of {', '.join(named)}{more}.",
                f"WireGuard drops what the policy sends there while {path.path} is its choice.",
                _allow(device, peer, lacking),
            )


def _lacking(settings: RouteSettings, machine: Machine, policy: RoutePolicy, family: int, taken: bytes) -> list[bytes]:
    """The policy's prefixes with addresses that none of the ``taken`` ones hold, and that routing sends by paths."""
    management = prefixes.pack(family, settings.management)
    mine = steered(policy, family, management)
    if not prefixes.outside(family, mine, taken):
        return []
    specific = prefixes.of_family(machine.main.specific, family)
    left = (management, prefixes.of_family(policy.excepted, family), specific, NOBODY[family])
    holes = ((entry, None) for packed in left for entry in prefixes.split(family, packed))
    wanted = flatten(family, [*holes, *((entry, True) for entry in prefixes.split(family, mine))])
    held = list(flatten(family, ((entry, True) for entry in prefixes.split(family, taken))))
    missing = [one for one in wanted if not any(here.first <= one.first and one.last <= here.last for here in held)]
    return [entry for entry in prefixes.split(family, mine) if any(_meets(entry, one) for one in missing)]


def _meets(entry: bytes, here: Range) -> bool:
    first = int.from_bytes(entry[:-1])
    last = first | ((1 << (8 * (len(entry) - 1) - entry[-1])) - 1)
    return first <= here.last and here.first <= last


def _allow(device: Device, peer: Peer | None, more: list[AllowedIp]) -> Cure:
    peer = peer or (next(iter(device.peers.values())) if len(device.peers) == 1 else None)
    every = sorted({*(peer.allowed if peer else ()), *more}, key=lambda one: (len(one), one))
    texts = [prefixes.text(4 if len(one) == 5 else 6, one) for one in every]
    if peer is None or len(texts) > _WHOLE:
        return do(f"Add these to the AllowedIPs of the path's peer of {device.name}.")
    return run(f"wg set {device.name} peer {peer.key} allowed-ips {','.join(texts)}")


def _mark(settings: RouteSettings, device: Device) -> Iterator[Finding]:
    if device.mark & settings.mark_mask:
        better = settings.bypass_mark or device.mark & ~settings.mark_mask
        yield error(
            "mark-is-steerds",
            "route.mark",
            f"The FwMark of {device.name}, {device.mark:#x}, has bits of route.mark {settings.mark_mask:#x}.",
            "steerd's rules take the tunnel's own outer packets for those of a path, and send them into a tunnel.",
            run(f"wg set {device.name} fwmark {better:#x}"),
        )


class _Tunnel(NamedTuple):
    """Where its outer packets go, and their mark (0: none)."""

    device: str
    remote: str
    mark: int


def _loops(settings: RouteSettings, machine: Machine, policy: RoutePolicy) -> Iterator[Finding]:
    """Outer packets begin on the gateway itself: a policy with ``own_traffic`` steers them, unless main knows the way
    by more than a default route, or their mark says that they are to be left alone."""
    value, mask = policy.fwmark
    met = [
        one
        for name in dict.fromkeys(path.device for path in settings.paths)
        for one in _outer(machine, name)
        if policy.own_traffic
        and not policy.sources
        and not (one.mark ^ value) & mask
        and not (settings.bypass_mark and one.mark == settings.bypass_mark)
        and _steers(settings, machine, policy, one.remote)
    ]
    if met:
        marks = sorted({one.mark for one in met})
        yield error(
            "tunnel-into-itself",
            of_policy(policy.policy, "own_traffic"),
            f"The policy steers the outer packets of {', '.join(one.device for one in met)}, to "
            f"{', '.join(one.remote for one in met)}, "
            + (
                f"which carry mark {' or '.join(f'{mark:#x}' for mark in marks)}."
                if any(marks)
                else "which carry no mark."
            ),
            "They go into a tunnel again, at worst into their own, and nothing comes through.",
            _out_of_it(settings, machine, met),
        )


def _outer(machine: Machine, name: str) -> Iterator[_Tunnel]:
    if device := machine.wireguard.get(name):
        remotes = sorted({peer.endpoint for peer in device.peers.values() if peer.endpoint})
        yield from (_Tunnel(name, remote, device.mark) for remote in remotes)
    elif (known := machine.main.devices.get(name)) and known.remote:
        yield _Tunnel(name, known.remote, known.mark)


def _steers(settings: RouteSettings, machine: Machine, policy: RoutePolicy, remote: str) -> bool:
    address = ip_address(remote)
    family = address.version
    mine = steered(policy, family, prefixes.pack(family, settings.management))
    left = prefixes.union(
        family,
        prefixes.pack(family, settings.management),
        prefixes.of_family(policy.excepted, family),
        prefixes.of_family(machine.main.specific, family),
    )
    return prefixes.longest(family, mine, address.packed) > prefixes.longest(family, left, address.packed)


def _out_of_it(settings: RouteSettings, machine: Machine, met: Sequence[_Tunnel]) -> Cure:
    marks = {one.mark for one in met}
    if settings.bypass_mark and all(one.device in machine.wireguard for one in met):
        devices = dict.fromkeys(one.device for one in met)
        return run(*(f"wg set {name} fwmark {settings.bypass_mark:#x}" for name in devices))
    if not settings.bypass_mark and len(marks) == 1 and 0 not in marks and not min(marks) & settings.mark_mask:
        return put(f'route.bypass_mark = "{min(marks):#x}"')
    listed = dict.fromkeys((*settings.management, *(one.remote for one in met)))
    return put(f"route.management = [{', '.join(map(json.dumps, listed))}]")


def table_off(quick: QuickFile) -> str:
    """A command that has wg-quick make no routes for this file's tunnel; empty: it makes none, or nobody knows."""
    if quick.wrong or quick.table not in ("", "auto"):
        return ""
    if quick.table:
        return f"sed -i 's/^ *Table *=.*/Table = off/I' {quote(quick.file)}"
    return f"sed -i '/^ *\\[Interface\\]/a Table = off' {quote(quick.file)}"


def quick_name(name: str, quick: QuickFile) -> str:
    """What `wg-quick` takes for this file: the name of the device, or of a file elsewhere."""
    return quote(name if Path(quick.file).parent == _INSTALLED else quick.file)


def _quick(machine: Machine, name: str, quick: QuickFile) -> Iterator[Finding]:
    again = table_off(quick)
    if not again or name not in machine.main.devices:  # how to bring it up without routes is told with the device
        return
    if not _routed(machine, name):
        yield warning(
            "wg-quick-table",
            f"device {name}",
            f"{quick.file} has no `Table = off`.",
            "The next `wg-quick up` makes routes and rules of its own by this device, beside steerd's.",
            as_written(again),
        )
        return
    yield error(
        "wg-quick-table",
        f"device {name}",
        f"{quick.file} has no `Table = off`, and wg-quick has made a default route of its own by {name}.",
        "What no policy steers, the gateway's own packets among it, goes into this tunnel whatever steerd chooses.",
        as_written(f"wg-quick down {quick_name(name, quick)}", again, f"wg-quick up {quick_name(name, quick)}"),
    )


def _routed(machine: Machine, name: str) -> bool:
    """Whether wg-quick's rule is there: what does not have the tunnel's mark goes by a table of that number."""
    device = machine.wireguard.get(name)
    mark = device.mark if device else 0
    return any(
        rule.invert
        and rule.action == Action.LOOKUP
        and mark != 0
        and rule.mark == rule.target == mark
        and any(name in lead.devices for lead in machine.tables.get((rule.family, rule.target), {}))
        for _, rule in machine.rules
    ) or any(route.device == name for route in machine.main.defaults)
