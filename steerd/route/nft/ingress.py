"""The guard at the other end: what is addressed to a tunnel's own address does not come in by an uplink. Pure.

Linux takes a packet for any of its addresses by any device. Who shares the uplink's network could so speak to what
listens on a tunnel's address, and into the connections that are masqueraded there (CVE-2019-14899). It is judged
before connection tracking sees it. What comes in by other devices (LAN, another path) is left alone.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Interface, IPv6Interface

from steerd.config.route_settings import RouteSettings
from steerd.route.model import prefixes
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft import words

Interface = IPv4Interface | IPv6Interface
Inside = Mapping[str, frozenset[str]]
"""The addresses that a device's packets alone may be for, by device."""


def inside(
    settings: RouteSettings, addresses: Mapping[str, Iterable[Interface]], uplinks: AbstractSet[str]
) -> dict[str, frozenset[str]]:
    """The own addresses of the paths' devices that are no uplinks themselves. An address whose network an uplink is in,
    too, may well be asked for by that one: the kernel answers for it there."""
    outer = [one for device in uplinks for one in addresses.get(device, ())]
    found: dict[str, frozenset[str]] = {}
    for device in {path.device for path in settings.paths} - uplinks:
        found[device] = frozenset(
            str(one.ip)
            for one in addresses.get(device, ())
            if not one.ip.is_link_local and not any(other.ip in one.network for other in outer)
        )
    return {device: own for device, own in found.items() if own}


def ingress(settings: RouteSettings, found: Inside, uplinks: AbstractSet[str]) -> list[str]:
    """The chain and its sets. ``uplinks`` are the devices of main's default routes."""
    outside = uplinks - found.keys()
    if not found or not outside:
        return []
    blocks: list[str] = []
    rules = [
        "type filter hook prerouting priority raw + 5; policy accept;",
        f"iifname != {words.names(outside)} accept",
    ]
    for family in FAMILIES:
        addresses = sorted({one for own in found.values() for one in own if (":" in one) == (family == 6)})
        if not addresses:
            continue
        protocol = words.PROTOCOL[family]
        elements = f"elements = {{ {', '.join(addresses)} }}"
        blocks.append(words.block(f"set inside{family}", [f"type {words.ADDRESS_TYPE[family]}", elements]))
        if prefixes.pack(family, settings.management):
            rules.append(f"{protocol} saddr @management{family} accept")
        rules.append(f'{protocol} daddr @inside{family} counter drop comment "for a path\'s own address"')
    return [*blocks, words.chain("ingress", rules)]
