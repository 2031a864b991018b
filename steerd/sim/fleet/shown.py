"""What came of a contest, as people and as programs read it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from steerd.sim.fleet.figures import Figures
from steerd.sim.fleet.story import Story
from steerd.text.lines import aligned

HEAD = ["rule", "over equilibrium", "over optimum", "amplitude", "peak", "settled", "p99", "switches/h"]


def window(story: Story, one: Figures) -> str:
    """Which it is, in words."""
    return (
        f"{one.since} to {one.until} s: {story.words(one.since)}. "
        f"At rest users would wait {one.equilibrium:.1f} ms in the mean."
    )


def row(name: str, one: Figures) -> list[str]:
    """Of the table below `HEAD`."""
    settled = "never" if one.settled is None else f"{one.settled} s"
    return [
        name,
        f"{100.0 * one.excess:+.1f} %",
        f"{100.0 * one.optimum:+.1f} %",
        f"{one.amplitude:.2f}",
        f"{one.peak:.2f}",
        settled,
        f"{one.p99:.0f} ms",
        f"{one.switches:.1f}",
    ]


def table(story: Story, results: Mapping[str, Sequence[Figures]]) -> list[str]:
    """A table for each window, with a row for each rule."""
    lines = []
    for place, first in enumerate(next(iter(results.values()))):
        rows = [HEAD, *(row(name, figures[place]) for name, figures in results.items())]
        lines += [window(story, first), *aligned(rows, right=True), ""]
    return lines[:-1]


def as_json(story: Story, results: Mapping[str, Sequence[Figures]]) -> list[dict[str, Any]]:
    """An object for each window: when it is, what happens, and by rule what came of it; shares as ratios, times in
    seconds, delays in ms."""
    return [
        {
            "since_s": first.since,
            "until_s": first.until,
            "event": story.words(first.since),
            "equilibrium_ms": first.equilibrium,
            "rules": {name: _plain(figures[place]) for name, figures in results.items()},
        }
        for place, first in enumerate(next(iter(results.values())))
    ]


def _plain(one: Figures) -> dict[str, Any]:
    names = {
        "excess": "over_equilibrium",
        "optimum": "over_optimum",
        "settled": "settled_s",
        "p99": "p99_ms",
        "switches": "switches_per_hour",
        "moved": "switches_per_hour_of_whole_window",
    }
    left_out = ("since", "until", "equilibrium")
    return {names.get(key, key): value for key, value in asdict(one).items() if key not in left_out}
