"""Do excursions last? Learned from those that were seen.

A path that suddenly costs much more than another may be left at once, or it may be over with the next probe. Which of
the two is the rule differs: on some networks nearly every spike is alone, on others each is a change that stays. So a
policy's rule counts, for all its paths, which excursions still stood `SHORT` seconds after they began.
"""

from typing import Final

SHORT: Final = 1.0
"""Seconds: what is over by then was a spike."""

PRIOR: Final = (1.0, 2.0)
"""What is believed before anything was seen: one excursion that lasted, two that did not."""

KINDS: Final = 2
"""Losses and delays are counted apart: on a radio link losses come in bursts while delays come alone."""


class Excursions:
    """How many excursions lasted, and how many did not, of each kind (1: losses, 0: delays)."""

    __slots__ = ("_lasted", "_passed")

    def __init__(self) -> None:
        self._lasted = [PRIOR[0]] * KINDS
        self._passed = [PRIOR[1]] * KINDS

    def saw(self, kind: int, *, lasted: bool) -> None:
        """One of this kind is `SHORT` seconds old, and still stands or does not."""
        if lasted:
            self._lasted[kind] += 1.0
        else:
            self._passed[kind] += 1.0

    def ahead(self, kind: int) -> float:
        """How long one that was just seen is expected to last from here on, in units of `SHORT`: the mean of a
        geometric distribution whose probability to go on is the share of those that lasted."""
        return self._lasted[kind] / self._passed[kind]
