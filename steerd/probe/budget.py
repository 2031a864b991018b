"""What the probes of one device may take together, and how far that stretches their periods. Pure."""

from typing import Generic, TypeVar

Key = TypeVar("Key")

_NEWS = 0.01  # a change of the stretch by less than this share is ignored


class Budget(Generic[Key]):
    """``rate`` in bytes a second. All periods of the device are stretched by the same factor."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.stretch = 1.0
        self._wanted: dict[Key, float] = {}

    def want(self, key: Key, size: int, period: float | None) -> bool:
        """``key`` wants ``size`` bytes every ``period`` seconds (None: nothing). True: the stretch changed, for all."""
        if period is None:
            self._wanted.pop(key, None)
        else:
            self._wanted[key] = size / period
        stretch = max(1.0, sum(self._wanted.values()) / self.rate)
        if abs(stretch - self.stretch) <= _NEWS * self.stretch and (stretch > 1.0) == (self.stretch > 1.0):
            return False
        self.stretch = stretch
        return True
