"""Numbers for paths and policies that depend on their names alone: moving a table in the file moves no route."""

from collections.abc import Iterable
from zlib import crc32


def number(names: Iterable[str], capacity: int, occupied: Iterable[int] = ()) -> dict[str, int]:
    """A number from 0 to `capacity - 1`, none of the `occupied`, for each name. Of names that want the same number, the
    first in alphabetical order gets it, and the others the next free ones. ValueError: more names than numbers."""
    wanted = sorted(set(names))
    taken = set(occupied)
    if len(wanted) > capacity - len(taken):
        raise ValueError(f"{len(wanted)} names for {capacity - len(taken)} numbers")
    numbers: dict[str, int] = {}
    for name in wanted:
        slot = crc32(name.encode()) % capacity
        while slot in taken:
            slot = (slot + 1) % capacity
        taken.add(slot)
        numbers[name] = slot
    return numbers
