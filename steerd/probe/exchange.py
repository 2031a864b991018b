"""Probes out, answers in, and what becomes of each: told once, as it is known."""

import math
import random
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from steerd.core.events import Outcome, Probed
from steerd.core.settings import PathId
from steerd.faults import Boundary
from steerd.net.devices import Devices
from steerd.probe.carrier import Answer, Carrier, Leg, Stray, Wrong
from steerd.probe.findings import Findings
from steerd.probe.methods.carriers import Carriers
from steerd.probe.methods.icmp import Wired
from steerd.probe.outcomes.ledger import Egress, Flight, Ledger
from steerd.probe.trouble.diagnosis import Diagnosis
from steerd.probe.wire.clock import ClockWatch, realtime_offset

_STALL: Final = 0.5  # seconds: a tick later than this says that the whole machine may have stood still
_QUEUE_WEIGHT: Final = 1 / 8
_NUMBER_BITS: Final = 32

REPLY, LATE, LOST, OVERDUE, LOCAL = Outcome.REPLY, Outcome.LATE, Outcome.LOST, Outcome.OVERDUE, Outcome.LOCAL
# Names of their own: to look a member up costs a call each time, and every probe asks for several.


class Exchange:
    """``carriers`` send and hear; ``diagnosis`` looks closer at legs in trouble. Times in seconds, monotonic."""

    def __init__(self, on_outcome: Callable[[Probed], None], findings: Findings, wired: Wired | None) -> None:
        """``wired`` makes a wire of a raw socket (None: the best)."""
        self._on_outcome = on_outcome
        self._boundary = Boundary("probes")
        # Nobody answers a probe that he has not received: what is in it cannot be known before.
        self._draw = random.SystemRandom().getrandbits
        self._ledger: Ledger[Leg] = Ledger(lambda flight: flight.owner.settled(flight))
        devices = Devices()
        self.carriers = Carriers(self._ledger.find, devices, wired)
        self.diagnosis = Diagnosis(self.carriers, devices, findings)
        self._queues: dict[PathId, float] = {}
        self._egresses: dict[str, Egress] = {}  # by device
        self._clock = ClockWatch(0.0, 0.0)

    @property
    def waiting(self) -> bool:
        """Whether any answer is awaited."""
        return bool(self._ledger.waiting)

    def start(self, now: float) -> None:
        """Watch the clock from now on."""
        self._clock = ClockWatch(now, realtime_offset())
        self.diagnosis.open()

    def close(self) -> None:
        """Close all carriers. Nothing more is told of probes under way."""
        self.diagnosis.close()
        self.carriers.close()

    def keep(self, legs: AbstractSet[Leg]) -> None:
        """Only these legs are still probed: nothing more is told of what was sent for others."""
        self._ledger.close(lambda flight: flight.owner not in legs)
        self.diagnosis.forget(legs)
        paths = {leg.settings.path for leg in legs}
        self._queues = {path: wait for path, wait in self._queues.items() if path in paths}
        devices = {leg.settings.device for leg in legs}
        self._egresses = {device: egress for device, egress in self._egresses.items() if device in devices}

    def forget(self, leg: Leg) -> None:
        """Nothing more is told of what was sent for this leg, whose target is another from now on."""
        leg.limit, leg.answered_at = None, -math.inf
        self._ledger.close(lambda flight: flight.owner is leg)

    def local_queue(self, path: PathId) -> float:
        """How long this path's probes wait in this machine's own queues, smoothed, in seconds."""
        return self._queues.get(path, 0.0)

    def hear(self, planned: float, now: float) -> None:
        """Read all that came and judge what did not; ``planned`` is when this tick was due."""
        stepped = self._clock.stepped(now, realtime_offset())
        if stepped:
            self._close(Outcome.VOID, lambda _: True)
        for carrier in self.carriers:
            with self._boundary:
                self._read(carrier)
        if now - planned > _STALL and not stepped:
            self._close(Outcome.VOID, lambda _: True)
        # As of the time this tick was due: what ran out of patience while nobody read has one more tick to come.
        for flight, outcome in self._ledger.judge(planned):
            self._judged(flight, outcome, now)

    def send(self, legs: Iterable[Leg]) -> None:
        """Send one probe of each."""
        now, wall_ns = time.monotonic(), time.time_ns()
        for leg in legs:
            number = self._draw(_NUMBER_BITS)
            while self._ledger.find(number) is not None:
                number = self._draw(_NUMBER_BITS)
            egress = self._egresses.get(leg.settings.device)
            if egress is None:
                egress = self._egresses[leg.settings.device] = Egress()
            patience, timeout = leg.patience, leg.settings.timeout
            if leg.poll is not None:
                patience = leg.poll.patience(leg.place, patience, timeout)
            flight = Flight(number, leg, 0, now, wall_ns, patience, timeout, egress)
            with self._boundary:
                if self.diagnosis.answers_itself(leg, now):
                    self._tell(flight, LOCAL)
                else:
                    leg.ask(flight)
        for carrier in self.carriers:
            with self._boundary:
                self._send(carrier, now)

    def _send(self, carrier: Carrier, now: float) -> None:
        for flight, error in carrier.send():
            if not error:
                self._ledger.sent(flight)
                if flight.owner.refused_at > -math.inf:
                    self.diagnosis.accepted(flight.owner, now)
            elif flight.owner.checks is None:
                self.diagnosis.refused(flight.owner, error, now)
                self._tell(flight, LOCAL)

    def _read(self, carrier: Carrier) -> None:
        carrier.departures()
        for heard in carrier.heard():
            if isinstance(heard, Answer):
                self._answered(heard.flight, heard.rtt)
                if heard.claimed or heard.flight.owner.claims:
                    self.diagnosis.claimed(heard.flight.owner, heard.rtt, heard.claimed)
            elif isinstance(heard, Stray):
                self.diagnosis.strayed(heard.flight.owner, heard.address)
            elif isinstance(heard, Wrong):
                self.diagnosis.wrong(heard.flight.owner, heard.finding, heard.words)
            elif self._ledger.erred(heard.flight):
                self._tell(heard.flight, Outcome.ERROR)
        if carrier.overflowed:
            self._close(LOCAL, lambda flight: flight.owner.carrier is carrier)

    def _answered(self, flight: Flight[Leg], rtt: float) -> None:
        outcome = self._ledger.answered(flight)
        if outcome is REPLY or outcome is LATE:
            leg = flight.owner
            if flight.queued_ns and flight.left_ns:
                self._observe_queue(leg, (flight.left_ns - flight.queued_ns) / 1e9)
            leg.answered_at = flight.sent_at
            if leg.losses or leg.limit or leg.checks or leg.wrong:
                self.diagnosis.answered(leg, flight.sent_at)
            self._tell(flight, outcome, rtt)
        elif outcome:
            self._tell(flight, outcome)

    def _observe_queue(self, leg: Leg, wait: float) -> None:
        path = leg.settings.path
        before = self._queues.get(path, wait)
        self._queues[path] = before + (wait - before) * _QUEUE_WEIGHT

    def _judged(self, flight: Flight[Leg], outcome: Outcome, now: float) -> None:
        leg = flight.owner
        if outcome is OVERDUE and (error := self.diagnosis.unroutable(leg, now)):
            self._ledger.unsent(flight)
            self.diagnosis.refused(leg, error, now)
            outcome = LOCAL
        elif outcome is LOCAL:
            self._observe_queue(leg, flight.timeout)
            self.diagnosis.stuck(leg, now)
        elif outcome is LOST and self.diagnosis.lost(leg, flight.sent_at):
            leg.renew()
        self._tell(flight, outcome)

    def _close(self, outcome: Outcome, concerned: Callable[[Flight[Leg]], bool]) -> None:
        for flight in self._ledger.close(concerned):
            self._tell(flight, outcome)

    def _tell(self, flight: Flight[Leg], outcome: Outcome, rtt: float = 0.0) -> None:
        leg = flight.owner
        if leg.checks is not None:
            return
        told = Probed(leg.settings.path, outcome, flight.sent_at, rtt, leg.core)
        if leg.poll is None:
            self._on_outcome(told)
            return
        for one in leg.poll.told(leg.place, told):
            self._on_outcome(one)
        if outcome is OVERDUE or outcome is REPLY:
            self.diagnosis.polled(leg)
