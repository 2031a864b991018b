"""Endurance: ``python -m tests.soak``; ``--help`` names what there may be more or less of.

The core in virtual time, beside it the real daemon in the lab at 20 probes a second for each target, with a broker and
a recording. Exits with 1 when something grew.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from steerd.lab.enclosure import enclose
from tests.soak.core import soak
from tests.soak.daemon import Soak
from tests.soak.samples import Verdict, judge

SAMPLES = 16
CORE_SAMPLES = 400
"""A sample has 400 to 1,200 objects, by the trouble that paths are in: the median of a hundred is steady."""

CORE_NOISE = 0.25
"""Of what the engine holds: a path in trouble has more to remember than one that is well."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--flaps", type=int, default=1000)
    parser.add_argument("--restarts", type=int, default=100)
    parser.add_argument("--hours", type=int, default=1000)
    parser.add_argument("--calm", type=float, default=60.0, help="seconds")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    file = options.json.absolute() if options.json else None
    began = time.monotonic()
    enclose()
    with ProcessPoolExecutor(1) as pool:
        virtual = pool.submit(soak, options.hours, CORE_SAMPLES)
        with Soak() as daemon:
            daemon.warm_up()
            daemon.calm(options.calm)
            daemon.reloads(options.reloads, SAMPLES)
            daemon.flaps(options.flaps, SAMPLES)
            daemon.restarts(options.restarts, SAMPLES)
            daemon.calm_again(options.calm)
            verdicts, told, problems = daemon.verdicts, daemon.told, daemon.problems
        core = virtual.result()
    verdicts = [*_of_core(core), *verdicts]
    problems += [
        f"{one.phase}: {one.what} grew from {one.before:.0f} to {one.after:.0f}" for one in verdicts if not one.ok
    ]
    report = {
        "ok": not problems,
        "seconds": round(time.monotonic() - began),
        "core": {name: value for name, value in core.items() if name != "samples"},
        "told": told,
        "verdicts": [{**asdict(one), "ok": one.ok} for one in verdicts],
        "problems": problems,
    }
    _tell(report, verdicts)
    if file:
        file.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if report["ok"] else 1


def _of_core(core: dict[str, Any]) -> list[Verdict]:
    return [
        replace(one, allowed=CORE_NOISE * one.before)
        for one in judge(f"core, {core['hours']} virtual hours", core["samples"])
    ]


def _tell(report: dict[str, Any], verdicts: list[Verdict]) -> None:
    core = report["core"]
    print(
        f"\nthe core: {core['hours']} virtual hours in {core['seconds']:.0f} s, {core['events']} events, "
        f"{core['switches']} switches"
    )
    for line in report["told"]:
        print(line)
    print(f"\n{'PHASE':<26}{'WHAT':<13}{'2ND QUARTER':>12}{'LAST QUARTER':>14}{'GROWTH':>9}{'ALLOWED':>9}")
    for one in verdicts:
        allowed = "-" if one.allowed is None else f"{one.allowed:.0f}"
        mark = "" if one.ok else "  GREW"
        print(
            f"{one.phase:<26}{one.what:<13}{one.before:>12.0f}{one.after:>14.0f}{one.after - one.before:>9.0f}"
            f"{allowed:>9}{mark}"
        )
    for problem in report["problems"]:
        print(f"PROBLEM: {problem}")
    print(f"{'all as it should be' if report['ok'] else 'not as it should be'}, after {report['seconds']} s")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
