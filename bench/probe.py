"""What probing costs and how exact it is: steerd's prober, fping, icmplib and smokeping_prober, on the same paths.

``python -m bench.probe [--quick] [--seconds 30] [--only a,d] [--json FILE]``

a  1000 targets, once a second: CPU, memory, false loss
b  100 targets, ten times a second, on paths of 8 ms, nothing else running: error of the RTT
c  the same, with every core busy
d  1000 targets, ten times a second: steerd and fping
e  as b, steerd alone, its loop blocked for 50 ms in every 200

CPU is user and system time of the prober's process and its children. Both ends of a veth work in the context of who
sends, so it includes the far kernel's answer: an upper bound, the same for all. The truth about an RTT is a packet
capture on the device, stamped by the kernel, in a process of its own. *False loss* is what was answered on the wire,
in time, and not reported as answered.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bench.contenders import Fping, Load, Steerd, all_contenders
from bench.measure import Result, accuracy, cost
from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, enclose
from steerd.lab.worker import Worker

DELAY_MS = 8.0


def world() -> Worker:
    """A host that answers at once for 10.98/16 by v0, and one that answers after `DELAY_MS` for 10.64/16 by t0. This
    process, and what it starts, is at the near end of both."""
    namespaces.add("near", "far")
    namespaces.ip("link add v0 netns near type veth peer name v1 netns far")
    namespaces.ip("addr add 10.9.0.2/24 dev v1\nlink set v1 up\nroute add local 10.98.0.0/16 dev lo", "far")
    namespaces.enter("near")
    namespaces.ip("addr add 10.9.0.1/24 dev v0\nlink set v0 up\nroute add 10.98.0.0/16 via 10.9.0.2")
    pop = {"device": "t0", "targets": ["0a400101"], "conditions": {"delay_ms": DELAY_MS}}
    worker = Worker("near", "steerd.lab.world.pop", {"pops": {"pop": pop}, "seed": 1})
    namespaces.ip("addr add 10.64.0.1/16 dev t0\nlink set t0 up")
    return worker


@contextmanager
def busy() -> Iterator[None]:
    """Something else for every core to do."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def fast(number: int) -> list[str]:
    return [f"10.98.{n // 250}.{n % 250 + 1}" for n in range(number)]


def delayed(number: int) -> list[str]:
    return [f"10.64.1.{n + 1}" for n in range(number)]


def run(scenario: str, seconds: float, folder: Path) -> Iterator[Result]:
    """The scenario's probers, one after the other."""
    if scenario == "a":
        for contender in (*all_contenders(folder), Fping(folder, burst=True)):
            yield cost("a", contender, Load(fast(1000), 1.0, "v0", seconds, detail=False))
    elif scenario == "b":
        for contender in all_contenders(folder):
            yield accuracy("b", contender, Load(delayed(100), 0.1, "t0", seconds, detail=True))
    elif scenario == "c":
        with busy():
            for contender in all_contenders(folder):
                yield accuracy("c", contender, Load(delayed(100), 0.1, "t0", seconds, detail=True))
    elif scenario == "d":
        for contender in (Steerd(folder, "batch"), Fping(folder)):
            yield cost("d", contender, Load(fast(1000), 0.1, "v0", seconds, detail=False))
    else:
        alone = Steerd(folder, "batch", blocked=True)
        yield accuracy("e", alone, Load(delayed(100), 0.1, "t0", seconds, detail=True))


TITLES = {
    "a": "1000 targets, 1/s",
    "b": f"100 targets, 10/s, {DELAY_MS:g} ms, idle",
    "c": f"100 targets, 10/s, {DELAY_MS:g} ms, every core busy",
    "d": "1000 targets, 10/s",
    "e": f"100 targets, 10/s, {DELAY_MS:g} ms, the loop blocked 50 ms in every 200",
}
FULL = {"a": 30.0, "b": 8.0, "c": 8.0, "d": 60.0, "e": 8.0}
QUICK = {"a": 3.5, "b": 2.5, "c": 2.5, "d": 5.0, "e": 2.5}
"""Seconds for each prober once it has started."""


def table(results: Iterable[Result]) -> Iterator[str]:
    """Rows as they come; the ratios are to the first prober of the scenario."""
    base: Result | None = None
    for one in results:
        costs = one.scenario in "ad"
        if base is None:
            columns = ("CPU us", "ratio", "RSS MB") if costs else ("p50 us", "p99 us", "ratio")
            yield f"\n{TITLES[one.scenario]}"
            yield f"  {'prober':18}{'probes':>9}" + "".join(f"{name:>9}" for name in columns) + f"{'false loss':>12}"
            base = one
        cells = (one.cpu_us, _ratio(one.cpu_us, base.cpu_us), one.rss_mb)
        if not costs:
            cells = (one.p50_us, one.p99_us, _ratio(one.p99_us, base.p99_us))
        row = "".join(
            f"{'-' if cell is None else f'{cell:.3g}' if cell < 1000 else f'{cell:.0f}':>9}" for cell in cells
        )
        loss = "-" if one.false_loss is None else f"{100 * one.false_loss:.3g} %"
        yield f"  {one.prober:18}{one.probes:9}{row}{loss:>12}  {one.note}".rstrip()


def _ratio(one: float | None, base: float | None) -> float | None:
    return one / base if one is not None and base else None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.probe", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short windows: under two minutes in all")
    parser.add_argument("--seconds", type=float, help="the window of a (default 30)")
    parser.add_argument("--only", default="a,b,c,d,e", help="the scenarios, such as a,d")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the results, as a list of objects")
    options = parser.parse_args()
    seconds = dict(QUICK if options.quick else FULL)
    if options.seconds:
        seconds["a"] = options.seconds
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(FULL):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    # Opened before the enclosure, whose /run is another.
    output = options.json.open("w") if options.json else None
    enclose()
    began = time.monotonic()
    release = os.uname().release.split("-")[0]
    print(f"{os.cpu_count()} cores, kernel {release}; load before: {os.getloadavg()[0]:.2f}")
    print("CPU us: a probe, user and system, both ends of the veth. p50, p99: error of the RTT.", flush=True)
    results: list[Result] = []

    def kept(scenario: str) -> Iterator[Result]:
        for one in run(scenario, seconds[scenario], RUN):
            results.append(one)
            yield one

    worker = world()
    try:
        for scenario in wanted:
            for line in table(kept(scenario)):
                print(line, flush=True)
    finally:
        worker.close()
    if output:
        with output:
            json.dump([asdict(one) for one in results], output, indent=1)
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
