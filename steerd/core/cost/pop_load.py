"""What PoPs say of their own load: a hint, that counts for less the older it is, and then for nothing."""

from collections.abc import Mapping
from typing import Final

FRESH: Final = 30.0
"""So old in seconds may a reading be and still count in full."""

GONE: Final = 90.0
"""So old, it counts for nothing. In between it fades evenly."""

FREE: Final = 0.5
"""Up to this load a PoP delays nobody."""


class Loads:
    """The latest reading of each PoP that gave one."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._read)

    def told(self, pop: str, load: float | None, at: float) -> None:
        """``load``, 0 to 1, was read at ``at``; None: the PoP does not say any more."""
        if load is None:
            self._read.pop(pop, None)
        else:
            self._read[pop] = load, at

    def shares(self, now: float) -> Mapping[str, float]:
        """By PoP, the share of the penalty of full load that counts at ``now``. A PoP whose reading is gone is in it
        with 0 once, and then no more."""
        shares = {pop: _worth(load, now - at) for pop, (load, at) in self._read.items()}
        self._read = {pop: read for pop, read in self._read.items() if now - read[1] < GONE}
        return shares


def _worth(load: float, age: float) -> float:
    excess = max(0.0, min(1.0, load) - FREE) / (1.0 - FREE)
    return excess * max(0.0, min(1.0, (GONE - age) / (GONE - FRESH)))
