"""What replay costs: a trace through the whole engine, J included, against merely reading it as CSV.

``python -m bench.replay [--runs 15] [TRACE...]``: synthetic traces, and those given.
"""

import argparse
import csv
import gzip
import lzma
import sys
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import process_time

from steerd.core.settings import Settings
from steerd.replay.run import run

ROWS = 20_000


def read(file: Path) -> int:
    """The yardstick: `csv.reader`, and the numbers as numbers. Returns the rows."""
    rows = 0
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(file.suffix, open)
    with opener(file, "rt", encoding="utf-8", newline="") as stream:  # type: ignore[operator]
        reader = csv.reader(stream)
        next(reader)
        for time, _, rtt in reader:
            float(time)
            if rtt:
                float(rtt)
            rows += 1
    return rows


def synthetic(folder: Path) -> Iterator[Path]:
    """A sample a second on each path; now and then one gets worse, and better again."""
    for paths in (1, 3, 4, 10):
        for loss in (0, 2):
            random = Random(f"{paths} {loss}")
            base = [random.uniform(20.0, 120.0) for _ in range(paths)]
            worse = [0.0] * paths
            file = folder / f"{paths} {'path' if paths == 1 else 'paths'}, {loss} % lost"
            with file.open("w", encoding="utf-8") as stream:
                stream.write("time_s,path,rtt_ms\n")
                for time in range(ROWS // paths):
                    for path in range(paths):
                        if random.random() < 0.003:
                            worse[path] = random.choice([0.0, 20.0, 60.0])
                        rtt = base[path] + worse[path] + random.expovariate(0.5)
                        lost = random.random() < loss / 100.0
                        stream.write(f"{time},p{path},{'' if lost else f'{rtt:.2f}'}\n")
            yield file


def spent(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began


def measure(file: Path, runs: int) -> tuple[float, float]:
    """Seconds a row for reading and for replay: the least of many turns, so that neighbours do not count."""
    rows, settings = read(file), Settings()
    least = [inf, inf]
    for _ in range(runs):
        for place, work in enumerate((lambda: read(file), lambda: run(file, settings).report())):
            least[place] = min(least[place], spent(work))
    return least[0] / rows, least[1] / rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("traces", type=Path, nargs="*", metavar="TRACE")
    options = parser.parse_args()
    print(f"{'us per row':32}{'read':>8}{'replay':>8}{'ratio':>8}")
    with TemporaryDirectory() as folder:
        for file in [*synthetic(Path(folder)), *options.traces]:
            reading, replaying = measure(file, options.runs)
            name = file.name if file.parent == Path(folder) else "/".join(file.parts[-2:])
            print(f"{name:32}{1e6 * reading:8.2f}{1e6 * replaying:8.2f}{replaying / reading:8.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
