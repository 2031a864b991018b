"""steerd's prober alone, for `bench.subject`."""

import asyncio
import sys
import time
from collections import Counter
from typing import Any

from bench.subject import SETTLED, TIMEOUT, Task
from steerd.config.probe_settings import ProbePath, ProbeSettings, Target
from steerd.core.effects import Cadence
from steerd.core.events import Outcome, Probed
from steerd.core.settings import PathId
from steerd.probe.methods.icmp import Wired
from steerd.probe.prober import Prober
from steerd.probe.wire.batch import Batch
from steerd.probe.wire.clock import realtime_offset
from steerd.probe.wire.single import Single

WIRES: dict[str, Wired] = {"batch": Batch, "single": Single}


async def probe(task: Task) -> dict[str, Any]:
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
