"""A virtual network: what each path does at each moment, and what becomes of a probe sent then."""

from bisect import bisect_right
from dataclasses import dataclass
from random import Random

SPIKE = 300.0


@dataclass(frozen=True)
class Weather:
    """What a path does from ``at`` on. RTTs in ms; ``link``: its device is up; ``dead``: it swallows all; ``spikes``:
    the share of probes that take `SPIKE` ms more, each by itself."""

    at: float = 0.0
    rtt: float = 20.0
    jitter: float = 0.0
    loss: float = 0.0
    spikes: float = 0.0
    dead: bool = False
    link: bool = True


class Line:
    """One path's weather over time."""

    def __init__(self, *changes: Weather) -> None:
        self.burden = 0.0  # what its own traffic adds, in ms
        self.changes = sorted(changes, key=lambda one: one.at) or [Weather()]
        self._times = [one.at for one in self.changes]

    def at(self, time: float) -> Weather:
        """The weather at ``time``, in seconds."""
        return self.changes[max(0, bisect_right(self._times, time) - 1)]

    def probe(self, time: float, rng: Random) -> float | None:
        """The RTT in seconds of a probe sent at ``time``; None: no answer ever comes."""
        now = self.at(time)
        if now.dead or not now.link or (now.loss and rng.random() < now.loss):
            return None
        jitter = rng.expovariate(1.0 / now.jitter) if now.jitter else 0.0
        spike = SPIKE if now.spikes and rng.random() < now.spikes else 0.0
        rtt = (now.rtt + jitter + spike + self.burden) / 1e3
        later = self.at(time + rtt)
        return None if later.dead or not later.link else rtt

    def works(self, start: float, end: float) -> bool:
        """Whether it answered without loss all the time from ``start`` to ``end``."""
        around = [one for one in self.changes if start < one.at <= end]
        return all(not one.dead and one.link and not one.loss for one in [self.at(start), *around])
