"""The probing stage's shell: carriers, one timer, and the pure parts that say what is due and what became of it.

Each tick looks at the clock, reads all that came, judges what did not come, sends what is due, and sets the
timer for the next. Nothing is read between ticks: the kernel's stamps do not age.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from steerd.config.settings import ProbeSettings
from steerd.core.effects import Cadence
from steerd.core.events import Outcome, PathMtu, Probed
from steerd.core.settings import PathId
from steerd.core.views import ProbingView
from steerd.net.devices import Devices
from steerd.probe.carrier import Answer, Carrier, Leg
from steerd.probe.error import ProbeError
from steerd.probe.findings import Findings
from steerd.probe.methods.carriers import Carriers
from steerd.probe.methods.icmp import Wired
from steerd.probe.mtu.watch import MtuProber
from steerd.probe.outcomes.ledger import Flight, Ledger, Way
from steerd.probe.pace import Pace
from steerd.probe.roster import Roster
from steerd.probe.timing.schedule import GRAIN
from steerd.probe.trouble.diagnosis import Diagnosis
from steerd.probe.wire.clock import ClockWatch, realtime_offset

__all__ = ["ProbeError", "Prober"]

_log = logging.getLogger("steerd.probe")

_TICK: Final = 0.05  # seconds, at most: it is wake-ups that cost, more than probes
_TICKS_PER_PERIOD: Final = 10  # at least, as far as the grid is fine enough
_ROUNDING: Final = 1e-6
_STALL: Final = 0.5  # seconds: a tick later than this says that the whole machine may have stood still
_QUEUE_WEIGHT: Final = 1 / 8
_NUMBERS: Final = 1 << 32

REPLY, LATE, LOST, OVERDUE, LOCAL = Outcome.REPLY, Outcome.LATE, Outcome.LOST, Outcome.OVERDUE, Outcome.LOCAL
# Names of their own: to look a member up costs a call each time, and every probe asks for several.


class Prober:
    """Probes every path at the cadence asked for and tells each outcome once.

    ``skipped`` counts the slots not probed after stalls. ``lag`` is called at each tick with how late it ran, in
    seconds: assign what observes it.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        *,
        on_outcome: Callable[[Probed], None],
        seed: int,
        addresses: Mapping[tuple[str, int], str] | None = None,
        wired: Wired | None = None,
    ) -> None:
        """``seed`` spreads gateways apart in phase; ``addresses`` are those that `addresses` told in an earlier run;
        ``wired`` makes a wire of a raw socket (None: the best)."""
        self.lag: Callable[[float], None] = _unobserved
        self.findings = Findings()
        self._settings = settings
        self._on_outcome = on_outcome
        self._number = random.SystemRandom().getrandbits(32)
        self._pace: Pace = Pace(seed, self.findings)
        self._ledger: Ledger[Leg] = Ledger(self._settled)
        devices = Devices()
        self._carriers = Carriers(self._ledger.find, devices, wired)
        self._roster = Roster(self._carriers, self._pace, self.findings, self._forget, addresses)
        self._diagnosis = Diagnosis(self._carriers, devices, self.findings)
        self._mtu = MtuProber(seed, self._pace)
        self._queues: dict[PathId, float] = {}
        self._ways: dict[str, Way] = {}  # by device
        self._clock = ClockWatch(0.0, 0.0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = math.inf

    @property
    def on_mtu(self) -> Callable[[PathMtu], None]:
        """Called when it was found that another size of packets gets through a path: assign what is to know it."""
        return self._mtu.on_mtu

    @on_mtu.setter
    def on_mtu(self, told: Callable[[PathMtu], None]) -> None:
        self._mtu.on_mtu = told

    @property
    def skipped(self) -> int:
        return self._pace.skipped

    def open(self) -> None:
        """Open the sockets, so that what is missing is known before anything else is done. Raises `ProbeError`."""
        self._carriers.open(self._settings)

    def start(self) -> None:
        """Open the sockets and probe from the running loop. Raises `ProbeError`."""
        self._loop = asyncio.get_running_loop()
        self._clock = ClockWatch(time.monotonic(), realtime_offset())
        self._roster.names.start(self._loop)
        self._mtu.start(self._loop)
        try:
            self.configure(self._settings)
        except ProbeError:
            self.close()
            raise

    def close(self) -> None:
        """Stop probing. What is under way is not heard of again."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._loop = None
        self._roster.names.stop()
        self._mtu.close()
        self._diagnosis.close()
        self._carriers.close()

    def configure(self, settings: ProbeSettings) -> None:
        """Probe these paths from now on; those that were probed before keep their phase, and their cadence
        unless its setting changed. Raises `ProbeError` and changes nothing."""
        if self._loop is not None:
            self._carriers.open(settings)
            self._mtu.open(settings)
            self._roster.configure(settings, time.monotonic())
            kept = set(self._roster)
            self._mtu.configure(settings, self._roster)
            self._ledger.close(lambda flight: flight.owner not in kept)
            self._diagnosis.forget(kept)
            paths = {path.path for path in settings.paths}
            self._queues = {path: wait for path, wait in self._queues.items() if path in paths}
            devices = {path.device for path in settings.paths}
            self._ways = {device: way for device, way in self._ways.items() if device in devices}
        self._settings = settings
        self._arm(time.monotonic())

    def cadence(self, wanted: Cadence) -> None:
        """Follow the engine: from the next tick on if that is sooner than what was planned."""
        now = time.monotonic()
        for leg in self._roster.of(wanted.path):
            leg.patience = wanted.patience
            self._pace.every(leg, wanted.every, now)
        self._arm(now)

    def renew(self, path: PathId) -> None:
        """The way of this path's packets changed: what a NAT on it knew of the old identifier is void."""
        legs = self._roster.of(path)
        for leg in legs:
            leg.carrier.renew(leg)
        self._mtu.renew(legs)

    def local_queue(self, path: PathId) -> float:
        """How long this path's probes wait in this machine's own queues, smoothed, in seconds."""
        return self._queues.get(path, 0.0)

    def addresses(self) -> Mapping[tuple[str, int], str]:
        """Those of the targets that are names, by name and family: worth keeping for when DNS is down."""
        return self._roster.names.known()

    def report(self, path: PathId) -> ProbingView | None:
        """How this path is probed now, and what is to be known of it; None: it is not."""
        legs = self._roster.of(path)
        if not legs:
            return None
        periods = [period for leg in legs if (period := self._pace.period(leg)) is not None]
        return ProbingView(
            method=legs[0].settings.method,
            targets=tuple(leg.address or leg.target.name or "" for leg in legs),
            every=min(periods, default=None),
            local_queue=self.local_queue(path),
            findings=self.findings.of(path),
            directions=tuple(leg.carrier.directions(leg) for leg in legs),
            names=self._roster.said_of_names(path),
        )

    # The tick

    def _arm(self, now: float) -> None:
        """One timer for everything: tick by tick while answers are awaited, else when the next probe is due."""
        if self._loop is None:
            return
        grains = math.floor(min(_TICK, self._pace.shortest / _TICKS_PER_PERIOD) / GRAIN + _ROUNDING)
        tick = GRAIN * max(1, grains)
        at = now if self._ledger.waiting else self._pace.next_at()
        if at < math.inf:
            at = tick * max(math.ceil(at / tick - _ROUNDING), math.floor(now / tick + _ROUNDING) + 1)
        if self._timer and at == self._armed:
            return
        if self._timer:
            self._timer.cancel()
        self._armed = at
        self._timer = self._loop.call_at(at, self._run) if at < math.inf else None

    def _run(self) -> None:
        planned = self._armed
        self._timer = None
        try:
            self._tick(planned, time.monotonic())
        finally:
            self._arm(time.monotonic())

    def _tick(self, planned: float, now: float) -> None:
        self.lag(max(0.0, now - planned))
        stepped = self._clock.stepped(now, realtime_offset())
        if stepped:
            self._close(Outcome.VOID, lambda _: True)
        for carrier in self._carriers:
            self._read(carrier)
        if now - planned > _STALL and not stepped:
            self._close(Outcome.VOID, lambda _: True)
        # As of the time this tick was meant for: what ran out of patience while nobody was there to read has
        # one more tick to come.
        for flight, outcome in self._ledger.judge(planned):
            self._judged(flight, outcome, now)
        due = self._pace.take(now)
        if due:
            self._send([*due, *self._diagnosis.checks()])

    def _send(self, legs: Iterable[Leg]) -> None:
        now, wall_ns = time.monotonic(), time.time_ns()
        batches: dict[Carrier, list[Flight[Leg]]] = {}
        for leg in legs:
            self._number = number = (self._number + 1) % _NUMBERS
            way = self._ways.get(leg.settings.device)
            if way is None:
                way = self._ways[leg.settings.device] = Way()
            flight = Flight(number, leg, 0, now, wall_ns, leg.patience, leg.settings.timeout, way)
            batches.setdefault(leg.carrier, []).append(flight)
        for carrier, flights in batches.items():
            for flight, error in zip(flights, carrier.send(flights), strict=True):
                if not error:
                    self._ledger.sent(flight)
                    if flight.owner.refused_at > -math.inf:
                        self._diagnosis.accepted(flight.owner, now)
                elif flight.owner.checks is None:
                    self._diagnosis.refused(flight.owner, error, now)
                    self._tell(flight, LOCAL)

    def _read(self, carrier: Carrier) -> None:
        carrier.departures()
        for heard in carrier.heard():
            if isinstance(heard, Answer):
                self._answered(heard.flight, heard.rtt)
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
            if leg.losses or leg.limit or leg.checks:
                self._diagnosis.answered(leg, flight.sent_at)
            self._tell(flight, outcome, rtt)
        elif outcome:
            self._tell(flight, outcome)

    def _observe_queue(self, leg: Leg, wait: float) -> None:
        path = leg.settings.path
        before = self._queues.get(path, wait)
        self._queues[path] = before + (wait - before) * _QUEUE_WEIGHT

    def _judged(self, flight: Flight[Leg], outcome: Outcome, now: float) -> None:
        leg = flight.owner
        if outcome is OVERDUE and (error := self._diagnosis.unroutable(leg, now)):
            self._ledger.unsent(flight)
            self._diagnosis.refused(leg, error, now)
            outcome = LOCAL
        elif outcome is LOCAL:
            self._observe_queue(leg, flight.timeout)
            self._diagnosis.stuck(leg, now)
        elif outcome is LOST and self._diagnosis.lost(leg, flight.sent_at):
            leg.carrier.renew(leg)
        self._tell(flight, outcome)

    def _settled(self, flight: Flight[Leg]) -> None:
        flight.owner.carrier.settled(flight)

    def _forget(self, leg: Leg) -> None:
        self._ledger.close(lambda flight: flight.owner is leg)
        self._mtu.renew([leg])

    def _close(self, outcome: Outcome, concerned: Callable[[Flight[Leg]], bool]) -> None:
        for flight in self._ledger.close(concerned):
            self._tell(flight, outcome)

    def _tell(self, flight: Flight[Leg], outcome: Outcome, rtt: float = 0.0) -> None:
        leg = flight.owner
        if leg.checks is None:
            self._on_outcome(Probed(leg.settings.path, outcome, flight.sent_at, rtt, leg.index))


def _unobserved(_: float) -> None:
    pass
