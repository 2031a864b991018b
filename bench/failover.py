"""What patience costs: fail-overs for bursts that heal by themselves, against the time that a dead path is kept.

``python -m bench.failover [-c FILE] [--interval 0.2] [--deaths 20] [--mix N] [--json] [--plot FILE.svg] TRACE...``

Each trace is replayed with several values of ``down_after`` and otherwise the shipped defaults, or the ``[score]`` and
``[steer]`` of FILE. ``--interval`` says how many seconds lie between two samples, where a trace's own times do not.

A *burst* is a run of lost probes of the path in use. A switch belongs to it from its first lost probe up to the first
answer: health made it (*down*), or the switch rule did, for what the losses cost (*better*; some of these only happen
to fall together). A *death*: the path in use answers nothing more from a seeded moment on, at which all paths answer,
while at least one rival goes on answering every probe.

``--mix N`` pairs the paths of the traces anew, N times at random, each path from any of them: more hours of the same.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

from bench.failover_plot import plot
from steerd.config.file.problem import EX_CONFIG, ConfigError
from steerd.config.gateway.load import load
from steerd.core.effects import Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Installed, Swept
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import Reason
from steerd.replay.trace.reading import Trace, TraceError

VALUES: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
HEALS: Final = 2.0
"""Seconds: a burst that is over by then healed by itself."""

WATCHED: Final = 10.0
"""Seconds after a death for which it is looked whether the path is left; at least one rival answers all that time."""

SETTLED: Final = 30.0
"""Seconds at the start of a trace in which nobody dies: beliefs are young."""

SLACK: Final = 1e-6
LEFT_AFTER: Final = f"{'median':>8} {'worst':>8} {'by health':>10} {'never':>7}"
POLICY: Final = PolicyId("trace")


@dataclass(frozen=True, slots=True)
class Move:
    """A switch away from ``old``, at a sample's place in the trace. ``patience``, in seconds: the old path's."""

    place: int
    old: PathId
    reason: Reason
    patience: float


@dataclass(frozen=True, slots=True)
class Rows:
    """A trace in memory; every sample has a row of every path."""

    paths: tuple[PathId, ...]
    times: tuple[float, ...]
    rtts: tuple[tuple[float | None, ...], ...]

    @property
    def hours(self) -> float:
        return (self.times[-1] - self.times[0]) / 3600.0


def rows(file: Path, interval: float | None) -> Rows:
    """Reads a trace; a path without a row in a sample answers nothing there. ``interval``: seconds between samples,
    by default the trace's own.

    Raises:
        TraceError: see `Trace.groups`; also for a trace without rows.
    """
    trace = Trace(file, {})
    times: list[float] = []
    samples: list[Mapping[PathId, float | None]] = []
    for n, swept in enumerate(trace.groups()):
        times.append(swept.sent_at if interval is None else n * interval)
        samples.append(dict(zip(swept.paths, swept.rtts, strict=True)))
    if not samples:
        raise TraceError(f"{file}: has no rows")
    paths = tuple(trace.paths.values())
    return Rows(paths, tuple(times), tuple(tuple(one.get(path) for path in paths) for one in samples))


def mixed(traces: Sequence[Rows], count: int) -> list[Rows]:
    """As many traces as asked for, each path's column from any of those given, as long as the shortest of its own."""
    random = Random("mix")
    found = []
    for _ in range(count):
        picked = [random.choice(traces) for _ in traces[0].paths]
        shortest = min(picked, key=lambda one: len(one.times))
        columns = [[row[n] for row in one.rtts] for n, one in enumerate(picked)]
        found.append(Rows(traces[0].paths, shortest.times, tuple(zip(*columns, strict=False))))
    return found


def moves(trace: Rows, settings: Settings, down_after: float, death: int | None = None) -> Iterator[Move]:
    """The switches of one replay. From sample ``death`` on the path that is then in use is dead."""
    paths = tuple(PathSettings(path, path, path, down_after=down_after) for path in trace.paths)
    settings = replace(settings, paths=paths, policies=(PolicySettings(POLICY),), round=0.0)
    engine = Engine(settings, Memory(), now=trace.times[0], epoch=1, draw=Random(0).random)
    used: PathId | None = None
    dead: int | None = None
    for place, time in enumerate(trace.times):
        rtts: Sequence[float | None] = trace.rtts[place]
        if place == death and used is not None:
            dead = trace.paths.index(used)
        if dead is not None:
            rtts = [*rtts[:dead], None, *rtts[dead + 1 :]]
        for effect in engine.sweep(Swept(time, trace.paths, rtts), time):
            if isinstance(effect, Steer):
                engine.feed(Installed(effect.policy, effect.best, effect.runner_up), time)
            elif isinstance(effect, Switched):
                used = effect.new
                if effect.old is not None:
                    yield Move(place, effect.old, effect.reason, engine.paths[effect.old].patience)


def burst(trace: Rows, move: Move) -> float | None:
    """How long the burst lasted that the move fell into, in seconds, from its first lost probe to the first answer;
    None: it fell into none."""
    column = trace.paths.index(move.old)
    lost = [trace.rtts[place][column] is None for place in (move.place - 1, move.place)]
    if not any(lost):
        return None
    first = move.place if lost[1] else move.place - 1
    while first > 0 and trace.rtts[first - 1][column] is None:
        first -= 1
    for place in range(move.place, len(trace.times)):
        if trace.rtts[place][column] is not None:
            return trace.times[place] - trace.times[first]
    return trace.times[-1] - trace.times[first]


def deaths(trace: Rows, count: int, seed: str) -> list[int]:
    """Seeded places at which all paths answer, and after which at least two of them go on doing so."""
    fit = []
    alive = [0] * len(trace.paths)  # until which place each path answers every probe
    for place in range(len(trace.times) - 1, -1, -1):
        alive = [(end or place) if rtt is not None else 0 for end, rtt in zip(alive, trace.rtts[place], strict=True)]
        until = trace.times[place] + WATCHED
        living = sum(1 for end in alive if trace.times[end] >= until)
        if place and living >= 2 and all(alive) and None not in trace.rtts[place - 1]:
            fit.append(place)
    fit = [place for place in fit if trace.times[place] >= trace.times[0] + SETTLED]
    return sorted(Random(seed).sample(fit, min(count, len(fit))))


def left(trace: Rows, settings: Settings, down_after: float, death: int) -> tuple[float, Move] | None:
    """How long after its death the path in use was left; None: not while it was watched."""
    for move in moves(trace, settings, down_after, death):
        if move.place >= death:
            after = trace.times[move.place] - trace.times[death]
            return (after, move) if after <= WATCHED else None
    return None


def measure(traces: Sequence[Rows], settings: Settings, down_after: float, count: int) -> dict[str, Any]:
    """What one value of ``down_after`` brings over all traces: switches an hour, seconds."""
    hours = sum(trace.hours for trace in traces)
    made = [(move, burst(trace, move)) for trace in traces for move in moves(trace, settings, down_after)]
    healed = [move for move, length in made if length is not None and length <= HEALS + SLACK]
    found = [
        left(trace, settings, down_after, death)
        for n, trace in enumerate(traces)
        for death in deaths(trace, count, f"death {n}")
    ]
    known = [one for one in found if one is not None]
    times = [after for after, _ in known]

    def hourly(some: Sequence[Move], reason: Reason) -> float:
        return sum(1 for move in some if move.reason is reason) / hours if hours else 0.0

    return {
        "down_after_s": down_after,
        "down_per_hour": hourly([move for move, _ in made], Reason.DOWN),
        "better_per_hour": hourly([move for move, _ in made], Reason.BETTER),
        "healed_down_per_hour": hourly(healed, Reason.DOWN),
        "healed_better_per_hour": hourly(healed, Reason.BETTER),
        "deaths": len(found),
        "left_by_health": sum(1 for _, move in known if move.reason is Reason.DOWN),
        "not_left": len(found) - len(known),
        "left_median_s": median(times) if times else None,
        "left_worst_s": max(times, default=None),
        "patience_median_s": median(move.patience for _, move in known) if known else None,
    }


def table(results: Sequence[Mapping[str, Any]], hours: float) -> str:
    first = results[0]
    lines = [
        f"{hours:.1f} h; {first['deaths']} deaths; bursts that heal within {HEALS:g} s",
        f"{'':10}  {'switches/h':^14}  {'for healed bursts/h':^22}  {'a dead path is left after':^36}",
        f"{'down_after':>10}  {'down':>6} {'better':>7}  {'down':>6} {'better':>7} {'both':>7}  " + LEFT_AFTER,
    ]
    for one in results:
        healed = one["healed_down_per_hour"], one["healed_better_per_hour"]
        lines.append(
            f"{one['down_after_s']:>8g} s  {one['down_per_hour']:6.1f} {one['better_per_hour']:7.1f}  "
            f"{healed[0]:6.1f} {healed[1]:7.1f} {sum(healed):7.1f}  {_seconds(one['left_median_s'])} "
            f"{_seconds(one['left_worst_s'])} {one['left_by_health']:>10} {one['not_left']:>7}"
        )
    if first["patience_median_s"] is not None:
        lines.append(f"a probe is overdue after {first['patience_median_s']:.2f} s (median), see docs/health.md")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:6.1f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.failover", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-c", dest="config", type=Path, metavar="FILE", help="configuration; default: the defaults")
    parser.add_argument("--interval", type=float, help="seconds between samples; default: the trace's own times")
    parser.add_argument("--deaths", type=int, default=20, metavar="N", help="in each trace (default: %(default)s)")
    parser.add_argument("--mix", type=int, metavar="N", help="N traces with paths from any of those given")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the curve")
    parser.add_argument("traces", type=Path, nargs="+", metavar="TRACE")
    options = parser.parse_args(arguments)
    try:
        settings = load(options.config, complete=False).core if options.config else Settings()
        traces = [rows(file, options.interval) for file in options.traces]
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except TraceError as error:
        print(f"bench.failover: {error}", file=sys.stderr)
        return 1
    if options.mix:
        if any(trace.paths != traces[0].paths for trace in traces):
            parser.error("--mix needs traces of the same paths")
        traces = mixed(traces, options.mix)
    results = [measure(traces, settings, value, options.deaths) for value in VALUES]
    if options.plot is not None:
        options.plot.write_text(plot(results), encoding="utf-8")
    hours = sum(trace.hours for trace in traces)
    print(json.dumps({"hours": hours, "results": results}) if options.json else table(results, hours))
    return 0


if __name__ == "__main__":
    sys.exit(main())
