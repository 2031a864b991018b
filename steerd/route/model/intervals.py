"""Longest match as disjoint ranges of addresses, for what has no routing tables. Pure."""

from collections.abc import Iterable
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
    bits = 8 * (WIDTH[family] - 1)
    known: dict[Range, T | None] = {}
    for entry, target in entries:
        first = int.from_bytes(entry[:-1])
        known.setdefault(Range(first, first | ((1 << (bits - entry[-1])) - 1)), target)
    found: list[tuple[Range, T]] = []
    open_ranges: list[tuple[int, T | None]] = []  # (last address, target), the narrowest at the end
    at = 0

    def add(last: int, target: T | None) -> None:
        """What begins ``at``, joined to the range before if that stands for the same."""
        if at > last or target is None:
            return
        first = at
        if found and found[-1][0].last + 1 == at and found[-1][1] == target:
            first = found.pop()[0].first
        found.append((Range(first, last), target))

    def close(before: int) -> None:
        nonlocal at
        while open_ranges and open_ranges[-1][0] < before:
            last, target = open_ranges.pop()
            add(last, target)
            at = max(at, last + 1)

    for here, target in sorted(known.items(), key=lambda one: (one[0].first, -one[0].last)):
        close(here.first)
        if open_ranges:
            add(here.first - 1, open_ranges[-1][1])
        at = here.first
        open_ranges.append((here.last, target))
    close(1 << bits)
    return dict(found)


def every(family: int) -> Range:
    """All addresses of the family."""
    return Range(0, (1 << 8 * (WIDTH[family] - 1)) - 1)
