"""A tick wheel: things to do, in slots of one fixed grid. Pure: the time is an argument."""

import heapq
import math
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Slots: a time that lies on the grid but for float error, which is less than this for thirty years, is in its own slot.
_ROUNDING = 1e-4


class Wheel(Generic[Item]):
    """Items in slots of ``grain`` seconds. None is removed early: when taken, check whether it still matters."""

    def __init__(self, grain: float) -> None:
        self._grain = grain
        self._slots: dict[int, list[Item]] = {}
        self._order: list[int] = []

    def put(self, item: Item, at: float) -> None:
        """Take ``item`` out in the first slot that does not begin before ``at``."""
        slot = math.ceil(at / self._grain - _ROUNDING)
        bucket = self._slots.get(slot)
        if bucket is None:
            self._slots[slot] = [item]
            heapq.heappush(self._order, slot)
        else:
            bucket.append(item)

    def take(self, now: float) -> list[Item]:
        """Everything in slots up to ``now``, slot by slot, in the order in which it was put in."""
        last = math.floor(now / self._grain + _ROUNDING)
        taken: list[Item] = []
        while self._order and self._order[0] <= last:
            taken += self._slots.pop(heapq.heappop(self._order))
        return taken

    def next_at(self) -> float:
        """When the next occupied slot begins; infinity if there is none."""
        return self._order[0] * self._grain if self._order else math.inf
