"""A member of our own panel alone: what following it would have brought.

The engine with one member, so that all else (health, evidence, prices) is as for the panel.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from steerd.core.events import Swept
from steerd.core.rules.panel import members
from steerd.core.settings import PanelSettings, PathId, Settings
from steerd.replay.subject import Chosen, Subject

NAMES: Final = tuple(one.name for one in members(1.0, 0.0))


class OneMember(Subject):
    """``name``: one of `NAMES`. ``settings``: what the panel is replayed with; its first policy counts."""

    def __init__(self, name: str, settings: Settings) -> None:
        price = settings.rule.price if isinstance(settings.rule, PanelSettings) else PanelSettings().price
        self._chosen = Chosen()
        super().__init__({}, replace(settings, rule=PanelSettings(price, only=name)), self._chosen, 0.0)

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        engine = self.engine
        if engine is None or not rtts.keys() <= self.paths.keys():
            self.paths.update((path, path) for path in rtts)
            engine = self.meet(time, time)
        known = [path for path in rtts if path in engine.paths]
        self.obey(engine.sweep(Swept(time, known, [rtts[path] for path in known]), time), engine, time, time)
        return self._chosen.choices[-1][1]
