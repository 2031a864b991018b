"""Kernel objects that somebody removes again each time we put them back. Pure: time is given.

An object that is removed now and then is put back at once, and reported. One that is removed in answer to each repair
would have us turn in circles: that one is put back at growing intervals, and all others at once as ever.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

AGAIN_AND_AGAIN: Final = 5  # removals of one object within `MEMORY` of each other that are no accident
MEMORY: Final = 600.0
AT_ONCE: Final = 1.0
"""Seconds: what is gone sooner after it was put back was removed in answer to that."""
IN_A_ROW: Final = 10  # after so many such answers repairs are delayed
LONGEST_WAIT: Final = 10.0  # seconds an object may be missing at most once the removals end


@dataclass(slots=True)
class _Dispute:
    times: int = 0
    answers: int = 0
    put: float = float("-inf")
    until: float = 0.0
    said: bool = False


class Disputes:
    """Counts by object; the caller names objects. Times are in seconds of one clock."""

    def __init__(self) -> None:
        self._known: dict[Hashable, _Dispute] = {}
        self.declared: list[tuple[Hashable, int]] = []
        """Objects removed too often since the caller last cleared this, with how often."""

    def missing(self, thing: Hashable, now: float) -> bool:
        """The object is missing. Returns whether it may be put back now, and assumes that it then is."""
        dispute = self._known.setdefault(thing, _Dispute())
        if now < dispute.until:
            return False
        if dispute.until:  # the wait is over
            dispute.until = 0.0
            dispute.put = now
            return True
        age = now - dispute.put
        dispute.times = dispute.times + 1 if age <= MEMORY else 1
        dispute.answers = dispute.answers + 1 if age <= AT_ONCE else 0
        dispute.said = dispute.said and age <= MEMORY
        if dispute.times >= AGAIN_AND_AGAIN and not dispute.said:
            dispute.said = True
            self.declared.append((thing, dispute.times))
        if dispute.answers >= IN_A_ROW:
            dispute.until = now + min(2.0 ** (dispute.answers - IN_A_ROW), LONGEST_WAIT)
            return False
        dispute.put = now
        return True

    def deadline(self) -> float:
        """When the next object that waits may be put back; infinity: none does."""
        return min((one.until for one in self._known.values() if one.until), default=float("inf"))

    def forget(self, now: float) -> None:
        """Drops what nobody removed for `MEMORY`, to bound what is kept."""
        self._known = {thing: one for thing, one in self._known.items() if max(one.put, one.until) + MEMORY > now}
