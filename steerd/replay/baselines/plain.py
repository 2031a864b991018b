"""The plain rules: what doing nothing brings, what doing everything brings, and what most people would write."""

from collections.abc import Mapping
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.account.price import LOST
from steerd.replay.baselines.preference import lowest

WEIGHT: Final = 0.1  # of the newest sample in the mean
MARGIN: Final = 3.0  # a rival's mean must be lower by this much, in ms


class StayAtStart:
    """The path that was best when the first one answered, for ever."""

    def __init__(self) -> None:
        self._path: PathId | None = None

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:  # noqa: ARG002
        if self._path is None:
            self._path = lowest(rtts)
        return self._path


class InstantBest:
    """Whatever answered fastest just now. It stays on a tie, and while nothing answers."""

    def __init__(self) -> None:
        self._path: PathId | None = None

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:  # noqa: ARG002
        self._path = lowest(rtts, self._path) or self._path
        return self._path


class SmoothedMargin:
    """An exponentially weighted mean per path, and a fixed margin: the folklore rule, of no product in particular. A
    mean begins with the first answer; a lost probe counts as what it costs in J: a sample of the mean + `LOST` ms."""

    def __init__(self) -> None:
        self._path: PathId | None = None
        self._means: dict[PathId, float | None] = {}

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:  # noqa: ARG002
        means = self._means
        for path, rtt in rtts.items():
            mean = means.get(path)
            if mean is None:
                means[path] = rtt
            else:
                means[path] = mean + WEIGHT * (LOST if rtt is None else rtt - mean)
        best = lowest(means, self._path)
        here = means[self._path] if self._path is not None else None
        there = means[best] if best is not None else None
        if here is None or (there is not None and there < here - MARGIN):
            self._path = best
        return self._path
