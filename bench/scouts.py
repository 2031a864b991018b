"""Hundreds of paths of which the best changes often: what scouting costs against probing everything.

``python -m bench.scouts [--paths 300] [--hours 2] [--changes 10] [--seed 1] [--write FILE]``

A generated trace, a sample a second of every path: each has a base of 25 to 120 ms and normal noise of 1 ms. Ten times
an hour another path, drawn at random, becomes the best: 2 to 10 ms below the lowest base, until the next one does. It
is replayed twice: with every sample (and as many candidates as there are paths), and as the engine would have probed it
with the defaults. Told are the mean RTT of the path in use, switches an hour and the share of samples asked for.
``--write`` writes the trace, for ``steerd replay --as-probed``.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from steerd.core.settings import Settings
from steerd.replay.account.outcome import Outcome
from steerd.replay.run import run

BASES: Final = (25.0, 120.0)
NOISE: Final = 1.0
BELOW: Final = (2.0, 10.0)
"""ms: so much below the lowest base is the best path of the moment. What is found late costs its gain for as long as
it took to find: half a scout interval, five samples and the rule's own time, some 20 s of the 360 s between two
changes."""


def rows(paths: int, seconds: int, changes: float, seed: int) -> Iterator[str]:
    """The lines of the trace, without the header. ``changes`` an hour."""
    random = Random(f"scouts {seed}")
    bases = [random.uniform(*BASES) for _ in range(paths)]
    lowest = min(bases)
    best, below, until = 0, 0.0, 0.0
    for second in range(seconds):
        if second >= until:
            best, below = random.randrange(paths), random.uniform(*BELOW)
            until = second + random.expovariate(changes / 3600.0)
        for path, base in enumerate(bases):
            rtt = random.gauss(lowest - below if path == best else base, NOISE)
            yield f"{second},p{path:03},{max(0.1, rtt):.2f}\n"


def write(file: Path, paths: int, hours: float, changes: float, seed: int) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.write("time_s,path,rtt_ms\n")
        stream.writelines(rows(paths, int(hours * 3600.0), changes, seed))


def told(name: str, outcome: Outcome) -> str:
    figures = outcome.report()["summary"]
    share = figures.get("probed", {}).get("ratio", 1.0)
    hourly = figures["switches_per_hour"]
    return (
        f"{name:12} mean {figures['rtt_mean_ms']:6.2f} ms, {hourly:5.1f} switches an hour, {share:.1%} of the samples"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scouts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paths", type=int, default=300)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--changes", type=float, default=10.0, help="of the best path, an hour (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    size = options.paths, options.hours, options.changes, options.seed
    if options.write is not None:
        write(options.write, *size)
        return 0
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.csv"
        write(file, *size)
        whole = run(file, replace(Settings(), max_active=options.paths))
        some = run(file, Settings(), as_probed=True)
    print(told("everything", whole))
    print(told("as probed", some))
    means = [one.report()["summary"]["rtt_mean_ms"] for one in (whole, some)]
    print(f"scouting costs {means[1] / means[0] - 1.0:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
