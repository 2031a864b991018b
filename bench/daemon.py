"""What the daemon costs: start, memory and CPU with many paths, in the lab, with a broker and without users; and how
long ``steerd --help`` takes, beside a Python that does nothing.

``python -m bench.daemon [--pops 50] [--interval 1s] [--seconds 60]``
"""

import argparse
import compileall
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import steerd
from steerd.lab.enclosure import enclose
from steerd.lab.world.line import Conditions
from steerd.lab.world.pop import PopSpec
from steerd.lab.world.world import World

SETTLE = 10.0
"""Seconds after the start that are not counted: imports, the first choice, the first reports."""

HELP = (sys.executable, "-m", "steerd.cli.steerd", "--help")
RUNS = 15

MARK = 0x3FF00000
"""Ten bits: the eight that are the default serve 255 paths."""


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds so far, and resident memory in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def started(world: World, text: str) -> tuple[subprocess.Popen[Any], float]:
    """The daemon, and the seconds until it said READY=1, as it says it to systemd."""
    address = str(world.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(address)
        notified.settimeout(30.0)
        began = time.monotonic()
        daemon = world.run_daemon(text, "--log-level", "warning", env={**os.environ, "NOTIFY_SOCKET": address})
        while b"READY=1" not in notified.recv(4096).split(b"\n"):
            pass
        return daemon, time.monotonic() - began


def command_seconds(*command: str) -> float:
    """The median of `RUNS` runs."""
    taken = []
    for _ in range(RUNS):
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.daemon", description=__doc__)
    parser.add_argument("--pops", type=int, default=50, help="so many PoPs, a path each")
    parser.add_argument("--interval", default="1s")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    compileall.compile_dir(Path(steerd.__file__).parent, quiet=1)  # as it is where it is installed
    enclose()
    pops = [PopSpec(f"pop{n}", conditions=Conditions(delay_ms=20.0 + n)) for n in range(options.pops)]
    with World(pops) as world:
        text = world.gateway_config(interval=options.interval).replace('publish_interval = "1s"', "")
        text = text.replace("[route]", f'[route]\nmark = "{MARK:#x}"')
        # One target for each path: what is measured is a path, not a family.
        one_target = "\n".join(
            line.partition(", target6")[0] + " }]" if "target6" in line else line for line in text.splitlines()
        )
        daemon, ready = started(world, one_target)
        time.sleep(SETTLE)
        if daemon.poll() is not None:
            return 1
        before, began = usage(daemon.pid)[0], time.monotonic()
        time.sleep(options.seconds)
        after, memory = usage(daemon.pid)
        cpu = 100.0 * (after - before) / (time.monotonic() - began)
        print(f"{options.pops} PoPs, a probe every {options.interval}: {memory:.1f} MB, {cpu:.2f} % of a core")
        print(f"from its start to READY: {ready:.2f} s")
    shown, nothing = command_seconds(*HELP), command_seconds(sys.executable, "-c", "pass")
    print(f"steerd --help: {shown * 1e3:.0f} ms; a Python that does nothing: {nothing * 1e3:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
