"""Gateways that go by another rule than steerd's."""

from collections.abc import Mapping
from math import inf
from typing import Protocol

from steerd.core.settings import PathId
from steerd.sim.fleet.probing import Moment, Probes
from steerd.sim.fleet.rules import Rule


class Ruled:
    """A gateway with a rule of `steerd.sim.fleet.rules`. It probes every ``period`` seconds, first at ``phase``."""

    def __init__(self, rule: Rule, probes: Probes, *, period: int, phase: int) -> None:
        self.at = rule.at
        self._rule, self._probes = rule, probes
        self._places = range(rule.pops)
        self._period, self._phase = period, phase

    def probe(self, moment: Moment) -> None:
        if moment.second % self._period == self._phase:
            self.at = self._rule.observe(self._probes.rtts(self._places, moment.queue), moment)

    def end(self, now: int) -> None:
        """It has decided."""


class Chooser(Protocol):
    """A rule of one gateway over samples, as replay has them beside steerd."""

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None: ...


class Chosen:
    """A gateway with such a rule: it begins where that does, and not at ``at``."""

    def __init__(self, chooser: Chooser, probes: Probes, at: int, *, period: int, phase: int) -> None:
        self.at = at
        self._chooser, self._probes = chooser, probes
        self._paths = [PathId(str(place)) for place in range(len(probes.base))]
        self._period, self._phase = period, phase

    def probe(self, moment: Moment) -> None:
        if moment.second % self._period == self._phase:
            rtts = self._probes.rtts(range(len(self._paths)), moment.queue)
            seen = {path: None if rtt == inf else rtt for path, rtt in zip(self._paths, rtts, strict=True)}
            found = self._chooser.observe(float(moment.second), seen)
            self.at = self.at if found is None else int(found)

    def end(self, now: int) -> None:
        """It has decided."""
