"""What of this machine can be a PoP's path: its tunnels; where there is none, its uplinks. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.values import addresses, names
from steerd.machine.answers import first_of
from steerd.machine.record import Interface, Machine, QuickFile
from steerd.net.wireguard.device import AllowedIp
from steerd.route.around.surroundings import based
from steerd.route.model import prefixes
from steerd.route.model.objects import Device
from steerd.route.wanted.selection import LOOPBACK

PUBLIC: Final = {IPV4: ("9.9.9.9", "1.1.1.1"), IPV6: ("2620:fe::fe", "2606:4700:4700::1111")}
"""Resolvers that answer echo requests from anywhere: what an uplink is probed by as long as nobody names better."""

_CANDIDATES: Final = 4
"""Of each family: no more of a tunnel's addresses are tried."""
_LAN: Final = 8
"""Addresses of a network with hosts, at least; fewer are those of two routers."""
_TUNNEL: Final = re.compile(r"(?:wg|tun|vpn)[-_.](?=.*[^\W\d])", re.IGNORECASE)
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_CONTAINERS: Final = re.compile(r"(?:docker|br-[0-9a-f]{12}$|virbr|veth|lxc|lxd|incus|cni|podman|cali|flannel)")
"""What Docker, libvirt and the like call the devices of their own networks."""


@dataclass(frozen=True, slots=True)
class Way:
    """``families`` that it carries; ``targets`` that may answer behind it, the likeliest first. ``automatic``: it is an
    uplink with the next hop of main's default route. ``uplink``: what a tunnel's outer packets leave by, and ``mark``
    what they carry; empty and 0: not known, and none. ``endpoint``: its far end, where that is a name. ``up``: its
    device is there and up."""

    pop: str
    device: str
    families: tuple[int, ...]
    targets: tuple[str, ...] = ()
    automatic: bool = False
    uplink: str = ""
    mark: int = 0
    endpoint: str = ""
    up: bool = True


class Ways(NamedTuple):
    """``left``: what was left out, and why, one line each. ``inputs``: devices with LANs behind them. ``defaults``: the
    families that the main table has a default route of."""

    found: tuple[Way, ...]
    left: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    defaults: frozenset[int] = frozenset()


def ways(machine: Machine, only: Mapping[str, QuickFile] | None = None) -> Ways:
    """All there are, or the tunnels of ``only`` these files."""
    quick = machine.quick if only is None else only
    every = sorted({*quick} if only is not None else {*quick, *machine.wireguard})
    left: list[str] = []
    tunnels = [way for name in every if (way := _tunnel(machine, name, quick.get(name), left))]
    found = tunnels if tunnels or only is not None or hidden(machine) else _uplinks(machine, {*every})
    left += hidden(machine) if found else ()
    defaults = frozenset(one.family for one in machine.main.defaults)
    return Ways(_named(found), tuple(left), tuple(_inputs(machine, found)), defaults)


def hidden(machine: Machine) -> list[str]:
    """What could not be read of tunnels, in words: there may be more than are seen."""
    return [f"{one.what} ({one.why})" for one in machine.unread if "WireGuard" in one.what or "wg-quick" in one.what]


def _tunnel(machine: Machine, name: str, quick: QuickFile | None, left: list[str]) -> Way | None:
    """None: it is no way for all traffic, which is ``left`` in words."""
    device = machine.wireguard.get(name)
    if device is None and quick is not None and quick.wrong:
        left.append(f"{quick.file} {quick.wrong}")
        return None
    told = quick if quick is not None and not quick.wrong else None
    allowed = [one.allowed for one in device.peers.values()] if device else list(told.allowed if told else ())
    own = tuple(machine.addresses.get(name, ())) or (told.addresses if told else ())
    families = tuple(family for family in prefixes.FAMILIES if _carries(family, own, allowed))
    if reason := _unfit(name, allowed, families):
        left.append(f"{name}: {reason}")
        return None
    return Way(
        pop="",
        device=name,
        families=families,
        targets=tuple(_targets(machine, own, allowed[0], told.dns if told else (), families)),
        uplink=_uplink(machine, name),
        # Without `Table = off` wg-quick gives the device a mark for its own rules, which goes with them.
        mark=told.mark if told else device.mark if device else 0,
        endpoint=told.endpoint if told else "",
        up=machine.main.up(name) is not None,
    )


def _unfit(name: str, allowed: list[frozenset[AllowedIp]], families: tuple[int, ...]) -> str:
    """Why a tunnel cannot be a PoP's path; empty: it can."""
    if wrong := _misnamed(name):
        return wrong
    if len(allowed) != 1:
        many = f"it has {len(allowed)} peers; where each is a PoP, docs/wireguard.md says how"
        return many if allowed else "it has no peer"
    if not any(_default(family, allowed[0]) for family in prefixes.FAMILIES):
        return "AllowedIPs of its peer hold no default route (0.0.0.0/0, ::/0)"
    return "" if families else "it has no address of the family that AllowedIPs have a default route of"


def _misnamed(name: str) -> str:
    """Why the configuration cannot name this device; empty: it can."""
    try:
        names.device(name)
    except ValueError as error:
        return str(error)
    return ""


def _carries(family: int, own: Iterable[Interface], allowed: list[frozenset[AllowedIp]]) -> bool:
    """AllowedIPs alone are no sign: many a tunnel takes ``::/0`` to drop it."""
    return any(one.version == family and not one.ip.is_link_local for one in own) and any(
        _default(family, some) for some in allowed
    )


def _default(family: int, allowed: frozenset[AllowedIp]) -> bool:
    """Whether these hold every address, be it as two halves."""
    halves = {bytes((first, *bytes(prefixes.WIDTH[family] - 2), 1)) for first in (0, 128)}
    return prefixes.DEFAULT[family] in allowed or halves <= allowed


def _targets(
    machine: Machine,
    own: tuple[Interface, ...],
    allowed: frozenset[AllowedIp],
    dns: tuple[str, ...],
    families: tuple[int, ...],
) -> Iterator[str]:
    hosts = sorted((one for one in allowed if one[-1] == 8 * (len(one) - 1)), key=lambda one: (len(one), one))
    ours = machine.own | {str(one.ip) for one in own}
    listed = [*(str(ip_address(one[:-1])) for one in hosts), *map(first_of, own), *dns]
    for family in families:
        of_family = [one for one in dict.fromkeys(listed) if one and ip_address(one).version == family]
        yield from [one for one in of_family if one not in ours and _is_target(one)][:_CANDIDATES]


def _is_target(address: str) -> bool:
    try:
        return bool(addresses.any_target(address))
    except ValueError:
        return False


def _uplink(machine: Machine, name: str) -> str:
    """The device at the bottom of what a tunnel leaves by; of one that is not there the only one that there is."""
    devices = based(machine.main.devices, machine.underlays)
    numbered = {one.index: one for one in devices.values()}
    device = devices.get(name)
    if device is None:
        return next(iter(machine.uplinks)) if len(machine.uplinks) == 1 else ""
    for _ in devices:
        device = numbered.get(device.lower, device)
    return device.name if device.name != name else ""


def _uplinks(machine: Machine, tunnels: set[str]) -> list[Way]:
    """Two at least, or there is nothing to choose between."""
    families: dict[str, set[int]] = {}
    for one in machine.main.defaults:
        if one.device not in tunnels and machine.main.up(one.device) is not None and not _misnamed(one.device):
            families.setdefault(one.device, set()).add(one.family)
    found = [
        Way("", name, tuple(sorted(some)), tuple(one for family in sorted(some) for one in PUBLIC[family]), True)
        for name, some in families.items()
    ]
    return found if len(found) > 1 else []


def _named(found: Iterable[Way]) -> tuple[Way, ...]:
    """With a name for each PoP: what follows ``wg-``, as far as that may be one."""
    named: dict[str, Way] = {}
    for way in found:
        plain = _NO_NAME.sub("-", _TUNNEL.sub("", way.device)).strip("._-") or "pop"
        numbered = (plain if number == 1 else f"{plain}-{number}" for number in range(1, 2 + len(named)))
        name = next(one for one in numbered if one not in named)
        named[name] = replace(way, pop=name)
    return tuple(named.values())


def _inputs(machine: Machine, found: Iterable[Way]) -> Iterator[str]:
    """Devices of LANs, where it is plain which these are: Ethernet, with a network of some hosts, and none of what
    leads out or to containers."""
    out = {LOOPBACK, *machine.uplinks, *(way.device for way in found), *(way.uplink for way in found)}
    out |= {one.device for one in machine.underlays.values()}
    for name, device in sorted(machine.main.devices.items()):
        if name not in out and _is_lan(device) and any(map(_has_hosts, machine.addresses.get(name, ()))):
            yield name


def _is_lan(device: Device) -> bool:
    named = not _misnamed(device.name) and not _CONTAINERS.match(device.name)
    return device.up and bool(device.hardware) and not device.master and named


def _has_hosts(own: Interface) -> bool:
    return not own.ip.is_link_local and own.network.num_addresses >= _LAN
