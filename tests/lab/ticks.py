"""One carrier driven by hand: ticks, a real ledger, and a wire of two namespaces to probe over."""

import collections
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from steerd.config.probe_settings import ProbePath, Target
from steerd.core.settings import PathId
from steerd.lab import namespaces
from steerd.probe.carrier import Answer, Carrier, Fault, Find, Leg
from steerd.probe.outcomes.ledger import Egress, Flight, Ledger
from tests.lab.waiting import BOUND, until

TICK = 0.01


def wire() -> None:
    """A veth from `near`, which the calling thread enters, to `far`: 10.9.0.1 and .2, fd09::1 and ::2."""
    namespaces.add("near", "far")
    namespaces.ip("link add v0 netns near type veth peer name v1 netns far")
    for end, number in (("near", 1), ("far", 2)):
        namespaces.ip(
            f"""addr add 10.9.0.{number}/24 dev v{number - 1}
                addr add fd09::{number}/64 dev v{number - 1} nodad
                link set v{number - 1} up""",
            end,
        )
    namespaces.enter("near")
    # IPv6 waits for the kernel to have noticed that both ends are up.
    until(lambda: all(_up(*each) for each in (("near", "v0"), ("far", "v1"))))


def _up(namespace: str, device: str) -> bool:
    command = ["ip", "-n", namespace, "-j", "link", "show", "dev", device]
    return bool(json.loads(subprocess.check_output(command))[0]["operstate"] == "UP")


def path(method: str, target: str, number: int = 1, source: str | None = None, **changes: Any) -> ProbePath:
    family = 6 if ":" in target else 4
    settings = {"device": "v0", "mark": 0, "interval": 0.05, "timeout": 0.5, **changes}
    return ProbePath(
        PathId(f"pop{number}/a"),
        f"pop{number}",
        targets=(Target(family, target, source=source),),
        method=method,
        **settings,
    )


class Ticks:
    """Probes each leg every `every` seconds; what came of it is in ``told``: leg, outcome, RTT."""

    def __init__(self, make: Callable[[Find], Carrier], paths: Sequence[ProbePath], every: float = 0.02) -> None:
        self.ledger: Ledger[Leg] = Ledger(lambda flight: flight.owner.settled(flight))
        self.carrier = make(self.ledger.find)
        self.legs = [self.carrier.leg(each, 0) for each in paths]
        self.told: list[tuple[int, str, float]] = []
        self.flights: list[Flight[Leg]] = []
        self.refusals: collections.Counter[int] = collections.Counter()
        self._every = every
        self._due = 0.0
        self._number = 0

    def run(self, seconds: float, tick: float = TICK, *, sending: bool = True) -> "Ticks":
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self.read(now)
            if sending and now >= self._due:
                self._due = max(self._due + self._every, now + self._every / 2)
                self.send(now)
            time.sleep(tick)
        self.read(time.monotonic())
        return self

    def until(self, outcome: str, count: int, leg: int = 0) -> "Ticks":
        """Goes on until so many probes of a leg came to this."""
        end = time.monotonic() + BOUND
        while self.counts(leg).get(outcome, 0) < count:
            assert time.monotonic() < end, (outcome, self.told[-10:])
            self.run(0.1)
        return self

    def read(self, now: float) -> None:
        self.carrier.departures()
        for heard in self.carrier.heard():
            if isinstance(heard, Answer):
                outcome = self.ledger.answered(heard.flight)
                if outcome:
                    self.told.append((self.legs.index(heard.flight.owner), outcome.value, heard.rtt))
            elif isinstance(heard, Fault) and self.ledger.erred(heard.flight):
                self.told.append((self.legs.index(heard.flight.owner), "error", 0.0))
        for flight, outcome in self.ledger.judge(now):
            self.told.append((self.legs.index(flight.owner), outcome.value, 0.0))

    def send(self, now: float) -> None:
        for leg in self.legs:
            self._number += 1
            timeout = leg.settings.timeout
            leg.ask(Flight(self._number, leg, 0, now, time.time_ns(), timeout / 2, timeout, Egress()))
        for flight, error in self.carrier.send():
            if error:
                self.refusals[error] += 1
                self.told.append((self.legs.index(flight.owner), "local", 0.0))
            else:
                self.ledger.sent(flight)
                self.flights.append(flight)

    def counts(self, leg: int = 0) -> dict[str, int]:
        return dict(collections.Counter(outcome for each, outcome, _ in self.told if each == leg))

    def rtts(self, leg: int = 0) -> list[float]:
        return sorted(rtt for each, outcome, rtt in self.told if each == leg and outcome in ("reply", "late"))

    def median(self, leg: int = 0) -> float | None:
        return statistics.median(self.rtts(leg)) if self.rtts(leg) else None

    def directions(self, leg: int = 0) -> list[float | None]:
        found = self.legs[leg].directions()
        return list(found) if found else []
