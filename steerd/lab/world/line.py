"""What a packet meets on its way to a PoP and back: delay, jitter, loss. Pure: the time is an argument."""

import heapq
import itertools
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steerd.lab.world.packets import Kind, answer, read, too_big

Send = Callable[[bytes], None]

_DONT_FRAGMENT = 0x40  # in the byte of IPv4's flags


@dataclass(frozen=True, slots=True)
class Conditions:
    """``delay_ms`` is the round trip's, ``jitter_ms`` its standard deviation, ``loss`` a ratio; a dead PoP answers
    nothing. Packets of more than ``mtu`` bytes that may not be fragmented vanish, or, if it ``tells``, bring an ICMP
    error that says so. For the addresses in ``silent``, packed and in hexadecimal digits, nobody answers."""

    delay_ms: float = 20.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    dead: bool = False
    mtu: int = 65_535
    tells: bool = False
    silent: Sequence[str] = ()


class Log:
    """What arrived when; times only grow."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._sequences: list[int] = []

    def add(self, now: float, sequence: int) -> None:
        """A packet arrived."""
        self._times.append(now)
        self._sequences.append(sequence)

    def between(self, since: float, until: float) -> list[int]:
        """The sequence numbers that arrived from ``since`` on, before ``until``."""
        return self._sequences[bisect_left(self._times, since) : bisect_left(self._times, until)]


class Line:
    """One PoP: answers echoes to its own targets, and echoes and user traffic to any but another PoP's target."""

    def __init__(self, number: int, own: frozenset[bytes], others: frozenset[bytes], seed: int) -> None:
        self.conditions = Conditions()
        self._number = number
        self._own = own
        self._others = others
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._answers: list[tuple[float, int, bytes, Send]] = []
        self._changes: list[tuple[float, int, dict[str, Any]]] = []
        self._logs = {(family, kind): Log() for family in (4, 6) for kind in ("probes", "pings", "traffic")}
        self._strays = Log()
        self._dropped = Log()

    def change(self, change: dict[str, Any], at: float) -> None:
        """Change some of the conditions at a time. Raises `TypeError` for unknown ones."""
        replace(self.conditions, **change)
        heapq.heappush(self._changes, (at, next(self._order), change))

    def arrive(self, packet: bytes, now: float, send: Send) -> None:
        """A packet came; its answer, if there is one, goes to ``send`` when `run` finds it due."""
        seen = read(packet)
        if seen is None:
            return
        if seen.kind is Kind.OUTER or seen.destination in self._others:
            self._strays.add(now, 0)
            return
        kind = "traffic" if seen.kind is Kind.TRAFFIC else "probes" if seen.destination in self._own else "pings"
        self._logs[seen.family, kind].add(now, seen.sequence)
        conditions = self.conditions
        lost = conditions.dead or (conditions.loss and self._random.random() < conditions.loss)
        lost = lost or seen.destination.hex() in conditions.silent
        large = len(packet) > conditions.mtu and (seen.family == 6 or packet[6] & _DONT_FRAGMENT)
        if lost or large:
            self._dropped.add(now, seen.sequence)
        if lost or (large and not conditions.tells):
            return
        reply = too_big(packet, seen, conditions.mtu) if large else answer(packet, seen, self._number)
        delay = max(0.0, self._random.gauss(conditions.delay_ms, conditions.jitter_ms)) / 1000
        heapq.heappush(self._answers, (now + delay, next(self._order), reply, send))

    def run(self, now: float) -> None:
        """Apply the changes and send the answers that are due."""
        while self._changes and self._changes[0][0] <= now:
            self.conditions = replace(self.conditions, **heapq.heappop(self._changes)[2])
        while self._answers and self._answers[0][0] <= now:
            _, _, packet, send = heapq.heappop(self._answers)
            send(packet)

    def next_at(self) -> float:
        """When to `run` again; infinity: when a packet comes."""
        return min((queue[0][0] for queue in (self._answers, self._changes) if queue), default=math.inf)

    def seen(self, since: float, until: float) -> dict[str, Any]:
        """Counts of what arrived, and the sequence numbers of the user traffic."""
        counts = {f"{kind}{family}": len(log.between(since, until)) for (family, kind), log in self._logs.items()}
        others = {"strays": self._strays, "dropped": self._dropped}
        return {**counts, **{name: len(log.between(since, until)) for name, log in others.items()}}

    def sequences(self, family: int, since: float, until: float) -> list[int]:
        """The sequence numbers of the user traffic alone."""
        return self._logs[family, "traffic"].between(since, until)
