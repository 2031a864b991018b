"""The legs of every path that is probed, kept over a new configuration as far as it leaves them alone."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from steerd.config.probe_settings import ProbePath, ProbeSettings
from steerd.core.settings import PathId
from steerd.core.views import Finding
from steerd.probe.carrier import Leg
from steerd.probe.findings import Findings
from steerd.probe.methods.carriers import Carriers
from steerd.probe.names.resolver import Key, Names
from steerd.probe.pace import Pace

_log = logging.getLogger("steerd.probe")


class Roll(NamedTuple):
    """The legs to probe, by path. ``periods`` are in seconds, None for rest, where they differ from the settings."""

    settings: ProbeSettings
    legs: Mapping[PathId, list[Leg]]
    periods: Mapping[Leg, float | None]


class Roster:
    """The legs by path. ``turned`` is called with a leg before it is probed at another address: what was sent to the
    old one says nothing of it. ``names`` keeps the addresses of targets that are names."""

    def __init__(
        self,
        carriers: Carriers,
        pace: Pace,
        findings: Findings,
        turned: Callable[[Leg], None],
        addresses: Mapping[Key, str] | None,
    ) -> None:
        self._carriers = carriers
        self._pace = pace
        self._findings = findings
        self._turned = turned
        self._settings = ProbeSettings((), 0.0)
        self._legs: Mapping[PathId, list[Leg]] = {}
        self._said: dict[Key, str] = {}
        self.names = Names(self._resolved, self._noted, addresses)

    def __iter__(self) -> Iterator[Leg]:
        return (leg for legs in self._legs.values() for leg in legs)

    def of(self, path: PathId) -> list[Leg]:
        """The path's legs; empty: it is not probed."""
        return self._legs.get(path, [])

    def roll(self, settings: ProbeSettings) -> Roll:
        """The legs to probe under these settings: paths that are probed already keep theirs. Raises `ProbeError`."""
        legs: dict[PathId, list[Leg]] = {}
        for path in settings.paths:
            old = self.of(path.path)
            legs[path.path] = old if old and _packets(old[0].settings) == _packets(path) else self._carriers.legs(path)
        return Roll(settings, legs, {})

    def call(self, roll: Roll, now: float) -> Roll:
        """Probe these; legs that are probed already keep their phase, and their cadence unless its setting changed.
        Returns who was probed before, with the cadence that each had."""
        settings, made = roll.settings, roll.legs
        former = Roll(self._settings, self._legs, {leg: self._pace.wanted(leg) for leg in self})
        kept = {leg for legs in made.values() for leg in legs}.intersection(self)
        for leg in self:
            if leg not in kept:
                self._pace.remove(leg)
                leg.drop()
        self._findings.keep({path for path, legs in made.items() if kept.issuperset(legs)})
        self._settings, self._legs = settings, made
        for path in settings.paths:
            for leg in made[path.path]:
                again = leg not in kept or leg.settings.interval != path.interval
                leg.settings = path
                self._pace.keep(leg)
                if again:
                    self._pace.every(leg, roll.periods.get(leg, path.interval), now)
        self._pace.budget({path.device: path.budget for path in settings.paths if path.budget is not None}, now)
        self.names.watch({(leg.target.name, leg.family) for leg in self if leg.target.name})
        for key, address in self.names.known().items():
            self._resolved(*key, address)
        return former

    def said_of_names(self, path: PathId) -> tuple[str, ...]:
        """For each of the path's targets that is a name: its address, and why this one."""
        targets = [leg.target for leg in self.of(path)]
        return tuple(self._said.get((one.name, one.family), one.name) for one in targets if one.name)

    def _resolved(self, name: str, family: int, address: str) -> None:
        for leg in self._named(name, family):
            if leg.address != address:
                self._turned(leg)
                leg.aim(address)
                leg.renew()

    def _noted(self, name: str, family: int, text: str, failing: bool) -> None:
        said = self._said[name, family] = f"{name}: {text}"
        _log.info("%s", said)
        for leg in self._named(name, family):
            if failing:
                self._findings.found(leg.settings.path, Finding.UNRESOLVED, said)
            else:
                self._findings.over(leg.settings.path, Finding.UNRESOLVED)

    def _named(self, name: str, family: int) -> list[Leg]:
        return [leg for leg in self if leg.target.name == name and leg.family == family]


def _packets(path: ProbePath) -> ProbePath:
    """The settings that make the path: with one changed, no probe under way says anything of it."""
    return replace(path, interval=0.0, timeout=0.0, budget=None)
