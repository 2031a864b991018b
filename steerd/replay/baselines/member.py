"""A member of our own panel alone: what following it would have brought.

The engine with one member, so that all else (health, evidence, prices) is as for the panel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from steerd.core.effects import Effect, Steer
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Swept
from steerd.core.memory import Memory
from steerd.core.rules.panel import members
from steerd.core.settings import PanelSettings, PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.replay.subject import as_traced

NAMES: Final = tuple(one.name for one in members(1.0, 0.0))


class OneMember:
    """``name``: one of `NAMES`. ``settings``: what the panel is replayed with; its first policy counts."""

    def __init__(self, name: str, settings: Settings) -> None:
        price = settings.rule.price if isinstance(settings.rule, PanelSettings) else PanelSettings().price
        policies = settings.policies[:1] or (PolicySettings(PolicyId("trace")),)
        rule = PanelSettings(price, only=name)
        self._settings = replace(settings, paths=as_traced(settings.paths), rule=rule, policies=policies, round=0.0)
        self._discover = not settings.paths
        self._engine: Engine | None = None

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        """See `steerd.replay.baselines.Baseline`."""
        engine = self._told_of(rtts, time)
        known = [path for path in rtts if path in engine.paths]
        self._carry_out(engine, engine.sweep(Swept(time, known, [rtts[path] for path in known]), time), time)
        return engine.policies[self._settings.policies[0].policy].assignment.choice

    def _told_of(self, rtts: Mapping[PathId, float | None], time: float) -> Engine:
        """The engine, which knows of all these paths."""
        engine = self._engine
        new = [path for path in rtts if engine is None or path not in engine.paths] if self._discover else []
        if new:
            paths = tuple(PathSettings(path=path, pop=path, uplink=path) for path in new)
            self._settings = replace(self._settings, paths=self._settings.paths + paths)
        if engine is None:
            engine = self._engine = Engine(self._settings, Memory(), now=time, epoch=1, draw=Random(0).random)  # noqa: S311
        elif new:
            self._carry_out(engine, engine.feed(Configured(self._settings), time), time)
        return engine

    def _carry_out(self, engine: Engine, effects: Sequence[Effect], time: float) -> None:
        for effect in effects:
            if isinstance(effect, Steer):
                engine.feed(Installed(effect.policy, effect.best, effect.runner_up, shares=effect.shares), time)
