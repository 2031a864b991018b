"""Several rules in the same world, with the same story: who is where, at which cost, and how often they move."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Final

from steerd.core.settings import PathId, PathSettings, PolicySettings, RegretSettings, Settings
from steerd.sim.fleet import balance
from steerd.sim.fleet.course import Central, Course, Mover, Rest, rests, run
from steerd.sim.fleet.gateway import POLICY, Steered
from steerd.sim.fleet.probing import Probes, noises
from steerd.sim.fleet.ruled import Chooser, Chosen, Ruled
from steerd.sim.fleet.rules import RULES
from steerd.sim.fleet.shard import Fleet, Gateway
from steerd.sim.fleet.story import Script, Story
from steerd.sim.fleet.world import World

STEERD: Final = "steerd"
WORK_FUNCTION: Final = "work-function"
CENTRAL: Final = "central"


@dataclass(frozen=True)
class Conditions:
    """Under which they are compared. ``seconds`` in all; ``settings``: what the engines are told, but for their paths;
    ``interval`` between two probes, in whole seconds; ``noise``: the mean of what probes take longer, in ms; ``loss``:
    the share that is lost; ``rate``: what a gateway sends in the mean, in bytes a second; ``age`` of PoPs' reports in
    seconds."""

    seconds: int
    seed: int
    settings: Settings
    interval: int = 1
    noise: float = 1.0
    loss: float = 0.002
    rate: float = 1e6
    age: int = 10
    jobs: int = 1


class Contest:
    """``choosers``: further rules, of one gateway each, by name."""

    def __init__(
        self, world: World, script: Script, conditions: Conditions, choosers: Mapping[str, Callable[[], Chooser]]
    ) -> None:
        self.world = world
        self._conditions = conditions
        self._choosers = choosers
        self.start = balance.equilibrium(world, world.capacity)
        carried = balance.loads(world, self.start)
        self.story = Story(script, world.capacity, carried.index(max(carried)))
        self._noise = noises(conditions.seed, conditions.noise)

    @property
    def names(self) -> Sequence[str]:
        """Of all rules there are."""
        return [STEERD, WORK_FUNCTION, *RULES, *self._choosers, CENTRAL]

    @cached_property
    def rests(self) -> Sequence[Rest]:
        """Where the load would rest, from time to time."""
        return rests(self.world, self.story, self._conditions.seconds, self.start)

    def course(self, name: str, progress: Callable[[int], None] = lambda _: None) -> Course:
        """Of the rule with this name. KeyError: there is none."""
        conditions = self._conditions
        mover = self._mover(name)
        try:
            return run(
                self.world,
                self.story,
                self.start,
                mover,
                seconds=conditions.seconds,
                age=conditions.age,
                progress=progress,
            )
        finally:
            mover.close()

    def _mover(self, name: str) -> Mover:
        if name == CENTRAL:
            return Central(self.start, self.rests)
        if name in (STEERD, WORK_FUNCTION):
            settings = self._settings(name)
            return self._fleet(lambda number, probes, phase: self._steered(settings, number, probes, phase))
        period, pops = self._conditions.interval, self.world.pops
        if name in RULES:
            rule = RULES[name]
            return self._fleet(
                lambda number, probes, phase: Ruled(
                    rule(self.start[number], probes.draw, pops), probes, period=period, phase=phase
                )
            )
        chooser = self._choosers[name]
        return self._fleet(
            lambda number, probes, phase: Chosen(chooser(), probes, self.start[number], period=period, phase=phase)
        )

    def _fleet(self, make: Callable[[int, Probes, int], Gateway]) -> Fleet:
        conditions, world = self._conditions, self.world

        def gateway(number: int) -> Gateway:
            probes = Probes(number, world.base[number], self._noise, conditions.loss, conditions.seed)
            phase = Random(f"{conditions.seed}/{number}/phase").randrange(conditions.interval)
            return make(number, probes, phase)

        return Fleet(world.gateways, gateway, conditions.jobs)

    def _settings(self, name: str) -> Settings:
        """The work function alone has no gate, and goes where it is best: it is what it is in the books."""
        interval = float(self._conditions.interval)
        paths = tuple(
            PathSettings(
                PathId(f"pop{place + 1}/wg0"),
                f"pop{place + 1}",
                f"pop{place + 1}",
                interval=interval,
                standby_interval=interval,
            )
            for place in range(self.world.pops)
        )
        settings = replace(self._conditions.settings, paths=paths, policies=(PolicySettings(POLICY),), round=interval)
        if name == WORK_FUNCTION:
            return replace(settings, rule=RegretSettings(), gate=0.0, failover_within=0.0)
        return settings

    def _steered(self, settings: Settings, number: int, probes: Probes, phase: int) -> Gateway:
        share = self.world.demand[number] * self.world.gateways / sum(self.world.demand)
        return Steered(settings, probes, at=self.start[number], rate=self._conditions.rate * share, phase=phase)
