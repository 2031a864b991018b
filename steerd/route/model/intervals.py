"""Longest match as disjoint ranges of addresses, for who knows no routing tables. Pure."""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from steerd.route.model.prefixes import WIDTH

T = TypeVar("T")


class Range(NamedTuple):
    """Addresses as numbers, both ends included."""

    first: int
    last: int


def flatten(family: int, entries: Iterable[tuple[bytes, T | None]]) -> dict[Range, T]:
    """What each address comes to by the longest prefix that holds it, as the widest ranges, in order.

    ``entries`` are packed prefixes with what they stand for; None: nothing, a hole in what surrounds it. Of equal
    prefixes the first counts.
    """
    bits = 8 * (WIDTH[family] - 1)
    known: dict[Range, T | None] = {}
    for entry, target in entries:
        first = int.from_bytes(entry[:-1])
        known.setdefault(Range(first, first | ((1 << (bits - entry[-1])) - 1)), target)
    found: dict[Range, T] = {}
    open_ranges: list[tuple[int, T | None]] = []  # (last address, target), the narrowest at the end
    at = 0
    run: tuple[int, int, T] | None = None

    def say(first: int, last: int, target: T | None) -> None:
        nonlocal run
        if first > last or target is None:
            return
        if run and run[1] + 1 == first and run[2] == target:
            run = (run[0], last, target)
            return
        if run:
            found[Range(run[0], run[1])] = run[2]
        run = (first, last, target)

    def close(before: int) -> None:
        nonlocal at
        while open_ranges and open_ranges[-1][0] < before:
            last, target = open_ranges.pop()
            say(at, last, target)
            at = max(at, last + 1)

    for here, target in sorted(known.items(), key=lambda one: (one[0].first, -one[0].last)):
        close(here.first)
        if open_ranges:
            say(at, here.first - 1, open_ranges[-1][1])
        at = here.first
        open_ranges.append((here.last, target))
    close(1 << bits)
    if run:
        found[Range(run[0], run[1])] = run[2]
    return found


def every(family: int) -> Range:
    """All addresses of the family."""
    return Range(0, (1 << 8 * (WIDTH[family] - 1)) - 1)
