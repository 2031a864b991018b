"""The probing stage's shell: sockets, one timer, and the three pure parts that say what is due.

Each tick looks at the clock, reads all that came, judges what did not come, sends what is due, and sets the
timer for the next. Nothing is read between ticks: the kernel's stamps do not age.
"""

import asyncio
import math
import os
import random
import time
from collections.abc import Callable

from steerd.config.settings import ProbePath, ProbeSettings
from steerd.core.model import Cadence, Outcome, Probed
from steerd.core.settings import PathId
from steerd.probe.clock import ClockWatch, realtime_offset
from steerd.probe.icmp import Arrival, EchoSocket
from steerd.probe.ledger import Flight, Ledger
from steerd.probe.leg import SILENT, Leg
from steerd.probe.packet import IDENTIFIER_MASK, TAG_SIZE, Echo, Quote
from steerd.probe.schedule import GRAIN, Schedule, phase

_TICK = 0.05  # seconds, at most: it is wake-ups that cost, more than probes
_TICKS_PER_PERIOD = 10  # at least, as far as the grid is fine enough
_ROUNDING = 1e-6
_STALL = 0.5  # seconds: a tick later than this says that the whole machine may have stood still
_QUEUE_WEIGHT = 1 / 8
_NUMBERS = 1 << 32
_SEQUENCES = 1 << 16

METHOD = "icmp"


class ProbeError(Exception):
    """Probing can not start, or can not take these settings. The message is one line for the operator."""


class Prober:
    """Probes every path at the cadence asked for and tells each outcome once.

    ``skipped`` counts the slots not probed after stalls. ``lag`` is called at each tick with how late it ran, in
    seconds: assign what observes it.
    """

    def __init__(self, settings: ProbeSettings, *, on_outcome: Callable[[Probed], None], seed: int) -> None:
        """``seed`` spreads gateways apart in phase. Raises `ProbeError` for settings that can not be probed."""
        _check(settings)
        self.lag: Callable[[float], None] = _unobserved
        self._settings = settings
        self._on_outcome = on_outcome
        self._seed = seed
        self._tag = os.urandom(TAG_SIZE)
        draw = random.Random(os.urandom(8))  # noqa: S311 -- told apart from other pings; the cookie is the secret
        self._identifiers = draw.getrandbits(16) & IDENTIFIER_MASK
        self._rotation = draw.getrandbits(16)
        self._number = draw.getrandbits(32)
        self._sockets: dict[int, EchoSocket] = {}
        self._legs: dict[PathId, list[Leg]] = {}
        self._schedule: Schedule[Leg] = Schedule()
        self._ledger: Ledger[Leg] = Ledger()
        self._queues: dict[PathId, float] = {}
        self._clock = ClockWatch(0.0, 0.0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = math.inf

    @property
    def skipped(self) -> int:
        return self._schedule.skipped

    def open(self) -> None:
        """Open the sockets, so that what is missing is known before anything else is done. Raises `ProbeError`."""
        self._open(self._settings)

    def start(self) -> None:
        """Open the sockets and probe from the running loop. Raises `ProbeError`."""
        self._loop = asyncio.get_running_loop()
        self._clock = ClockWatch(time.monotonic(), realtime_offset())
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
        for echo in self._sockets.values():
            echo.close()
        self._sockets.clear()

    def configure(self, settings: ProbeSettings) -> None:
        """Probe these paths from now on; those that were probed before keep their phase, and their cadence
        unless its setting changed. Raises `ProbeError` and changes nothing."""
        _check(settings)
        if self._loop is not None:
            self._open(settings)
            self._replace_legs(settings)
        self._settings = settings
        self._arm(time.monotonic())

    def cadence(self, wanted: Cadence) -> None:
        """Follow the engine: from the next tick on if that is sooner than what was planned."""
        now = time.monotonic()
        for leg in self._legs.get(wanted.path, ()):
            leg.patience = wanted.patience
            self._schedule.every(leg, wanted.every, now)
        self._arm(now)

    def local_queue(self, path: PathId) -> float:
        """How long this path's probes wait in this machine's own queues, smoothed, in seconds."""
        return self._queues.get(path, 0.0)

    def _open(self, settings: ProbeSettings) -> None:
        for family in sorted({target.family for path in settings.paths for target in path.targets}):
            if family in self._sockets:
                continue
            try:
                self._sockets[family] = EchoSocket(family, self._identifiers, self._tag)
            except PermissionError:
                raise ProbeError("cannot open a raw ICMP socket: CAP_NET_RAW is needed") from None
            except OSError as error:
                raise ProbeError(f"cannot open a raw ICMP socket for IPv{family}: {error.strerror}") from None

    def _replace_legs(self, settings: ProbeSettings) -> None:
        now = time.monotonic()
        before = self._legs
        self._legs = {}
        kept: set[Leg] = set()
        for path in settings.paths:
            old = before.get(path.path, [])
            if old and _route(old[0].settings) == _route(path):
                legs = old
                kept.update(old)
            else:
                legs = [self._new_leg(path, index) for index in range(len(path.targets))]
            for leg in legs:
                if leg not in kept or leg.settings.interval != path.interval:
                    self._schedule.every(leg, path.interval, now)
                leg.settings = path
            self._legs[path.path] = legs
        for leg in (leg for legs in before.values() for leg in legs if leg not in kept):
            self._schedule.remove(leg)
        self._ledger.close(lambda flight: flight.owner not in kept)
        self._queues = {path: wait for path, wait in self._queues.items() if path in self._legs}

    def _new_leg(self, path: ProbePath, index: int) -> Leg:
        leg = Leg(path, index, self._sockets[path.targets[index].family], self._tag, self._next_identifier())
        self._schedule.add(leg, phase(f"{path.path}#{index}", self._seed))
        return leg

    def _next_identifier(self) -> int:
        self._rotation += 1
        return self._identifiers | (self._rotation & ~IDENTIFIER_MASK)

    def _arm(self, now: float) -> None:
        """One timer for everything: tick by tick while answers are awaited, else when the next probe is due."""
        if self._loop is None:
            return
        grains = math.floor(min(_TICK, self._schedule.shortest / _TICKS_PER_PERIOD) / GRAIN + _ROUNDING)
        tick = GRAIN * max(1, grains)
        at = now if self._ledger.waiting else self._schedule.next_at()
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
        for echo in tuple(self._sockets.values()):
            self._read(echo)
        if now - planned > _STALL and not stepped:
            self._close(Outcome.VOID, lambda _: True)
        # As of the time this tick was meant for: what ran out of patience while nobody was there to read has
        # one more tick to come.
        for flight, outcome in self._ledger.judge(planned):
            if outcome is Outcome.LOST:
                flight.owner.losses += 1
                if flight.owner.losses == SILENT:
                    flight.owner.use(self._next_identifier())
            self._tell(flight, outcome)
        for leg in self._schedule.take(now):
            self._send(leg)

    def _send(self, leg: Leg) -> None:
        self._number = (self._number + 1) % _NUMBERS
        now = time.monotonic()
        flight = Flight(self._number, leg, leg.identifier, now, time.time_ns(), now + leg.settings.timeout)
        if leg.send(self._number, now):
            self._tell(flight, Outcome.LOCAL)
        else:
            self._ledger.sent(flight, leg.patience)

    def _read(self, echo: EchoSocket) -> None:
        for stamp in echo.stamps():
            flight = self._ledger.find(stamp.number)
            if flight is None:
                continue
            if stamp.queued:
                flight.queued_ns = flight.queued_ns or stamp.at_ns
            else:
                flight.left_ns = stamp.at_ns
                self._observe_queue(flight)
        for arrival in echo.arrivals():
            self._arrived(arrival)
        if echo.overflowed:
            self._close(Outcome.LOCAL, lambda flight: flight.owner.family == echo.family)

    def _observe_queue(self, flight: Flight[Leg]) -> None:
        if flight.queued_ns:
            wait = max(0, flight.left_ns - flight.queued_ns) / 1e9
            before = self._queues.get(flight.owner.settings.path, wait)
            self._queues[flight.owner.settings.path] = before + (wait - before) * _QUEUE_WEIGHT

    def _arrived(self, arrival: Arrival) -> None:
        message = arrival.message
        if isinstance(message, Echo):
            number = message.number
        else:
            # An error quotes no more than the sequence, the lower half of the number: the latest such probe.
            number = (self._number - (self._number - message.sequence) % _SEQUENCES) % _NUMBERS
        flight = self._ledger.find(number)
        if flight is None or flight.identifier != message.identifier:
            return
        if isinstance(message, Quote):
            if message.target == flight.owner.packed and self._ledger.erred(flight):
                self._tell(flight, Outcome.ERROR)
            return
        if not flight.owner.sent(message.cookie, arrival.source):
            return
        outcome = self._ledger.answered(flight)
        if outcome in (Outcome.REPLY, Outcome.LATE):
            flight.owner.losses = 0
            left_ns = flight.left_ns or flight.queued_ns or flight.wall_ns
            self._tell(flight, outcome, max(0, (arrival.at_ns or time.time_ns()) - left_ns) / 1e9)
        elif outcome:
            self._tell(flight, outcome)

    def _close(self, outcome: Outcome, concerned: Callable[[Flight[Leg]], bool]) -> None:
        for flight in self._ledger.close(concerned):
            self._tell(flight, outcome)

    def _tell(self, flight: Flight[Leg], outcome: Outcome, rtt: float = 0.0) -> None:
        leg = flight.owner
        self._on_outcome(Probed(leg.settings.path, outcome, flight.sent_at, rtt, leg.index))


def _unobserved(_: float) -> None:
    pass


def _check(settings: ProbeSettings) -> None:
    for path in settings.paths:
        if path.method != METHOD:
            raise ProbeError(f"path {path.path}: probing by {path.method} is not available; method can be {METHOD}")


def _route(path: ProbePath) -> tuple[object, ...]:
    """What makes another path of a path: with any of it changed, no probe under way says anything of it."""
    return path.device, path.mark, path.targets
