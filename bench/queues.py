"""Own load, simulated: two uplinks behind queues that the gateway's own users nearly fill, wherever they are.

``python -m bench.queues`` prints a row for each kind of traffic and pair of delays, in the mean of some seeds: switches
in the first two minutes (the most of any seed) and per hour after them, and after how many seconds a brown-out of 40 ms
was left. `frames` is a burst somewhere in each period, as of video; `poisson` bursts at any time, whose queue wanders
for seconds; `wave` is overloaded for some seconds in ten.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from math import nan, pi, sin
from random import Random
from statistics import fmean

from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.sim.driver import Driver
from steerd.sim.network import Line, Weather

WORK = 2.0
"""ms that the queue needs for a packet."""

HELD = 200.0
"""ms that it holds at most."""

RATE = 475_000.0
"""Bytes a second: 95 % of it."""

LOAD = 0.95
BROWN_OUT = 40.0
POLICY = PolicyId("users")
START, BEGINS, LENGTH = 120.0, 300.0, 1200.0
"""Seconds: so long is the start, at that time a brown-out begins, so long is a run without one."""

KINDS = {"poisson-1": 1, "poisson-3": 3, "frames-8": 8, "frames-24": 24, "wave": 1}
"""Packets of a burst."""


class Users:
    """Sends what the users send to the path that the kernel has, when somebody looks. ``waits``: of each path the ms of
    work in its queue, at a time."""

    def __init__(self, kind: str, seed: int) -> None:
        self.driver: Driver | None = None
        self._draw = Random(f"{kind}/{seed}")
        self._kind = kind
        self._arrivals = self._bursts(WORK * KINDS[kind])
        self._due, self._work = next(self._arrivals)
        self._waits: dict[PathId, tuple[float, float]] = {}

    def wait(self, path: PathId, now: float) -> float:
        """ms that a packet waits there now."""
        while self._due <= now:
            used = self.driver.kernel.get(POLICY, (None, None))[0] if self.driver is not None else None
            if used is not None:
                self._waits[used] = min(HELD, self._left(used, self._due) + self._work), self._due
            self._due, self._work = next(self._arrivals)
        return self._left(path, now)

    def _left(self, path: PathId, now: float) -> float:
        work, at = self._waits.get(path, (0.0, 0.0))
        return max(0.0, work - 1e3 * (now - at))

    def _bursts(self, work: float) -> Iterator[tuple[float, float]]:
        at, period = 0.0, work / LOAD / 1e3
        while True:
            if self._kind.startswith("frames"):
                yield at + self._draw.uniform(0.0, period), work
                at += period
            else:
                more = 1.0 + 0.1 * sin(2.0 * pi * at / 10.0) * (self._kind == "wave")
                at += self._draw.expovariate(more / period)
                yield at, work


class Uplink(Line):
    """A path behind such a queue."""

    def __init__(self, name: PathId, users: Users, *changes: Weather) -> None:
        super().__init__(*changes)
        self._name = name
        self._users = users

    def probe(self, time: float, rng: Random) -> float | None:
        rtt = super().probe(time, rng)
        return None if rtt is None else rtt + self._users.wait(self._name, time) / 1e3


def switches(
    kind: str,
    rtts: tuple[float, ...],
    interval: float,
    seed: int,
    *,
    length: float = LENGTH,
    brown_out: float = 0.0,
    legs: int = 1,
) -> list[float]:
    """When the policy moved, in seconds, after its first choice. ``rtts`` of the uplinks in ms; ``brown_out``: ms more
    from `BEGINS` on for the one that is best."""
    users = Users(kind, seed)
    names = [PathId(str(place)) for place in range(len(rtts))]
    settings = Settings(
        paths=tuple(PathSettings(name, name, name, interval=interval, legs=legs) for name in names),
        policies=(PolicySettings(POLICY),),
        round=interval,
    )
    lines: dict[PathId, Line] = {}
    for name, rtt in zip(names, rtts, strict=True):
        calm = Weather(rtt=rtt, jitter=0.3)
        worse = replace(calm, at=BEGINS, rtt=rtt + brown_out * (rtt == min(rtts)))
        lines[name] = Uplink(name, users, calm, worse)
    users.driver = driver = Driver(settings, lines, seed=seed, traffic={POLICY: (RATE, 0.0)})
    driver.run(length)
    return [at for at, effect in driver.effects if effect in driver.switches()[1:]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=4)
    seeds = range(options.parse_args().seeds)
    print(f"{'users':10} {'RTTs, ms':>9} {'probed':>7} {'first 2 min':>12} {'per hour':>9} {'left after, s':>14}")
    for kind in KINDS:
        for rtts in ((20.0, 35.0), (20.0, 22.0)):
            for interval in (0.2, 1.0):
                runs = [switches(kind, rtts, interval, seed) for seed in seeds]
                first = max(sum(at < START for at in run) for run in runs)
                later = fmean(sum(at >= START for at in run) for run in runs) * 3600.0 / (LENGTH - START)
                browned = [switches(kind, rtts, interval, seed, length=330.0, brown_out=BROWN_OUT) for seed in seeds]
                on_best = [run for run in browned if sum(at < BEGINS for at in run) % 2 == 0]
                left = [min([at for at in run if at > BEGINS], default=330.0) - BEGINS for run in on_best] or [nan]
                both = " ".join(f"{rtt:g}" for rtt in rtts)
                print(f"{kind:10} {both:>9} {interval:>6g}s {first:12} {later:9.1f} {fmean(left):14.1f}", flush=True)


if __name__ == "__main__":
    main()
