"""Sets of prefixes as packed bytes: the address, then the length; sorted, without duplicates."""

import socket
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network

from steerd.config.settings import IPV4, IPV6, Prefixes

FAMILIES = (IPV4, IPV6)
WIDTH = {IPV4: 5, IPV6: 17}
"""Bytes per prefix."""
ADDRESS_FAMILY = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
DEFAULT = {IPV4: bytes(5), IPV6: bytes(17)}
"""The packed set that holds the default route alone."""


def of_family(prefixes: Prefixes, family: int) -> bytes:
    return prefixes.v4 if family == IPV4 else prefixes.v6


def split(family: int, packed: bytes) -> list[bytes]:
    width = WIDTH[family]
    return [packed[at : at + width] for at in range(0, len(packed), width)]


def join(entries: Iterable[bytes]) -> bytes:
    """Sorted and without duplicates, whatever the entries' order."""
    return b"".join(sorted(set(entries)))


def count(family: int, packed: bytes) -> int:
    return len(packed) // WIDTH[family]


def text(family: int, entry: bytes) -> str:
    """``10.0.0.0/8``"""
    return f"{socket.inet_ntop(ADDRESS_FAMILY[family], entry[:-1])}/{entry[-1]}"


def pack(family: int, texts: Iterable[str]) -> bytes:
    """Those of the texts that belong to the family. Raises ValueError for what is not a prefix."""
    networks = (ip_network(one, strict=False) for one in texts)
    return join(n.network_address.packed + bytes((n.prefixlen,)) for n in networks if n.version == family)


@lru_cache(maxsize=256)
def union(family: int, *packs: bytes) -> bytes:
    filled = [one for one in packs if one]
    if len(filled) == 1:
        return filled[0]
    return join(entry for one in filled for entry in split(family, one))


@lru_cache(maxsize=256)
def minus(family: int, packed: bytes, taken: bytes) -> bytes:
    """Without the very prefixes that ``taken`` holds too."""
    if not taken or not packed:
        return packed
    return join(set(split(family, packed)).difference(split(family, taken)))


@lru_cache(maxsize=256)
def outside(family: int, packed: bytes, covers: bytes) -> bytes:
    """Without the prefixes that lie within (or are) one of ``covers``."""
    if not covers or not packed:
        return packed
    entries = split(family, packed)
    bits = (WIDTH[family] - 1) * 8
    for cover in split(family, covers):
        length = cover[-1]
        low = int.from_bytes(cover[:-1])
        high = low | ((1 << (bits - length)) - 1)
        # Sorted by address, what lies within the cover is one run, but for shorter prefixes at its start.
        start = bisect_left(entries, cover[:-1])
        end = bisect_left(entries, high.to_bytes(bits // 8) + b"\xff")
        entries[start:end] = [entry for entry in entries[start:end] if entry[-1] < length]
    return b"".join(entries)


def holds(family: int, packed: bytes, entry: bytes) -> bool:
    """Whether the set has this very prefix."""
    width = WIDTH[family]
    places = range(len(packed) // width)
    at = bisect_left(places, entry, key=lambda place: packed[place * width : (place + 1) * width])
    return packed[at * width : (at + 1) * width] == entry
