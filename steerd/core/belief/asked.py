"""Which legs of a path this machine asks at all: what is not measured is neither healthy nor dead."""

from collections.abc import Sequence
from math import inf
from typing import Final

from steerd.core.belief.estimate import Estimate

BLIND_AFTER: Final = 5.0
"""Seconds without a probe that leaves this machine: then a leg is not measured any more. Addresses come and go."""


class Asked:
    """``counted``: the legs that a path is judged by, which are those that are asked; all, if none is."""

    __slots__ = ("_blind", "_legs", "_since", "counted")

    def __init__(self, legs: Sequence[Estimate]) -> None:
        self._legs = self.counted = legs
        self._since: dict[int, float] = {}
        self._blind: set[int] = set()

    @property
    def unsent(self) -> bool:
        """Whether the last probe of any leg did not leave this machine."""
        return bool(self._since)

    @property
    def none(self) -> bool:
        """Whether no leg is asked."""
        return len(self._blind) == len(self._legs)

    @property
    def since(self) -> float:
        """When the first of the probes that did not leave this machine was due; -inf: none is kept here."""
        return min(self._since.values(), default=-inf)

    def kept(self, leg: int, sent_at: float) -> bool:
        """A probe of this leg did not leave this machine. Returns whether it is not measured any more: one that never
        answered at once, the others after `BLIND_AFTER`."""
        since = self._since.setdefault(leg, sent_at)
        if self._legs[leg].samples and sent_at - since < BLIND_AFTER:
            return False
        self._blind.add(leg)
        self._count()
        return True

    def left(self, leg: int) -> None:
        """A probe of this leg left this machine."""
        if self._since.pop(leg, None) is not None:
            self._blind.discard(leg)
            self._count()

    def _count(self) -> None:
        self.counted = [one for leg, one in enumerate(self._legs) if leg not in self._blind] or self._legs
