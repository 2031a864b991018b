"""Scenes for probing on real packets: paths, PoPs behind tunnels, a host that answers for many addresses."""

import asyncio
import collections
import contextlib
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from steerd.config.probe_settings import ProbePath, ProbeSettings, Target
from steerd.core.events import Outcome, Probed
from steerd.core.settings import PathId
from steerd.lab import namespaces
from steerd.lab.worker import Worker
from steerd.probe.prober import Prober

DELAY = 0.020


def path(number: int, targets: Sequence[str], device: str = "v0", timeout: float = 1.0, **changes: Any) -> ProbePath:
    legs = tuple(Target(6 if ":" in target else 4, target) for target in targets)
    settings = {"interval": 0.2, "mark": 0, **changes}
    return ProbePath(PathId(f"pop{number}/wg0"), f"pop{number}", device, targets=legs, timeout=timeout, **settings)


def probe(paths: Sequence[ProbePath], seconds: float, during: Callable[[Prober], Any] | None = None) -> dict[str, Any]:
    """Probe, with what ``during`` does meanwhile; what came of it, by outcome, and in order for each path."""
    told: list[Probed] = []

    async def main() -> dict[str, Any]:
        prober = Prober(ProbeSettings(tuple(paths), 0.2), on_outcome=told.append, seed=1)
        lags: list[float] = []
        prober.lag = lags.append
        prober.start()
        task = asyncio.create_task(during(prober)) if during else None
        used = time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - used
        if task:
            await task
        queues = [prober.local_queue(each.path) for each in paths]
        findings = {each.path: prober.findings.of(each.path) for each in paths}
        prober.close()
        return {
            "skipped": prober.skipped,
            "cpu": used / seconds,
            "queues": queues,
            "lag": max(lags),
            "findings": findings,
        }

    found = asyncio.run(main())
    rtts = sorted(each.rtt for each in told if each.outcome in (Outcome.REPLY, Outcome.LATE))
    return {
        **found,
        "counts": dict(collections.Counter(each.outcome.value for each in told)),
        "legs": dict(collections.Counter(f"{each.outcome.value}{each.leg}" for each in told)),
        "told": [[each.path, each.outcome.value, each.sent_at] for each in told[:2000]],
        "sent": {
            f"{each.path} {leg}": [one.sent_at for one in told if (one.path, one.leg) == (each.path, leg)]
            for each in paths[:20]
            for leg in range(len(each.targets))
        },
        "by_path": {
            each.path: dict(collections.Counter(one.outcome.value for one in told if one.path == each.path))
            for each in paths[:20]
        },
        "rtts": {
            each.path: [one.rtt for one in told if one.path == each.path and one.outcome is Outcome.REPLY]
            for each in paths[:20]
        },
        "median": statistics.median(rtts) if rtts else None,
        "p90": rtts[len(rtts) * 9 // 10] if rtts else None,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


@contextlib.contextmanager
def tunnels(*names: str) -> Iterator[Callable[..., Any]]:
    """A PoP of `DELAY` behind a device for each name; number n answers at 10.64.n.1 and fd64::n:1. Yields a function
    that talks to them."""
    pops = {
        name: {
            "device": name,
            "targets": [f"0a40{n:02x}01", f"fd64{n:024x}0001"],
            "conditions": {"delay_ms": DELAY * 1000},
        }
        for n, name in enumerate(names, 1)
    }
    namespaces.add("gw")
    namespaces.enter("gw")
    worker = Worker("gw", "steerd.lab.world.pop", {"pops": pops, "seed": 1})
    for n, name in enumerate(names, 1):
        address(name, n)
    try:
        yield worker.ask
    finally:
        worker.close()


def off_beat(sent: Sequence[float], period: float, when: float) -> list[float]:
    """Of one leg's probes those sent after ``when`` that are not at the place in the period of the last one before it,
    give or take 60 ms: by how much they miss it."""
    last = max(at for at in sent if at < when)
    half = period / 2
    misses = [(at - last + half) % period - half for at in sent if at >= when]
    assert misses
    return [miss for miss in misses if abs(miss) > 0.06]


def address(device: str, number: int) -> None:
    namespaces.ip(
        f"""addr add 10.64.{number}.2/24 dev {device}
            addr add fd64::{number}:2/112 dev {device} nodad
            link set {device} up"""
    )


def wire(targets: int = 0) -> None:
    """A veth to a host that answers for many addresses at once."""
    namespaces.add("near", "far")
    namespaces.ip("link add v0 netns near type veth peer name v1 netns far")
    namespaces.ip("addr add 10.9.0.2/24 dev v1\nlink set v1 up\nroute add local 10.98.0.0/16 dev lo", "far")
    namespaces.enter("near")
    namespaces.ip("addr add 10.9.0.1/24 dev v0\nlink set v0 up\nroute add 10.98.0.0/16 via 10.9.0.2")


def both(number: int) -> list[str]:
    return [f"10.64.{number}.1", f"fd64::{number}:1"]
