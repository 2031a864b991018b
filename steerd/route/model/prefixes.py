"""Sets of prefixes as packed bytes: the address, then the length; sorted, without duplicates."""

import socket
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from ipaddress import ip_network
from typing import TypeVar

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import Prefixes

FAMILIES = (IPV4, IPV6)
WIDTH = {IPV4: 5, IPV6: 17}
"""Bytes per prefix."""
ADDRESS_FAMILY = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
DEFAULT = {IPV4: bytes(5), IPV6: bytes(17)}
"""The packed set that holds the default route alone."""
_REMEMBERED = 32 << 20
COVER_COSTS = 200  # steps through a set that one search in it for a cover is worth

_Work = TypeVar("_Work", bound=Callable[..., bytes])


def of_family(prefixes: Prefixes, family: int) -> bytes:
    """The packed set of one family."""
    return prefixes.v4 if family == IPV4 else prefixes.v6


def split(family: int, packed: bytes) -> list[bytes]:
    """The entries of a packed set."""
    width = WIDTH[family]
    return [packed[at : at + width] for at in range(0, len(packed), width)]


def join(entries: Iterable[bytes]) -> bytes:
    """A packed set, whatever the entries' order, and however often each occurs."""
    return b"".join(sorted(set(entries)))


def count(family: int, packed: bytes) -> int:
    """How many prefixes a packed set has."""
    return len(packed) // WIDTH[family]


def text(family: int, entry: bytes) -> str:
    """``10.0.0.0/8``"""
    return f"{socket.inet_ntop(ADDRESS_FAMILY[family], entry[:-1])}/{entry[-1]}"


def pack(family: int, texts: Iterable[str]) -> bytes:
    """The texts that belong to the family. Raises ValueError for what is not a prefix."""
    networks = (ip_network(one, strict=False) for one in texts)
    return join(n.network_address.packed + bytes((n.prefixlen,)) for n in networks if n.version == family)


def _remembered(work: _Work) -> _Work:
    """Keeps the latest results, up to `_REMEMBERED` bytes: each comparison with the kernel asks for the same again, but
    after a reload nobody does, and 200,000 prefixes are two megabytes. Where an operand is empty there is nothing to
    keep."""
    kept: OrderedDict[tuple[int, tuple[bytes, ...]], bytes] = OrderedDict()
    room = _REMEMBERED

    @wraps(work)
    def remembering(family: int, *packs: bytes) -> bytes:
        nonlocal room
        if not all(packs):
            return work(family, *packs)
        if (family, packs) in kept:
            kept.move_to_end((family, packs))
            return kept[family, packs]
        found = kept[family, packs] = work(family, *packs)
        room -= len(found) + sum(map(len, packs))
        while room < 0:
            (_, oldest), result = kept.popitem(last=False)
            room += len(result) + sum(map(len, oldest))
        return found

    return remembering  # type: ignore[return-value]


def union(family: int, *packs: bytes) -> bytes:
    """All prefixes of any of the sets."""
    filled = [one for one in packs if one]
    return filled[0] if len(filled) == 1 else _union(family, *filled)


@_remembered
def _union(family: int, *packs: bytes) -> bytes:
    return join(entry for one in packs for entry in split(family, one))


@_remembered
def minus(family: int, packed: bytes, taken: bytes) -> bytes:
    """Without the very prefixes that ``taken`` holds too."""
    return join(set(split(family, packed)).difference(split(family, taken))) if packed and taken else packed


@_remembered
def outside(family: int, packed: bytes, covers: bytes) -> bytes:
    """Without the prefixes that lie within (or are) one of ``covers``."""
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


@_remembered
def within(family: int, packed: bytes, covers: bytes) -> bytes:
    """Only the prefixes that lie within (or are) one of ``covers``, of which there may be as many."""
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


@_remembered
def overlapping(family: int, packed: bytes, others: bytes) -> bytes:
    """Only the prefixes that have an address in common with one of ``others``."""
    width = WIDTH[family]
    bits = (width - 1) * 8
    entries = split(family, packed)
    if count(family, others) * COVER_COSTS < len(entries):
        return join(one for other in split(family, others) for one in _meeting(family, packed, other))
    if len(entries) * COVER_COSTS < count(family, others):
        found = {entry for entry in entries if cover(family, others, entry)}
    else:
        found = set(split(family, within(family, packed, others)))
    for entry in entries:
        at = _place(others, width, entry) * width  # the first that may lie within it
        last = int.from_bytes(entry[:-1]) | ((1 << (bits - entry[-1])) - 1)
        if at < len(others) and others[at : at + width - 1] <= last.to_bytes(width - 1):
            found.add(entry)
    return join(found)


def _meeting(family: int, packed: bytes, other: bytes) -> Iterator[bytes]:
    """Those that lie within one prefix, are it, or hold it."""
    width = WIDTH[family]
    bits = (width - 1) * 8
    number = int.from_bytes(other[:-1])
    last = (number | ((1 << (bits - other[-1])) - 1)).to_bytes(width - 1) + b"\xff"
    inside = packed[_place(packed, width, other) * width : _place(packed, width, last) * width]
    yield from split(family, inside)
    for length in range(other[-1]):
        holder = (number >> bits - length << bits - length).to_bytes(width - 1) + bytes((length,))
        if holds(family, packed, holder):
            yield holder


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


def cover(family: int, packed: bytes, entry: bytes) -> bytes | None:
    """The longest prefix of the set that holds (or is) this one; None: there is none."""
    bits = 8 * (WIDTH[family] - 1)
    number = int.from_bytes(entry[:-1])
    for length in range(entry[-1], -1, -1):
        found = (number >> bits - length << bits - length).to_bytes(bits // 8) + bytes((length,))
        if holds(family, packed, found):
            return found
    return None


def longest(family: int, packed: bytes, address: bytes) -> int:
    """The length of the longest prefix of the set that holds the address; -1: there is none."""
    found = cover(family, packed, address + bytes((8 * len(address),)))
    return found[-1] if found else -1
