"""A trace as the daemon would have probed it: of all that was measured, the engine sees what it asks for.

A trace has a row of every path at every step. A daemon probes its standby paths more seldom, and doubtful ones more
often: how much of what a rule does well on a full trace does it owe to samples that it would not have had?
"""

from collections.abc import Iterator
from typing import Final

from steerd.core.effects import Cadence
from steerd.core.engine import Engine
from steerd.core.events import Outcome, Probed, Swept
from steerd.core.settings import PathId, Settings
from steerd.replay.subject import Choosing, Rows, Subject

STEP_MIN: Final = 0.001
"""Seconds: the engine's rounds are at least this long."""

LEAP_MAX: Final = 3600.0
"""Seconds that the engine's clock goes on at most from one time to the next."""

EARLY: Final = 0.25
"""Steps by which a row may come before its probe is due: times are never quite regular."""


class AsProbed(Subject):
    """Feeds the rows whose probes are due. ``step`` is the trace's own, in seconds; ``fed`` counts the rows.

    The engine's rounds end in the middle between two steps, so that a round has the rows of one time.
    """

    def __init__(self, rows: Rows, settings: Settings, ledger: Choosing, step: float) -> None:
        self._step = max(step, STEP_MIN)
        super().__init__(rows.paths, settings, ledger, self._step)
        self._rows = rows
        self.fed = 0
        self._every: dict[PathId, float | None] = {}
        self._due: dict[PathId, float] = {}
        self._last: dict[PathId, float] = {}  # when each was probed

    def feed(self, groups: Iterator[Swept]) -> None:
        paths, met = self.paths, 0
        engine: Engine | None = None
        now, last = 0.0, None
        for swept in groups:
            time = swept.sent_at
            if engine is not None and last is not None:
                now += min(time - last, LEAP_MAX)
                self.obey(engine.feed(None, now), engine, now, last)
            self.ledger.add(swept.paths, swept.rtts, time)
            if len(paths) > met:
                met = len(paths)
                new = engine is None
                engine = self.meet(now - self._step / 2.0 if new else now, time)
                if new:
                    self.obey(engine.feed(None, now), engine, now, time)
            if self._rows.cut_short:
                return
            assert engine is not None  # noqa: S101 (a group has a row, and a row has a path)
            for path, rtt in zip(swept.paths, swept.rtts, strict=True):
                if self.takes(path, now):
                    self._tell(engine, path, rtt, now, time)
            last = time
        if engine is not None and last is not None:
            now += 0.75 * self._step
            self.obey(engine.feed(None, now), engine, now, last)

    def cadence(self, wanted: Cadence) -> None:
        path, every, now = wanted.path, wanted.every, self._now
        before, self._every[path] = self._every.get(path), every
        if every is None:
            return
        if path not in self._last:
            self._due[path] = now  # the first probe at once
        elif before is None:
            self._due[path] = now + self._step / 2.0  # at the next time
        elif every < before:
            self._due[path] = min(self._due[path], now + self._step / 2.0)
        else:
            self._due[path] = self._last[path] + every

    def takes(self, path: PathId, now: float) -> bool:
        """Whether a probe of this path is due; if so, it is sent."""
        every, due = self._every.get(path), self._due.get(path, now)
        if every is None or now < due - EARLY * self._step:
            return False
        self._last[path] = now
        self._due[path] = due + every if due + every > now else now + every
        return True

    def _tell(self, engine: Engine, path: PathId, rtt: float | None, now: float, time: float) -> None:
        self.fed += 1
        if rtt is not None:
            events = [Probed(path, Outcome.REPLY, now, rtt / 1000.0)]
        else:
            events = [Probed(path, Outcome.OVERDUE, now), Probed(path, Outcome.LOST, now)]
        for event in events:
            self.obey(engine.feed(event, now), engine, now, time)
