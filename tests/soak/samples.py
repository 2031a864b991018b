"""What of a process and of the kernel must not grow, and how it is judged that it did not."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steerd.lab.world.world import METRICS

SCARCE = ("descriptors", "rules", "nexthops", "routes", "nft")
"""What is counted one by one: any growth of these is a leak."""

THREADS = 2 + min(32, (os.cpu_count() or 1) + 4)
"""The loop's, the store's, and those of asyncio's pool, which comes to its full size by chance and never shrinks."""

RSS_NOISE_KB = 512.0
"""Python's allocator takes memory in arenas of 256 KB to 1 MB, and gives few back."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of the second and the last quarter of a phase; what came before is warming up. ``allowed`` None: it is
    told, not judged."""

    phase: str
    what: str
    before: float
    after: float
    allowed: float | None

    @property
    def ok(self) -> bool:
        return self.allowed is None or self.after - self.before <= self.allowed


def sample(pid: int, directory: Path, nft: bool) -> dict[str, float]:
    """At this moment, from the gateway's namespace, where the caller is."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    found = {
        "rss_kb": float(status["VmRSS"].split()[0]),
        "threads": float(status["Threads"]),
        "descriptors": float(len(list((process / "fd").iterdir()))),
        "rules": _lines("-4", "rule") + _lines("-6", "rule"),
        "nexthops": _lines("nexthop", "show", "proto", "210"),
        "routes": sum(_lines(family, "route", "show", "table", "all", "proto", "210") for family in ("-4", "-6")),
        "store_kb": sum(file.stat().st_size for file in directory.glob("store/*")) / 1024,
        "log_kb": (directory / "steerd.log").stat().st_size / 1024,
    }
    if nft:
        found["nft"] = float(len(json.loads(_printed("nft", "-j", "list", "ruleset"))["nftables"]))
    return found


def metrics() -> dict[str, float]:
    """The daemon's own, summed over their labels but those of MQTT's direction."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    totals: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        series, _, value = line.rpartition(" ")
        name = series if series.startswith("steerd_mqtt_messages_total") else series.partition("{")[0]
        totals[name] = totals.get(name, 0.0) + float(value)
    return totals


def judge(phase: str, samples: Sequence[dict[str, float]]) -> list[Verdict]:
    """Memory may grow by a hundredth and `RSS_NOISE_KB`, threads to `THREADS`, what is scarce not at all."""
    quarter = len(samples) // 4
    verdicts = []
    for what in samples[0]:
        values = [one[what] for one in samples]
        # What is open for a moment is no leak: of what is scarce, the least of a quarter counts.
        typical = min if what in SCARCE else statistics.median
        before, after = typical(values[quarter : 2 * quarter]), typical(values[-quarter:])
        verdicts.append(Verdict(phase, what, before, after, _allowed(what, before)))
    return verdicts


def _allowed(what: str, before: float) -> float | None:
    if what in SCARCE:
        return 0.0
    if what == "threads":
        return max(0.0, THREADS - before)
    return RSS_NOISE_KB + 0.01 * before if what == "rss_kb" else None


def descriptors(pid: int) -> Counter[str]:
    """Of what kind they are."""
    kinds: Counter[str] = Counter()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            kinds[re.sub(r":\[\d+\]", "", str(descriptor.readlink()))] += 1
    return kinds


def _lines(*words: str) -> float:
    return float(len(_printed("ip", "-o", *words).splitlines()))


def _printed(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
