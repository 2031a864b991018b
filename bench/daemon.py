"""What the daemon costs: memory and CPU with many paths, in the lab, with a broker and without users.

``python -m bench.daemon [--paths 50] [--interval 1s] [--seconds 60]``
"""

import argparse
import os
import sys
import time
from pathlib import Path

from steerd.lab.enclosure import enclose
from steerd.lab.line import Conditions
from steerd.lab.world import PopSpec, World

SETTLE = 10.0
"""Seconds after the start that are not counted: imports, the first choice, the first reports."""


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds so far, and resident memory in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.daemon", description=__doc__)
    parser.add_argument("--paths", type=int, default=50)
    parser.add_argument("--interval", default="1s")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    enclose()
    pops = [PopSpec(f"pop{n}", conditions=Conditions(delay_ms=20.0 + n)) for n in range(options.paths)]
    with World(pops) as world:
        text = world.gateway_config(interval=options.interval).replace('publish_interval = "1s"', "")
        # One target for each path: what is measured is a path, not a family.
        one_target = "\n".join(
            line.partition(", target6")[0] + " }]" if "target6" in line else line for line in text.splitlines()
        )
        daemon = world.run_daemon(one_target, "--log-level", "warning")
        time.sleep(SETTLE)
        if daemon.poll() is not None:
            return 1
        before, began = usage(daemon.pid)[0], time.monotonic()
        time.sleep(options.seconds)
        after, memory = usage(daemon.pid)
        cpu = 100.0 * (after - before) / (time.monotonic() - began)
        print(f"{options.paths} paths, a probe every {options.interval}: {memory:.1f} MB, {cpu:.2f} % of a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
