"""Pieces of what `nft -f` takes."""

import socket
from collections.abc import Iterable, Mapping

from steerd.config.family import IPV4, IPV6
from steerd.route.model import prefixes
from steerd.route.model.intervals import Range

PROTOCOL = {IPV4: "ip", IPV6: "ip6"}
PROTOCOL_FAMILY = {IPV4: "ipv4", IPV6: "ipv6"}
ADDRESS_TYPE = {IPV4: "ipv4_addr", IPV6: "ipv6_addr"}
ALL_BITS = 0xFFFFFFFF


def chain(name: str, rules: Iterable[str]) -> str:
    """A chain."""
    return block(f"chain {name}", rules)


def block(head: str, lines: Iterable[str]) -> str:
    """A chain, set or map of a table."""
    return "\n".join([f"\t{head} {{", *(f"\t\t{line}" for line in lines), "\t}"])


def ranges_set(name: str, family: int, found: Iterable[Range]) -> str:
    """A set of addresses."""
    elements = ", ".join(_range(family, one) for one in found)
    lines = [f"type {ADDRESS_TYPE[family]}", "flags interval"]
    return block(f"set {name}", lines + ([f"elements = {{ {elements} }}"] if elements else []))


def ranges_map(name: str, family: int, found: Mapping[Range, str], rest: str | None = None) -> str:
    """A map from addresses to verdicts; ``rest``: that of all others."""
    listed = [f"{_range(family, one)} : {verdict}" for one, verdict in found.items()]
    elements = ", ".join([*listed, *([] if rest is None else [f"* : {rest}"])])
    return block(
        f"map {name}", [f"type {ADDRESS_TYPE[family]} : verdict", "flags interval", f"elements = {{ {elements} }}"]
    )


def jumps_map(name: str, kind: str, targets: Mapping[str, str]) -> str:
    """A map from keys of one of nft's types to the chains to go on in."""
    elements = ", ".join(f"{key} : goto {targets[key]}" for key in sorted(targets))
    return block(f"map {name}", [f"type {kind} : verdict", *([f"elements = {{ {elements} }}"] if elements else [])])


def counters_map(name: str, counters: Mapping[str, str], other: str) -> str:
    """A map from devices to the counters of packets that leave by them; ``other``: of all that are not named."""
    elements = [*(f'"{device}" : "{counter}"' for device, counter in counters.items()), f'* : "{other}"']
    return block(f"map {name}", ["type ifname : counter", f"elements = {{ {', '.join(elements)} }}"])


def names(devices: Iterable[str]) -> str:
    """A set of devices."""
    return "{ " + ", ".join(f'"{device}"' for device in sorted(devices)) + " }"


def _range(family: int, one: Range) -> str:
    bits = 8 * (prefixes.WIDTH[family] - 1)
    size = one.last - one.first + 1
    first, last = (_address(family, number) for number in one)
    if size & (size - 1) == 0 and one.first % size == 0:
        return f"{first}/{bits - size.bit_length() + 1}"
    return f"{first}-{last}"


def _address(family: int, number: int) -> str:
    return socket.inet_ntop(prefixes.ADDRESS_FAMILY[family], number.to_bytes(prefixes.WIDTH[family] - 1))
