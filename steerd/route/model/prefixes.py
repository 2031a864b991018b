"""Sets of prefixes as packed bytes: the address, then the length; sorted, without duplicates."""

import socket
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import wraps
from ipaddress import ip_network

from steerd.config.settings import IPV4, IPV6, Prefixes

FAMILIES = (IPV4, IPV6)
WIDTH = {IPV4: 5, IPV6: 17}
"""Bytes per prefix."""
ADDRESS_FAMILY = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
DEFAULT = {IPV4: bytes(5), IPV6: bytes(17)}
"""The packed set that holds the default route alone."""
_REMEMBERED = 32 << 20


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


def _remembered(work: Callable[..., bytes]) -> Callable[..., bytes]:
    """The latest results, as many as `_REMEMBERED` bytes hold: each comparison with the kernel asks for the same again,
    but after a reload nobody does, and 200,000 prefixes are two megabytes."""
    kept: OrderedDict[tuple[int, tuple[bytes, ...]], bytes] = OrderedDict()
    room = _REMEMBERED

    @wraps(work)
    def remembering(family: int, *packs: bytes) -> bytes:
        nonlocal room
        if (family, packs) in kept:
            kept.move_to_end((family, packs))
            return kept[family, packs]
        found = kept[family, packs] = work(family, *packs)
        room -= len(found) + sum(map(len, packs))
        while room < 0:
            (_, oldest), result = kept.popitem(last=False)
            room += len(result) + sum(map(len, oldest))
        return found

    return remembering


def union(family: int, *packs: bytes) -> bytes:
    filled = [one for one in packs if one]
    return filled[0] if len(filled) == 1 else _union(family, *filled)


@_remembered
def _union(family: int, *packs: bytes) -> bytes:
    return join(entry for one in packs for entry in split(family, one))


def minus(family: int, packed: bytes, taken: bytes) -> bytes:
    """Without the very prefixes that ``taken`` holds too."""
    return _minus(family, packed, taken) if packed and taken else packed


@_remembered
def _minus(family: int, packed: bytes, taken: bytes) -> bytes:
    return join(set(split(family, packed)).difference(split(family, taken)))


def outside(family: int, packed: bytes, covers: bytes) -> bytes:
    """Without the prefixes that lie within (or are) one of ``covers``."""
    return _outside(family, packed, covers) if packed and covers else packed


@_remembered
def _outside(family: int, packed: bytes, covers: bytes) -> bytes:
    width = WIDTH[family]
    bits = (width - 1) * 8
    left = packed
    for cover in split(family, covers):
        length = cover[-1]
        last = int.from_bytes(cover[:-1]) | ((1 << (bits - length)) - 1)
        # Sorted by address, what lies within the cover is one run, but for shorter prefixes at its start.
        start = _place(left, width, cover[:-1]) * width
        end = _place(left, width, last.to_bytes(width - 1) + b"\xff") * width
        shorter = b"".join(entry for entry in split(family, left[start:end]) if entry[-1] < length)
        left = left[:start] + shorter + left[end:]
    return left


def within(family: int, packed: bytes, covers: bytes) -> bytes:
    """Only the prefixes that lie within (or are) one of ``covers``, of which there may be as many."""
    return _within(family, packed, covers) if packed and covers else b""


@_remembered
def _within(family: int, packed: bytes, covers: bytes) -> bytes:
    width = WIDTH[family]
    bits = (width - 1) * 8
    found: list[bytes] = []
    last = b""  # of the outermost cover so far: no prefix that starts up to there is larger than the cover
    at, end = 0, len(covers)
    for place in range(0, len(packed), width):
        entry = packed[place : place + width]
        while at < end and (cover := covers[at : at + width]) <= entry:
            if cover[:-1] > last:
                last = (int.from_bytes(cover[:-1]) | ((1 << (bits - cover[-1])) - 1)).to_bytes(width - 1)
            at += width
        if entry[:-1] <= last:
            found.append(entry)
    return b"".join(found)


def _place(packed: bytes, width: int, entry: bytes) -> int:
    """How many come before this one."""
    return bisect_left(
        range(len(packed) // width), entry, key=lambda place: packed[place * width : (place + 1) * width]
    )


def holds(family: int, packed: bytes, entry: bytes) -> bool:
    """Whether the set has this very prefix."""
    width = WIDTH[family]
    at = _place(packed, width, entry)
    return packed[at * width : (at + 1) * width] == entry


def longest(family: int, packed: bytes, address: bytes) -> int | None:
    """The length of the longest prefix of the set that holds the address; None: there is none."""
    bits = 8 * (WIDTH[family] - 1)
    number = int.from_bytes(address)
    for length in range(bits, -1, -1):
        first = number >> bits - length << bits - length
        if holds(family, packed, first.to_bytes(bits // 8) + bytes((length,))):
            return length
    return None
