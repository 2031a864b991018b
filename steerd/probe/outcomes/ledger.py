"""What became of every probe sent: the outcomes, told apart. Pure: the time is an argument.

A probe waits; unanswered after its patience it is OVERDUE, after its timeout LOST. An answer before that is a REPLY,
after it LATE, and every further one a DUPLICATE. Nothing more is told of a probe that is void.

Patience and timeout count from when the probe left this machine. One that waits in our own queue is not judged; one
that has not left it by its timeout is LOCAL. A probe that a tunnel swallows for lack of a session has left.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from steerd.core.events import Outcome
from steerd.probe.timing.schedule import GRAIN
from steerd.probe.timing.wheel import Wheel

Owner = TypeVar("Owner")
Owner_co = TypeVar("Owner_co", covariant=True)

LINGER: Final = 5.0
"""Seconds for which a probe is remembered after its timeout, so that a late answer corrects its loss."""

CAPACITY: Final = 131_072
"""Probes remembered at most: those of 6 s at 20,000 a second."""


class State(Enum):
    WAITING = "waiting"
    OVERDUE = "overdue"
    LOST = "lost"
    ANSWERED = "answered"
    CLOSED = "closed"


WAITING, OVERDUE, LOST, ANSWERED, CLOSED = State.WAITING, State.OVERDUE, State.LOST, State.ANSWERED, State.CLOSED
# Names of their own: to look a member up costs a call each time, and every probe asks for several.

_REPLY: Final = Outcome.REPLY
_ANSWERED = {WAITING: _REPLY, OVERDUE: _REPLY, LOST: Outcome.LATE, ANSWERED: Outcome.DUPLICATE}


@dataclass(slots=True)
class Egress:
    """How many queues of this machine the probes by one device pass on their way out: the device's own, and that of
    the uplink below a tunnel. Known (not 0) once a probe was seen to leave; some kernels do not tell."""

    queues: int = 0


@dataclass(slots=True, eq=False)
class Flight(Generic[Owner_co]):
    """One probe. Times on the loop's clock in seconds, but ``queued_ns`` and ``left_ns`` are the kernel's
    CLOCK_REALTIME stamps of its entry into our own queue and of its departure (0: not known), and ``wall_ns`` is that
    clock at ``sent_at``. ``entered`` counts the queues that it entered on its way out by ``egress``. ``identifier`` is
    the method's own. ``patience`` is at most ``timeout`` once the probe is sent."""

    number: int
    owner: Owner_co
    identifier: int
    sent_at: float
    wall_ns: int
    patience: float
    timeout: float
    egress: Egress
    queued_ns: int = 0
    left_ns: int = 0
    entered: int = 0
    state: State = WAITING
    erred: bool = False

    def queued(self, at_ns: int) -> None:
        """The kernel put it into a queue, CLOCK_REALTIME in ns."""
        self.entered += 1
        self.queued_ns = self.queued_ns or at_ns

    def left(self, at_ns: int) -> None:
        """The kernel handed it to the hardware, or to what stands for it, CLOCK_REALTIME in ns."""
        self.left_ns = at_ns
        self.egress.queues = self.entered

    @property
    def waited(self) -> float:
        """How long it took to leave this machine, in seconds."""
        return max(0.0, (self.left_ns - self.wall_ns) / 1e9) if self.left_ns else 0.0

    @property
    def queueing(self) -> bool:
        """Whether it waits in the last queue on its way out, as far as departures are seen."""
        return not self.left_ns and self.entered >= self.egress.queues > 0


class Ledger(Generic[Owner]):
    """The probes under way, and for some seconds those that are settled. ``waiting`` is how many may still be
    answered in time. ``settled`` is called with each probe that nothing more is awaited of."""

    def __init__(self, settled: Callable[[Flight[Owner]], None]) -> None:
        self._flights: dict[int, Flight[Owner]] = {}
        self._oldest: deque[Flight[Owner]] = deque()
        self._wheel: Wheel[Flight[Owner]] = Wheel(GRAIN)
        self._settled = settled
        self.waiting = 0
        self.find = self._flights.get

    def sent(self, flight: Flight[Owner]) -> None:
        """The kernel took this probe."""
        self._flights[flight.number] = flight
        self._oldest.append(flight)
        self.waiting += 1
        if flight.patience > flight.timeout:
            flight.patience = flight.timeout
        self._wheel.put(flight, flight.sent_at + flight.patience)

    def answered(self, flight: Flight[Owner]) -> Outcome | None:
        """What the answer to ``flight`` that just came is; None if it is void or its path is gone."""
        outcome = _ANSWERED.get(flight.state)
        if outcome is _REPLY:
            self.waiting -= 1
        if outcome:
            flight.state = ANSWERED
        return outcome

    def erred(self, flight: Flight[Owner]) -> Outcome | None:
        """An ICMP error about ``flight``: a hint that settles nothing, told once a probe."""
        if flight.erred or flight.state in (ANSWERED, CLOSED):
            return None
        flight.erred = True
        return Outcome.ERROR

    def judge(self, now: float) -> Iterator[tuple[Flight[Owner], Outcome]]:
        """Settle what ran out of patience or time by ``now``."""
        for flight in self._wheel.take(now):
            state = flight.state
            if state is WAITING:
                yield from self._doubt(flight, now)
            elif state is OVERDUE:
                self._lose(flight)
                yield flight, Outcome.LOST
        self._forget(now)

    def unsent(self, flight: Flight[Owner]) -> None:
        """``flight`` never left this machine, as it turned out."""
        if flight.state in (WAITING, OVERDUE):
            self.waiting -= 1
        flight.state = CLOSED
        self._settled(flight)

    def close(self, concerned: Callable[[Flight[Owner]], bool]) -> list[Flight[Owner]]:
        """Tell nothing more of the probes concerned; returns those that were still open."""
        found = [flight for flight in self._flights.values() if concerned(flight)]
        opened = [flight for flight in found if flight.state in (WAITING, OVERDUE)]
        for flight in found:
            self.unsent(flight)
        return opened

    def _doubt(self, flight: Flight[Owner], now: float) -> Iterator[tuple[Flight[Owner], Outcome]]:
        if flight.queueing:
            lost_at = flight.sent_at + flight.timeout
            if now < lost_at:
                self._wheel.put(flight, min(lost_at, now + flight.patience))
            else:
                self.unsent(flight)
                yield flight, Outcome.LOCAL
            return
        left_at = flight.sent_at + flight.waited
        overdue_at = left_at + flight.patience
        if overdue_at > now + GRAIN:
            self._wheel.put(flight, overdue_at)
            return
        flight.state = OVERDUE
        yield flight, Outcome.OVERDUE
        if flight.state is not OVERDUE:
            return  # whoever was told declared it unsent
        lost_at = left_at + flight.timeout
        if lost_at > now:
            self._wheel.put(flight, lost_at)
        else:
            self._lose(flight)
            yield flight, Outcome.LOST

    def _lose(self, flight: Flight[Owner]) -> None:
        self.waiting -= 1
        flight.state = LOST
        self._settled(flight)

    def _forget(self, now: float) -> None:
        oldest = self._oldest
        while oldest and (oldest[0].sent_at + oldest[0].timeout + LINGER <= now or len(oldest) > CAPACITY):
            flight = oldest.popleft()
            if flight.state in (WAITING, OVERDUE):
                self.waiting -= 1
                self._settled(flight)
            flight.state = CLOSED
            del self._flights[flight.number]
