"""What happens to the PoPs: a script of cuts, deaths and returns, and how their capacity swings over the day.

```toml
[[event]]
at = "10m"
pop = "busiest"        # in the equilibrium of the beginning; or its number, from 1
capacity = 0.5         # of what it had: 0 is its death, 1 its return

[swing]
period = "24h"
depth = 0.3            # by so much less at the worst time of the day; each PoP at a time of its own
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sin
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from steerd.config.file.problem import ConfigError, Report
from steerd.config.file.table import Table
from steerd.config.file.toml import Layout, document, toml
from steerd.config.values import quantities

EVERY: Final = 60
"""Seconds: so often a swing changes the capacities."""

Busiest = Literal["busiest"]


class Event(Table):
    """``at`` in seconds, ``capacity`` as a share."""

    at: Annotated[float, quantities.duration(0, 7 * 86_400)]
    pop: Busiest | Annotated[int, quantities.integer(1, 10_000)]
    capacity: Annotated[float, quantities.number(0, 10)]


class Swing(Table):
    period: Annotated[float, quantities.duration(60, 7 * 86_400)]
    depth: Annotated[float, quantities.number(0, 0.9)]


class Script(Table):
    """The whole file."""

    event: Annotated[list[Event | None], Field(default=[], max_length=1000)]
    swing: Swing | None = None


LAYOUT: Final = Layout(Script, {"event": Event, "swing": Swing}, {"event": "[[event]]"})

USUAL: Final = Script.model_validate(
    {
        "event": [
            {"at": "10m", "pop": "busiest", "capacity": 0.5},
            {"at": "20m", "pop": "busiest", "capacity": 1},
            {"at": "30m", "pop": "busiest", "capacity": 0},
        ]
    }
)
"""Without a script: the busiest PoP loses half of its capacity, has it again, and dies."""


def read(file: Path, pops: int) -> Script:
    """The script in a file, for so many PoPs. ConfigError: every mistake in it."""
    report = Report(file, tables=toml(file))
    script = document(dict(report.tables), LAYOUT, report)
    last = 0.0
    for place, event in enumerate(script.event):
        if event is None:
            continue
        if isinstance(event.pop, int) and event.pop > pops:
            report.error(f"event[{place}].pop", event.pop, f'must be "busiest" or a PoP from 1 to {pops}')
        if event.at < last:
            report.error(f"event[{place}].at", f"{event.at:g}s", f"must not be before the event above it, at {last:g}s")
        last = max(last, event.at)
    if report.problems:
        raise ConfigError(report.problems)
    return script


@dataclass(frozen=True)
class Story:
    """A script for PoPs of these capacities, of which one was the ``busiest``."""

    script: Script
    capacity: Sequence[float]
    busiest: int

    def begins(self, seconds: int) -> list[int]:
        """When each window begins: at the start and at each event, in whole seconds."""
        times = {round(event.at) for event in self.script.event if event is not None}
        return sorted({0, *(at for at in times if at < seconds)})

    def words(self, at: int) -> str:
        """What happens then."""
        said = [
            f"PoP {self._place(event) + 1} {_WORDS.get(event.capacity, f'has {event.capacity:.0%}')}"
            for event in self.script.event
            if event is not None and round(event.at) == at
        ]
        return ", ".join(said) or "start"

    def at(self, second: int) -> list[float]:
        """What each PoP can carry then."""
        left = list(self.capacity)
        for event in self.script.event:
            if event is not None and event.at <= second:
                place = self._place(event)
                left[place] = self.capacity[place] * event.capacity
        swing = self.script.swing
        if swing is not None:
            day = second // EVERY * EVERY / swing.period
            for place in range(len(left)):
                left[place] *= 1.0 - swing.depth * (1.0 + sin(2.0 * pi * (day + place / len(left)))) / 2.0
        return left

    def changes(self, second: int) -> bool:
        """Whether capacities are other than a second before."""
        swings = self.script.swing is not None and second % EVERY == 0
        return swings or second in self.begins(second + 1)

    def _place(self, event: Event) -> int:
        return self.busiest if event.pop == "busiest" else int(event.pop) - 1


_WORDS: Final = {0.0: "dies", 0.5: "loses half", 1.0: "is whole again"}
