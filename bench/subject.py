"""A prober in Python as a process of its own: ``python -m bench.subject JSON``, with the fields of `Task`.

It probes until its standard input ends, then waits for what is under way, and writes what it found to a file.
"""

import asyncio
import ctypes
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 1.0
SETTLED = TIMEOUT + 0.3


@dataclass(frozen=True)
class Task:
    """``prober`` is "steerd" or "icmplib". ``wire``: of steerd, "batch" or "single". ``detail``: each RTT, not only how
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


async def icmplib(task: Task) -> dict[str, Any]:
    from icmplib import async_multiping  # noqa: PLC0415 -- nobody else's memory

    hosts = await async_multiping(
        task.targets, count=task.count, interval=task.interval, timeout=TIMEOUT, concurrent_tasks=len(task.targets)
    )
    return {
        "received": sum(len(host.rtts) for host in hosts),
        "rtts": {host.address: [rtt / 1000 for rtt in host.rtts] for host in hosts},
    }


async def steerd(task: Task) -> dict[str, Any]:
    from bench.ours import probe  # noqa: PLC0415 -- nobody else's memory

    return await probe(task)


def main() -> None:
    task = Task(**json.loads(sys.argv[1]))
    found = asyncio.run(icmplib(task) if task.prober == "icmplib" else steerd(task))
    Path(task.file).write_text(json.dumps(found))


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: ends with the bench, however that ends
    main()
