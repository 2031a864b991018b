"""The ``url-test`` groups of sing-box and of mihomo (Clash): which of several proxies to use.

Sources: sing-box, protocol/group/urltest.go, and https://sing-box.sagernet.org/configuration/outbound/urltest for the
defaults; mihomo, adapter/outboundgroup/urltest.go (`fast`) and parser.go, and
https://wiki.metacubex.one/en/config/proxy-groups/url-test, whose example has the tolerance (without it, it is 0).

Not shown: a test is an HTTP request there, which takes several round trips; here it is the newest probe at the time of
the test. Connections that fail (mihomo tests at once after five) and groups that are not used are left out.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import inf
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.baselines.preference import lowest

TOLERANCE: Final = 50.0  # ms by which another one must be faster (tolerance)


class _Group(ABC):
    """Tests all members at once, and then leaves the choice alone until the next test."""

    INTERVAL: float
    """Seconds from test to test."""

    def __init__(self) -> None:
        self._tested_at = -inf
        self._path: PathId | None = None
        self._newest: dict[PathId, float | None] = {}

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        self._newest.update(rtts)
        if round(time - self._tested_at, 6) >= self.INTERVAL or self._path is None:
            self._tested_at = time
            self._path = self._choose(self._newest) or self._path
        return self._path

    @abstractmethod
    def _choose(self, delays: Mapping[PathId, float | None]) -> PathId | None:
        """Which member is used from now on, by the newest delay of each in ms."""


class SingBox(_Group):
    """Goes through the members in their order: each that is faster by the tolerance than the best so far, at first the
    one in use, takes its place. Tests at ``interval``, 3m."""

    INTERVAL = 180.0

    def _choose(self, delays: Mapping[PathId, float | None]) -> PathId | None:
        best = self._path if self._path is not None and delays[self._path] is not None else None
        least = delays[best] if best is not None else None
        for path, delay in delays.items():
            if delay is not None and (least is None or least > delay + TOLERANCE):
                best, least = path, delay
        return best


class Mihomo(_Group):
    """The fastest member, as soon as it is faster than the one in use by the tolerance. Tests at ``interval``, 300."""

    INTERVAL = 300.0

    def _choose(self, delays: Mapping[PathId, float | None]) -> PathId | None:
        best = lowest(delays, self._path)
        here = delays[self._path] if self._path is not None else None
        there = delays[best] if best is not None else None
        if here is not None and (there is None or here <= there + TOLERANCE):
            return self._path
        return best
