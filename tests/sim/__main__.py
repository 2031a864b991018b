"""Many seeded hours: ``python -m tests.sim --runs 1000``, or one: ``python -m tests.sim --seed 17``."""

import argparse
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.sim.invariants import BrokenError, Hour


def hour(seed: int) -> tuple[Counter[str], str | None]:
    """The switches of one run by reason, and what was broken."""
    try:
        switches = Hour(seed).run().switches()
    except BrokenError as broken:
        return Counter(), str(broken)
    return Counter(str(one.reason) for one in switches), None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="run this one only")
    options = parser.parse_args()
    seeds = range(options.runs) if options.seed is None else [options.seed]
    reasons: Counter[str] = Counter()
    failures = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, (switches, broken) in enumerate(pool.map(hour, seeds, chunksize=4), 1):
            reasons += switches
            if broken is not None:
                failures.append(broken)
                print(broken, flush=True)
            if sys.stdout.isatty():
                print(f"\r{done} of {len(seeds)} hours, {len(failures)} broken", end="", flush=True)
    print(f"\n{len(seeds)} simulated hours, switches: {dict(reasons)}")
    print(f"{len(seeds) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
