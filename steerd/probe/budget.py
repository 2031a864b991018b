"""What the probes of one device may take together, and how far that stretches their periods. Pure."""

from typing import Generic, TypeVar

Key = TypeVar("Key")

NEWS = 0.01
"""A stretch that changed by less than this share is left as it is."""


class Budget(Generic[Key]):
    """``rate`` in bytes a second. Every period of the device is stretched by the same factor, so that a path that is
    probed faster than others still is."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.stretch = 1.0
        self._wanted: dict[Key, float] = {}

    def want(self, key: Key, size: int, period: float | None) -> bool:
        """``key`` is to be probed with ``size`` bytes every ``period`` seconds (None: not at all). True if the stretch
        changed, so that it is to be applied to all."""
        if period is None:
            self._wanted.pop(key, None)
        else:
            self._wanted[key] = size / period
        stretch = max(1.0, sum(self._wanted.values()) / self.rate)
        if abs(stretch - self.stretch) <= NEWS * self.stretch and (stretch > 1.0) == (self.stretch > 1.0):
            return False
        self.stretch = stretch
        return True
