"""A prober in Python as a process of its own: ``python -m bench.subject JSON``, with the fields of `Task`.

It probes until its standard input ends, then waits for what is under way, and writes what it found to a file.
"""

import asyncio
import ctypes
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steerd.config.settings import ProbePath, ProbeSettings, Target
from steerd.core.model import Cadence, Outcome, Probed
from steerd.core.settings import PathId
from steerd.probe.batch import Batch
from steerd.probe.clock import realtime_offset
from steerd.probe.icmp import Wired
from steerd.probe.prober import Prober
from steerd.probe.single import Single

WIRES: dict[str, Wired] = {"batch": Batch, "single": Single}
TIMEOUT = 1.0
SETTLED = TIMEOUT + 0.3


@dataclass(frozen=True)
class Task:
    """``prober`` is "steerd" or "icmplib". ``wire``: of steerd, one of `WIRES`. ``detail``: each RTT, not only how
    many. ``count``: of icmplib, which probes so often and not until it is told. ``blocked``: steerd's loop stands still
    for 50 ms in every 200."""

    prober: str
    targets: list[str]
    interval: float
    file: str
    device: str = ""
    wire: str = "batch"
    detail: bool = False
    count: int = 0
    blocked: bool = False

    def command(self) -> list[str]:
        return [sys.executable, "-m", "bench.subject", json.dumps(asdict(self))]


async def steerd(task: Task) -> dict[str, Any]:
    paths = tuple(
        ProbePath(
            PathId(f"{target}/a"), target, task.device, 0, (Target(4, target),), interval=task.interval, timeout=TIMEOUT
        )
        for target in task.targets
    )
    counts: Counter[Outcome] = Counter()
    replies: list[tuple[str, float, float]] = []

    def count(event: Probed) -> None:
        counts[event.outcome] += 1

    def keep(event: Probed) -> None:
        counts[event.outcome] += 1
        if event.outcome is Outcome.REPLY:
            replies.append((event.path.removesuffix("/a"), event.sent_at, event.rtt))

    prober = Prober(
        ProbeSettings(paths, task.interval),
        on_outcome=keep if task.detail else count,
        seed=1,
        wired=WIRES[task.wire],
    )
    prober.start()
    asked = asyncio.create_task(told_to_stop())
    while not asked.done():
        if task.blocked:
            await asyncio.sleep(0.15)
            time.sleep(0.05)  # noqa: ASYNC251 -- that is the point
        else:
            await asyncio.wait([asked])
    for path in paths:
        prober.cadence(Cadence(path.path, None, TIMEOUT))
    await asyncio.sleep(SETTLED)
    prober.close()
    offset = realtime_offset()
    return {
        "received": counts[Outcome.REPLY],
        "outcomes": {outcome.value: number for outcome, number in counts.items()},
        "skipped": prober.skipped,
        "replies": [(target, round((sent_at + offset) * 1e9), rtt) for target, sent_at, rtt in replies],
    }


async def told_to_stop() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def icmplib(task: Task) -> dict[str, Any]:
    from icmplib import async_multiping  # noqa: PLC0415 -- its memory is its own

    hosts = await async_multiping(
        task.targets, count=task.count, interval=task.interval, timeout=TIMEOUT, concurrent_tasks=len(task.targets)
    )
    return {
        "received": sum(len(host.rtts) for host in hosts),
        "rtts": {host.address: [rtt / 1000 for rtt in host.rtts] for host in hosts},
    }


def main() -> None:
    task = Task(**json.loads(sys.argv[1]))
    found = asyncio.run(icmplib(task) if task.prober == "icmplib" else steerd(task))
    Path(task.file).write_text(json.dumps(found))


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: ends with the bench, however that ends
    main()
