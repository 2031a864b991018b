"""All prefixes of a policy moved from one device to another: steerd, `ip -batch`, pyroute2 and BIRD, in one run.

``python -m bench.route [--prefixes 10000,100000] [--json [FILE]]``

Each is measured in a network namespace of its own, with that many prefixes of IPv4 and as many of IPv6. It takes about
three minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.route_world import RATE
from steerd.lab.enclosure import LabError, run

_TIMEOUT = 150.0
_WHOLE = 10_000
"""pyroute2 is measured with this many at most; what it takes for more is scaled from that."""
_SCALED = ("install_s", "switch_ms", "read_s")


def subjects(number: int) -> Iterator[dict[str, Any]]:
    """Everyone's result, as it comes. A subject that fails is told, and does not stop the others."""
    tasks: list[tuple[str, str, list[int]]] = [
        ("steerd", "steerd", [number, 1]),
        ("steerd, compat_mode 0", "steerd", [number, 0]),
        ("ip -batch", "ip_batch", [number]),
        ("BIRD", "bird", [number]),
        ("pyroute2", "pyroute2", [min(number, _WHOLE)]),
    ]
    for name, scene, arguments in tasks:
        result: dict[str, Any] = {"subject": name, "prefixes": number, "scaled": 1}
        try:
            result |= run(f"bench.route_subjects:{scene}", *arguments, timeout=_TIMEOUT)
            if scene == "steerd":
                result["rss_mb"] = None if arguments[1] == 0 else memory(number)
        except LabError as error:
            result["failed"] = str(error).splitlines()[-1]
        if arguments[0] < number:
            scale(result, number // arguments[0])
        yield result


def memory(number: int) -> float:
    found: dict[str, float] = run("bench.route_memory:daemon", number, timeout=90.0)
    return found["rss_mb"]


def scale(result: dict[str, Any], times: int) -> None:
    """Times are multiplied; what was counted, or held in memory, is told of no more prefixes than there were."""
    result["scaled"] = times
    for name in _SCALED:
        if result.get(name) is not None:
            result[name] *= times
    for name in ("lost", "first_new", "last_old", "rss_mb"):
        result[name] = None


def row(result: dict[str, Any], base: dict[str, Any]) -> str:
    if "failed" in result:
        return f"  {result['subject']:22} failed: {result['failed']}"
    both = [
        (result[name] or {}).get(family) if isinstance(result.get(name), dict) else None
        for name in ("lost", "first_new", "last_old")
        for family in ("4", "6")
    ]
    ratio = result["switch_ms"] / base["switch_ms"] if base.get("switch_ms") else None
    cells = [result["switch_ms"], ratio, *both, result["install_s"], result["read_s"], result["rss_mb"]]
    text = "".join(f"{_cell(cell):>10}" for cell in cells)
    note = f"  scaled from {result['prefixes'] // result['scaled']}" if result["scaled"] > 1 else ""
    return f"  {result['subject']:22}{text}{note}"


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if isinstance(value, int) or value >= 100 else f"{value:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.route", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prefixes", default="10000,100000", help="how many of each family, such as 10000,100000")
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="the results, as a list of objects")
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where users do not look by default
    began = time.monotonic()
    shown = sys.stderr if options.json == "-" else sys.stdout
    release = os.uname().release.split("-")[0]
    versions = [
        subprocess.run(command, capture_output=True, text=True, check=False)
        for command in (["ip", "-V"], ["bird", "--version"])
    ]
    known = ", ".join((one.stdout + one.stderr).strip() for one in versions)
    print(f"{os.cpu_count()} cores, kernel {release}; {known}; load before: {os.getloadavg()[0]:.2f}", file=shown)
    print(f"Packets at {RATE:.0f} a second. Ratio: of the switch, to steerd's in the same run.", file=shown)
    results: list[dict[str, Any]] = []
    for number in map(int, options.prefixes.split(",")):
        print(f"\n{number} prefixes of IPv4 and {number} of IPv6", file=shown)
        heads = ("switch ms", "ratio", "lost v4", "v6", "new ms v4", "v6", "old ms v4", "v6", "install s", "read s")
        print(f"  {'':22}" + "".join(f"{head:>10}" for head in (*heads, "RSS MB")), file=shown)
        base: dict[str, Any] = {}
        for result in subjects(number):
            base = base or result
            results.append(result)
            print(row(result, base), file=shown, flush=True)
    if options.json == "-":
        print(json.dumps(results, indent=1))
    elif options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))
    print(f"\n{time.monotonic() - began:.0f} s", file=shown)
    return int(any("failed" in one for one in results))


if __name__ == "__main__":
    sys.exit(main())
