"""A packet that stands for a policy's traffic: where it goes, where it is from, where it comes in. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model import prefixes
from steerd.route.model.objects import Device
from steerd.route.wanted.desired import steered
from steerd.route.wanted.selection import LOOPBACK, Selection, Selectors

_PREFIXES = 8  # how many of a policy's prefixes, spread over all of them, are searched for a sample
_LEAST, _LEAST_LAN = 2, 4  # addresses of a network between two routers, and of one with hosts
_CLASS_D = 224  # from this first byte on no IPv4 address is a host's


class Sample(NamedTuple):
    """Addresses are packed; ``source`` is empty where any will do, ``iif`` where the packet starts on the gateway."""

    policy: PolicyId
    family: int
    destination: bytes
    source: bytes
    iif: str
    mark: int = 0

    def __str__(self) -> str:
        parts = [str(ip_address(self.destination))]
        parts += [f"from {ip_address(self.source)}"] if self.source else []
        parts += [f"iif {self.iif}"] if self.iif else []
        parts += [f"mark {self.mark:#x}"] if self.mark else []
        return " ".join(parts)


class Way(NamedTuple):
    """The device a packet goes by, and the table that decides; ``main_length``: of the deciding prefix, if main's;
    ``via``: the next hop, if there is one."""

    device: str
    table: int
    main_length: int | None = None
    via: str = ""


def samples(
    settings: RouteSettings,
    selections: Sequence[Selection],
    families: Iterable[int],
    devices: Mapping[str, Device],
    addresses: Mapping[str, Sequence[IPv4Interface | IPv6Interface]],
) -> dict[tuple[PolicyId, int], list[Sample]]:
    """By policy and family, packets that no other policy has a longer match for. ``addresses`` are ours, by device."""
    found: dict[tuple[PolicyId, int], list[Sample]] = {}
    forwarded = sorted((one for one in selections if not one.selectors.own), key=lambda one: one.rank)
    for family in families:
        for place, selection in enumerate(forwarded):
            origin = _origin(settings, selection, family, devices, addresses)
            if origin is None:
                continue
            source, iif = origin
            mark = selection.selectors.fwmark[0]
            before = [one for one in forwarded[:place] if selects(one.selectors, source, iif, mark)]
            for policy in selection.policies:
                destinations = _destinations(settings, selection, before, policy, family)
                if destinations:
                    found[policy.policy, family] = [
                        Sample(policy.policy, family, destination, source, iif, mark) for destination in destinations
                    ]
    return found


def inputs(
    settings: RouteSettings,
    selection: Selection,
    family: int,
    devices: Mapping[str, Device],
    addresses: Mapping[str, Sequence[IPv4Interface | IPv6Interface]],
    uplinks: AbstractSet[str],
) -> list[str]:
    """The devices by which what the selection is about comes in: those that it names, else those that are up with a
    network of the family on them, be it that of a source it names; ``uplinks`` only where there are no others, and
    where IPv4 has not even these the paths' own: a gateway with one device for all."""
    if selection.selectors.iifs:
        return [name for name in selection.selectors.iifs if name in devices and devices[name].up]
    sources = [one for one in map(ip_network, selection.selectors.sources) if one.version == family]
    if selection.selectors.sources and not sources:
        return []
    of_paths = {path.device for path in settings.paths}
    networks = {
        name: [own.network for own in addresses.get(name, ()) if _is_shared(own, family, _LEAST)]
        for name in sorted(devices.keys() - {LOOPBACK})
        if devices[name].up
    }
    found = [name for name, some in networks.items() if some and name not in of_paths]
    if not found and family == IPV4:
        return [name for name, some in networks.items() if some]
    near = [name for name in found if any(_overlap(one, net) for one in sources for net in networks[name])]
    return near or [name for name in found if name not in uplinks] or found


def _is_shared(own: IPv4Interface | IPv6Interface, family: int, least: int) -> bool:
    """Whether others are on the address's network, which has so many addresses at least."""
    return own.version == family and not own.ip.is_link_local and own.network.num_addresses >= least


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.network_address in other or other.network_address in one


def selects(selectors: Selectors, source: bytes, iif: str, mark: int) -> bool:
    """Whether a packet that comes in so is one that the selectors are about."""
    wanted, mask = selectors.fwmark
    networks = [ip_network(one) for one in selectors.sources]
    return (
        mark & mask == wanted
        and (not selectors.iifs or iif in selectors.iifs)
        and (not networks or any(ip_address(source) in one for one in networks))
    )


def _origin(
    settings: RouteSettings,
    selection: Selection,
    family: int,
    devices: Mapping[str, Device],
    addresses: Mapping[str, Sequence[IPv4Interface | IPv6Interface]],
) -> tuple[bytes, str] | None:
    """(source, input interface) of a packet that the selection is about: a neighbour of the gateway on its LAN."""
    of_paths = {path.device for path in settings.paths}
    sources = [one for one in map(ip_network, selection.selectors.sources) if one.version == family]
    if selection.selectors.sources and not sources:
        return None
    for name in selection.selectors.iifs or sorted(devices.keys() - of_paths - {LOOPBACK}):
        if name not in devices or not devices[name].up:
            continue
        for own in addresses.get(name, ()):
            if not _is_shared(own, family, _LEAST_LAN):
                continue
            first, second = own.network[1], own.network[2]
            neighbour = second if own.ip == first else first
            inside = [one for one in sources if neighbour in one]
            if sources and not inside:
                return sources[0][1 if sources[0].num_addresses > 2 else 0].packed, name
            return neighbour.packed, name
    return None


def _destinations(
    settings: RouteSettings, selection: Selection, before: Sequence[Selection], policy: RoutePolicy, family: int
) -> list[bytes]:
    """Addresses that are the policy's, and that none of the selections ``before`` it takes."""
    management = prefixes.pack(family, settings.management)
    taken = [steered(one, family, management) for earlier in before for one in earlier.policies]
    mine = steered(policy, family, management)
    rest = [steered(one, family, management) for one in selection.policies if one is not policy]
    exceptions = [prefixes.of_family(one.excepted, family) for one in selection.policies]
    others = [one for one in (*rest, *exceptions, management) if one]
    found = []
    for entry in _spread(family, mine):
        for address in _within(family, entry):
            length = max(prefixes.longest(family, mine, address), 0)
            if any(prefixes.longest(family, one, address) >= 0 for one in taken):
                continue
            if all(prefixes.longest(family, one, address) < length for one in others):
                found.append(address)
                break
    return found


def _spread(family: int, packed: bytes) -> list[bytes]:
    width, every = prefixes.WIDTH[family], prefixes.count(family, packed)
    places = sorted({every * part // _PREFIXES for part in range(_PREFIXES)}) if every else []
    return [packed[place * width : (place + 1) * width] for place in places]


def _within(family: int, entry: bytes) -> Iterator[bytes]:
    """Some of the prefix's addresses that a host may have."""
    bits = 8 * (prefixes.WIDTH[family] - 1)
    room = bits - entry[-1]
    first = int.from_bytes(entry[:-1])
    offsets = [0] if room < 2 else [1, (1 << room - 1) | 1, (1 << room - 2) | 1, (1 << room) - 2]
    for offset in offsets:
        address = ip_address((first + offset).to_bytes(bits // 8))
        special = address.is_multicast or address.is_loopback or address.is_unspecified or address.is_link_local
        if not special and (family == IPV6 or 1 <= address.packed[0] < _CLASS_D):
            yield address.packed
