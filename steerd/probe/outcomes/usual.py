"""What the answers of one target usually take, and so when one of them is overdue."""

from typing import Final

WEIGHT: Final = 0.1
"""Of a new answer in the means."""
SDS: Final = 4.0
SLACK: Final = 0.020
"""As a path's patience (`steerd.core.belief.path`), in seconds."""


class Usual:
    """``mean`` and mean ``deviation`` in seconds; no mean before the first answer."""

    __slots__ = ("deviation", "mean")

    def __init__(self) -> None:
        self.mean: float | None = None
        self.deviation = 0.0

    def took(self, seconds: float) -> None:
        """An answer came after so long."""
        if self.mean is None:
            self.mean, self.deviation = seconds, seconds / 2.0
        else:
            self.deviation += WEIGHT * (abs(seconds - self.mean) - self.deviation)
            self.mean += WEIGHT * (seconds - self.mean)

    def patience(self, least: float, timeout: float) -> float:
        """After how many seconds a probe is overdue: ``least``, or more; with nothing known the ``timeout``."""
        if self.mean is None:
            return timeout
        return min(timeout, max(least, self.mean + SDS * self.deviation + SLACK))
