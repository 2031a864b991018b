"""Whether devices send what they are handed: behind the last place where a packet is counted it may still be dropped,
or be led to another device. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from steerd.route.observed.ledger import ENOUGH, RECENT

_LEAST: Final = 0.1
"""Of what it is handed a device sends this part at least: a full queue drops some, probes are sent besides, and where a
driver counts late, or segments that were handed over as one, it is out by no more."""
_SPANS: Final = 2


class Sending:
    """``silent``: the devices that send next to nothing of what they are handed, twice in a row."""

    def __init__(self) -> None:
        self.silent: frozenset[str] = frozenset()
        self._handed: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._before: Mapping[str, int] = {}
        self._failed: Counter[str] = Counter()
        self._judged: dict[str, float] = {}

    def look(self, handed: Mapping[str, int], totals: Mapping[str, int], now: float, *, every: int = 1) -> None:
        """What was ``handed`` to devices since the last look, and what each has sent in all, read after that. ``now``
        in seconds; ``every``: how many packets each that was counted stands for."""
        for device, count in handed.items():
            if device in self._before and totals.get(device, -1) >= self._before[device]:
                self._handed[device] += count
        for device in self._handed:
            self._sent[device] += totals.get(device, 0) - self._before.get(device, 0)
        self._before = dict(totals)
        for device in [one for one, count in self._handed.items() if count >= ENOUGH * every]:
            fails = self._sent.pop(device, 0) < _LEAST * self._handed.pop(device)
            self._failed[device] = self._failed[device] + 1 if fails else 0
            self._judged[device] = now
        for device in [one for one, when in self._judged.items() if one not in totals or when <= now - RECENT]:
            del self._judged[device], self._failed[device]
        self.silent = frozenset(device for device, spans in self._failed.items() if spans >= _SPANS)
