"""The order of paths that an operator would have written down once, knowing what was measured at the beginning."""

from collections.abc import Mapping
from math import inf

from steerd.core.settings import PathId


class Preference:
    """Paths by their RTT when they were first heard. Those that appear later, or answer later, come behind."""

    def __init__(self) -> None:
        self.order: list[PathId] = []

    def meet(self, rtts: Mapping[PathId, float | None]) -> None:
        """Take up paths that answer for the first time."""
        new = [(rtt, path) for path, rtt in rtts.items() if rtt is not None and path not in self.order]
        self.order += [path for _, path in sorted(new, key=lambda one: one[0])]


def lowest(rtts: Mapping[PathId, float | None], current: PathId | None = None) -> PathId | None:
    """The path with the lowest RTT; on a tie ``current``, else the first. None: nothing answered."""
    best, least = None, inf
    for path, rtt in rtts.items():
        if rtt is not None and (rtt < least or (rtt == least and path == current)):
            best, least = path, rtt
    return best
