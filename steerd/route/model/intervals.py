"""Longest match as disjoint ranges of addresses, for what has no routing tables. Pure."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple, TypeVar

from steerd.route.model.prefixes import WIDTH

T = TypeVar("T")


class Range(NamedTuple):
    """Addresses as numbers, both ends included."""

    first: int
    last: int


def flatten(family: int, entries: Iterable[tuple[bytes, T | None]]) -> dict[Range, T]:
    """What each address comes to by the longest prefix that holds it, as the widest ranges, in order. ``entries`` are
    packed prefixes with what they stand for; None: nothing, a hole in what surrounds it. Of equal prefixes the first
    counts."""
    return dict(sweep(family, sorted(entries, key=lambda one: one[0])))


def sweep(family: int, entries: Iterable[tuple[bytes, T | None]]) -> Iterator[tuple[Range, T]]:
    """As `flatten`, of entries that are sorted by prefix, one after the other: for more than should be held at once."""
    ready: tuple[Range, T] | None = None  # may grow yet
    for here, target in _pieces(8 * (WIDTH[family] - 1), entries):
        if target is None:
            continue
        if ready and ready[0].last + 1 == here.first and ready[1] == target:
            ready = Range(ready[0].first, here.last), target
            continue
        if ready:
            yield ready
        ready = here, target
    if ready:
        yield ready


def _pieces(bits: int, entries: Iterable[tuple[bytes, T | None]]) -> Iterator[tuple[Range, T | None]]:
    """All that some prefix holds, in order."""
    open_ranges: list[tuple[int, T | None]] = []  # (last address, target), the narrowest at the end
    at, before = 0, b""
    for entry, target in chain(entries, [(b"", None)]):
        if entry and entry == before:
            continue
        before = entry
        first = int.from_bytes(entry[:-1]) if entry else 1 << bits
        while open_ranges and open_ranges[-1][0] < first:
            last, stands = open_ranges.pop()
            if at <= last:
                yield Range(at, last), stands
                at = last + 1
        if entry:
            if open_ranges and at < first:
                yield Range(at, first - 1), open_ranges[-1][1]
            at = first
            open_ranges.append((first | ((1 << (bits - entry[-1])) - 1), target))


def every(family: int) -> Range:
    """All addresses of the family."""
    return Range(0, (1 << 8 * (WIDTH[family] - 1)) - 1)
