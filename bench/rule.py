"""How good the rule is: gap left on sets of traces, needless switches on noise, and how soon a step is followed.

``python -m bench.rule [-c FILE] [--hours 20] [--only NAME,...] [FOLDER...]``

Each FOLDER is a set of traces with a sample a second. Of each is told the gap left, summed over the set, at three
prices; the worst single trace; the switches; and for how much of the time the choice is the same if every sample is
told five times within its second. All with the defaults, or the ``[score]`` and ``[steer]`` of FILE.

*Noise*: three paths of equal mean, normal. *Steps*: the path in use becomes 20 ms slower, over normal noise of 10 ms.
*Changed* (if asked for): gap left at the first price on each set told backwards, on either half of each trace, and with
the paths of its traces paired anew; of the rule, and of an EWMA of weight 0.1 with a margin of 3 ms.
*Residuals* (if asked for): what is left of a set when each path's running median of 10 s is taken away, at five samples
a second; as it came and in random order, with its losses and without.
"""

import argparse
import sys
from array import array
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from steerd.config.file.problem import EX_CONFIG, ConfigError
from steerd.config.gateway.load import load
from steerd.core.settings import PathId, Settings
from steerd.replay.account.figures import moves, nearest_rank
from steerd.replay.baselines.plain import SmoothedMargin
from steerd.replay.run import choices
from steerd.replay.trace.reading import TraceError
from steerd.replay.trace.rows import Kept, read
from steerd.replay.trace.track import Choices

PARTS: Final = ("gaps", "changed", "held", "residuals", "noise", "steps")
PRICES: Final = (100.0, 20.0, 500.0)
HELD: Final = 5
FAST: Final = 5.0
SOON: Final = 5.0
MEDIAN_OVER: Final = 10.0
"""Seconds."""

MEAN: Final = 40.0
STEP: Final = 20.0
STEPS: Final = 200
"""How many steps of each rate are watched."""

SETTLE: Final = (60, 90)
"""Seconds from a start to the step, at random between the two, and for how long it is watched then."""

Rtts = Sequence[Sequence[float]]
"""Of each sample what every path answered, in ms; NaN: lost."""


def traces(folder: Path) -> list[Kept]:
    """Raises `TraceError`, also when there is none."""
    found = [read(file, {}) for file in sorted(folder.iterdir()) if ".csv" in file.name]
    if not found:
        raise TraceError(f"{folder}: there is no trace in it")
    return found


def table(rtts: Rtts, every: float) -> Kept:
    """A trace of these, a sample every so many seconds."""
    paths = tuple(PathId(f"p{n}") for n in range(len(rtts[0])))
    flat = array("d", (rtt for sample in rtts for rtt in sample))
    times = array("d", (n * every for n in range(len(rtts))))
    names = {path: str(path) for path in paths}
    return Kept("", names, [paths], times, array("I", bytes(4 * len(rtts))), flat, cut_short=False)


def gaps(kept: Sequence[Kept], settings: Settings) -> Iterator[str]:
    """Gap left over the set at each price, the worst trace, and switches."""
    sums = {price: [0.0, 0.0] for price in PRICES}
    worst = (-inf, "")
    switches = 0
    for trace in kept:
        account, found = trace.account(), choices(trace.replayed(), settings)
        switches += moves(found)
        for price, parts in sums.items():
            score = account.score(found, price)
            parts[0] += (score.j - score.j_optimum) * score.samples
            parts[1] += (score.j_start - score.j_optimum) * score.samples
            if price == PRICES[0] and score.gap_left == score.gap_left:
                worst = max(worst, (score.gap_left, Path(trace.trace).name))
    for price, (left, possible) in sums.items():
        yield f"{left / possible if possible else nan:.3f} at {price:g}"
    hours = sum(trace.times[-1] - trace.times[0] for trace in kept) / 3600.0
    yield f"worst {worst[0]:.3f} ({worst[1]}), {switches} switches, {switches / hours:.1f} an hour"


def changed(kept: Sequence[Kept], settings: Settings) -> Iterator[str]:
    """Gap left on the same set told in other ways, of the rule and of a tuned EWMA."""
    rows = [[swept.rtts for swept in trace.replayed().groups()] for trace in kept]
    columns = [[row[n] for row in one] for one in rows for n in range(len(one[0]))]
    Random("pairs").shuffle(columns)
    width = min(len(one[0]) for one in rows)
    groups = [columns[n : n + width] for n in range(0, len(columns) - width + 1, width)]
    ways: Mapping[str, Sequence[Sequence[Sequence[float | None]]]] = {
        "backwards": [one[::-1] for one in rows],
        "first halves": [one[: len(one) // 2] for one in rows],
        "second halves": [one[len(one) // 2 :] for one in rows],
        "paired anew": [list(zip(*group, strict=False)) for group in groups],
    }
    for name, told in ways.items():
        left = {"rule": 0.0, "EWMA": 0.0}
        possible = 0.0
        for one in told:
            trace = table([[nan if rtt is None else rtt for rtt in row] for row in one], 1.0)
            samples = judged_rows(trace)
            account = trace.account()
            found = {"rule": choices(trace.replayed(), settings), "EWMA": smoothed(samples)}
            for rule, made in found.items():
                score = account.score(made, PRICES[0])
                left[rule] += (score.j - score.j_optimum) * score.samples
            possible += (score.j_start - score.j_optimum) * score.samples
        yield f"{name}: {left['rule'] / possible:.3f}, EWMA {left['EWMA'] / possible:.3f}"


def judged_rows(trace: Kept) -> Sequence[Mapping[PathId, float | None]]:
    """What each sample brought, as other rules see it."""
    return [dict(zip(swept.paths, swept.rtts, strict=True)) for swept in trace.replayed().groups()]


def smoothed(samples: Sequence[Mapping[PathId, float | None]]) -> Choices:
    """What an EWMA of weight 0.1 with a margin of 3 ms would have chosen."""
    rule = SmoothedMargin()
    found: list[tuple[int, PathId | None]] = [(0, None)]
    for number, brought in enumerate(samples):
        path = rule.observe(float(number), brought)
        if path != found[-1][1]:
            found.append((number + 1, path))
    return found


def held(kept: Sequence[Kept], settings: Settings) -> float:
    """For which share of the time the choices are those of the same trace with every sample told `HELD` times."""
    same = total = 0
    for trace in kept:
        once, often = (_told(trace, times) for times in (1, HELD))
        per_sample = list(_per_sample(choices(once.replayed(), settings), len(once.times)))
        for n, path in enumerate(_per_sample(choices(often.replayed(), settings), len(often.times))):
            same += path == per_sample[n // HELD]
        total += len(often.times)
    return same / total


def _per_sample(found: Choices, samples: int) -> Iterator[PathId | None]:
    """The choice after each sample: one that was made on it is in use from the next one on."""
    begins = [max(0, begin - 1) for begin, _ in found]
    for (_, path), begin, end in zip(found, begins, [*begins[1:], samples], strict=True):
        for _ in range(begin, end):
            yield path


def _told(trace: Kept, often: int) -> Kept:
    """Every sample so many times within its second. A lost one counts as what was answered last: five of them would be
    a second of silence, which is another thing than one probe."""
    rtts: list[list[float]] = []
    for swept in trace.replayed().groups():
        before = rtts[-1] if rtts else [nan] * len(swept.rtts)
        row = [old if rtt is None else rtt for rtt, old in zip(swept.rtts, before, strict=True)]
        rtts += [row] * often
    times = array("d", (time + n / often for time in trace.times for n in range(often)))
    return replace(table(rtts, 1.0), times=times)


def noise(sd: float, rate: float, hours: float, settings: Settings) -> float:
    """Switches an hour between three paths of equal mean."""
    random = Random(f"noise {sd} {rate}")
    rtts = [[random.gauss(MEAN, sd) for _ in range(3)] for _ in range(int(hours * 3600.0 * rate))]
    return moves(choices(table(rtts, 1.0 / rate).replayed(), settings)) / hours


def residuals(kept: Sequence[Kept], settings: Settings, rate: float, *, lost: bool, shuffled: bool) -> float:
    """Switches an hour on what is left of a set."""
    random = Random("residuals")
    found = 0
    samples = 0
    for trace in kept:
        rows = [swept.rtts for swept in trace.replayed().groups()]
        columns = [_less_median([row[n] for row in rows], int(MEDIAN_OVER * rate)) for n in range(len(rows[0]))]
        if not lost:
            columns = [[rtt for rtt in column if rtt == rtt] for column in columns]  # noqa: PLR0124 (NaN)
        if shuffled:
            for column in columns:
                random.shuffle(column)
        rtts = list(zip(*columns, strict=False))
        found += moves(choices(table(rtts, 1.0 / rate).replayed(), settings))
        samples += len(rtts)
    return found / (samples / rate / 3600.0)


def _less_median(column: Sequence[float | None], over: int) -> list[float]:
    """A path's RTTs about its running median, moved to `MEAN`; NaN: lost."""
    left = []
    for n, rtt in enumerate(column):
        near = [one for one in column[max(0, n - over // 2) : n + over // 2 + 1] if one is not None]
        left.append(nan if rtt is None else max(1.0, MEAN + rtt - median(near)))
    return left


def steps(rate: float, settings: Settings) -> list[float]:
    """After how many seconds each of `STEPS` steps was followed, in order; inf: not while it was watched."""
    random = Random(f"steps {rate}")
    after = []
    for _ in range(STEPS):
        at = int(random.uniform(*SETTLE) * rate)
        rtts = [[random.gauss(MEAN, 10.0) + (0.0 if n else -4.0 * (t < at)) for n in range(3)] for t in range(2 * at)]
        first = choices(table(rtts[:at], 1.0 / rate).replayed(), settings)[-1][1]
        used = int(str(first)[1:])
        for sample in rtts[at:]:
            sample[used] += STEP
        later = (begin for begin, path in choices(table(rtts, 1.0 / rate).replayed(), settings) if begin > at and path)
        after.append((next(later, inf) - 1 - at) / rate)  # from the first slow sample to the one it was decided on
    return sorted(after)


def report(
    sets: Mapping[str, Sequence[Kept]], settings: Settings, hours: float, asked: Container[str]
) -> Iterator[str]:
    for name, kept in sets.items():
        if "gaps" in asked:
            yield f"{name}: gap left {', '.join(gaps(kept, settings))}"
        if "changed" in asked:
            yield f"{name}: {'; '.join(changed(kept, settings))}"
        if "held" in asked:
            yield f"{name}: told {HELD} times a second, the same for {held(kept, settings):.2%} of the time"
        if "residuals" in asked:
            for shuffled, order in ((False, "as they came"), (True, "in random order")):
                for lost, losses in ((True, "with losses"), (False, "without")):
                    found = residuals(kept, settings, FAST, lost=lost, shuffled=shuffled)
                    yield f"{name}: residuals at {FAST:g} Hz, {order}, {losses}: {found:.1f} switches an hour"
    if "noise" in asked:
        for sd in (3.0, 10.0):
            rates = (f"{noise(sd, rate, hours, settings):.2f} at {rate:g} Hz" for rate in (0.2, 1.0, FAST))
            yield f"noise of {sd:g} ms: {', '.join(rates)}, switches an hour"
    if "steps" in asked:
        for rate in (1.0, 2.0, FAST):
            after = steps(rate, settings)
            within = sum(one <= SOON for one in after) / len(after)
            ranks = f"{median(after):.1f} s (median), {nearest_rank(after, 0.9):.1f} s (nine of ten)"
            yield f"a step at {rate:g} Hz is followed after {ranks}, {within:.0%} within {SOON:g} s"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.rule", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-c", dest="config", type=Path, metavar="FILE", help="configuration; default: the defaults")
    parser.add_argument("--hours", type=float, default=20.0, help="of noise (default: %(default)g)")
    parser.add_argument("--only", default="gaps,held,noise,steps", help=f"of {','.join(PARTS)}")
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    options = parser.parse_args()
    asked = options.only.split(",")
    if unknown := set(asked) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    try:
        settings = load(options.config, complete=False).core if options.config else Settings()
        sets = {folder.name: traces(folder) for folder in options.folders}
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except (TraceError, OSError) as error:
        print(f"bench.rule: {error}", file=sys.stderr)
        return 1
    for line in report(sets, replace(settings, paths=(), policies=()), options.hours, asked):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
