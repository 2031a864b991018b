"""The packet size that gets through to a target: echo requests that may not be fragmented, of many sizes at once."""

import time
from collections.abc import Iterable, Sequence
from typing import Final

from steerd.net.icmp import LEAST
from steerd.trace.process.echo import USUAL, EchoMethod
from steerd.trace.result import ELSEWHERE, Mtu, MtuState

_SIZES: Final = 8  # asked at once
_TRIES: Final = 2  # of each
_SURE: Final = 3  # of those that the answer hangs on
_ROUNDS: Final = 10
_GAP: Final = 0.03  # seconds between tries
_PATIENCE: Final = (0.3, 1.0)  # seconds that a round waits: at least, at most


class PathMtu:
    """One search: narrows the sizes between the largest that came through and the smallest that did not."""

    def __init__(self, echo: EchoMethod, family: int, device: int) -> None:
        self._echo = echo
        self._device = device
        self._low = 0
        self._high = device + 1
        self._small = min(USUAL[family], device)
        self._least = min(LEAST[family], device)
        self._hint = 0
        self._reported: str | None = None
        self._refused: set[int] = set()
        self._sizes: dict[int, tuple[int, float]] = {}
        self._number = 0
        self._patience = _PATIENCE[1]

    def run(self) -> Mtu:
        """Search, for some seconds."""
        self._round([self._small, self._least, self._device], _SURE)
        if not self._low:
            return Mtu(MtuState.UNKNOWN, None, self._device)
        for _ in range(_ROUNDS):
            if self._high - self._low > 1:
                self._round(self._between(), _TRIES)
            elif self._low == self._device or self._high in self._refused:
                break
            elif not self._beyond():  # nobody refused it: loss, or a black hole
                return Mtu(MtuState.BLACK_HOLE, self._low, self._device)
        return Mtu(MtuState.FOUND, self._low, self._device, self._reported if self._low < self._device else None)

    def _between(self) -> Sequence[int]:
        """Try first the size that a router named, and one byte more."""
        if self._low < self._hint < self._high:
            hint, self._hint = self._hint, 0
            return [size for size in (hint, hint + 1) if size < self._high]
        parts = min(_SIZES + 1, self._high - self._low)
        return [self._low + (self._high - self._low) * part // parts for part in range(1, parts)]

    def _beyond(self) -> bool:
        """Whether one of the sizes that vanished comes through after all."""
        low = self._low
        suspect = self._high
        self._high = self._device + 1
        self._round([suspect, self._device], _SURE)
        if self._low > low:
            return True
        self._high = suspect
        return suspect in self._refused

    def _round(self, sizes: Iterable[int], tries: int) -> None:
        asked = sorted(set(sizes))
        waiting: set[int] = set(asked)
        for attempt in range(tries):
            for size in asked:
                if size not in waiting:
                    continue
                self._number += 1
                try:
                    self._sizes[self._number] = size, self._echo.send(self._number, size=size)
                except OSError:  # larger than the device takes, whatever it says of itself
                    self._refused.add(size)
                    waiting.discard(size)
            self._listen(_GAP if attempt < tries - 1 else self._patience, waiting)
        failed = [size for size in asked if size > self._low and size in waiting | self._refused]
        self._high = min([self._high, *failed])

    def _listen(self, seconds: float, waiting: set[int]) -> None:
        until = time.monotonic() + seconds
        while waiting and (left := until - time.monotonic()) > 0:
            for answer in self._echo.heard(left):
                size, sent = self._sizes.get(answer.number or 0, (0, 0.0))
                if not size or answer.error == ELSEWHERE:
                    continue
                waiting.discard(size)
                if answer.error is None and answer.target:
                    self._low = max(self._low, size)
                    self._patience = min(max(_PATIENCE[0], 3 * (answer.at - sent) + 0.1), _PATIENCE[1])
                else:
                    self._refused.add(size)
                if answer.mtu and self._small <= answer.mtu < size:
                    self._hint, self._reported = answer.mtu, answer.source
