"""`steerd simulate-fleet`: the daemon's own engine, many times, against PoPs whose delay grows with their load."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from steerd.cli.terminal import say
from steerd.config.gateway.translate import SPREAD_WITHIN
from steerd.core.settings import Settings
from steerd.replay.baselines import Baseline
from steerd.replay.baselines.netbird import NetBird
from steerd.replay.baselines.tailscale import Tailscale
from steerd.sim.fleet import picture, shown, story
from steerd.sim.fleet.contest import Conditions, Contest
from steerd.sim.fleet.course import Course
from steerd.sim.fleet.figures import Figures, figures
from steerd.sim.fleet.world import world

CHOOSERS: Final[Mapping[str, Callable[[], Baseline]]] = {"tailscale": Tailscale, "netbird": NetBird}

EVERY: Final = 20
"""Seconds of virtual time between two words of how far it is."""


def simulate_fleet(options: argparse.Namespace) -> int:
    """Run it. Returns the exit code: 0; 1 the picture cannot be written; 2 usage. ConfigError: the script is wrong."""
    if options.plot is not None and options.plot.suffix != ".svg":
        say(f"steerd simulate-fleet: --plot draws SVG: {options.plot} must end in .svg", error=True)
        return 2
    script = story.USUAL if options.script is None else story.read(options.script, options.pops)
    made = world(options.gateways, options.pops, options.utilisation, options.seed)
    contest = Contest(made, script, _conditions(options), CHOOSERS)
    names = list(contest.names) if options.rules == "all" else options.rules.split(",")
    if unknown := [name for name in names if name not in contest.names]:
        say(f"steerd simulate-fleet: --rules: {unknown[0]!r} is none of {', '.join(contest.names)}", error=True)
        return 2
    if not options.json:
        say("\n".join(_head(options)) + "\n", flush=True)
    courses: dict[str, Course] = {}
    results: dict[str, list[Figures]] = {}
    begins = contest.story.begins(options.length)
    for name in names:
        courses[name] = contest.course(name, _Progress(name, options.length))
        results[name] = figures(
            courses[name], contest.rests, begins, made.demand, swings=contest.story.script.swing is not None
        )
    if options.json:
        say(json.dumps(shown.as_json(contest.story, results), indent=2))
    else:
        say("\n".join(shown.table(contest.story, results)))
    return _plot(options, courses, contest) if options.plot is not None else 0


def _conditions(options: argparse.Namespace) -> Conditions:
    within = options.spread_within
    if within is None:
        within = SPREAD_WITHIN if options.gate else 0.0
    return Conditions(
        seconds=options.length,
        seed=options.seed,
        interval=options.interval,
        noise=options.noise,
        loss=options.loss,
        rate=options.traffic,
        age=options.report_age,
        jobs=min(options.gateways, options.jobs or os.cpu_count() or 1),
        settings=Settings(gate=options.gate, failover_within=within, max_active=options.max_active),
    )


def _head(options: argparse.Namespace) -> list[str]:
    fleet = f"{options.gateways} gateways, {options.pops} PoPs, utilisation {options.utilisation:.0%}"
    return [
        f"{fleet}, seed {options.seed}, {options.length} s, probes every {options.interval} s.",
        f"steerd: gate {options.gate:g}, at most {options.max_active} candidates.",
    ]


def _plot(options: argparse.Namespace, courses: Mapping[str, Course], contest: Contest) -> int:
    try:
        options.plot.write_text(picture.svg(courses, contest.rests), encoding="utf-8")
    except OSError as error:
        say(f"steerd simulate-fleet: {options.plot}: {error.strerror}", error=True)
        return 1
    return 0


class _Progress:
    """On a terminal, how far it is."""

    def __init__(self, name: str, length: int) -> None:
        self._name, self._length = name, length
        self._shown = sys.stderr.isatty()
        self._began = time.monotonic()

    def __call__(self, second: int) -> None:
        if self._shown and second % EVERY == 0:
            spent = time.monotonic() - self._began
            print(f"\r\x1b[K{self._name}: {second} of {self._length} s, {spent:.0f} s", end="", file=sys.stderr)
        if self._shown and second == self._length - 1:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
