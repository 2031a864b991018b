"""What became of every probe sent: the outcomes, told apart. Pure: the time is an argument.

A probe waits; unanswered after its patience it is OVERDUE, after its timeout LOST. An answer before that is
a REPLY, after it LATE, and every further one a DUPLICATE. A probe that is void is never heard of again.
"""

from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Generic, TypeVar

from steerd.core.model import Outcome
from steerd.probe.schedule import GRAIN
from steerd.probe.wheel import Wheel

Owner = TypeVar("Owner")

LINGER = 5.0
"""Seconds for which a probe is remembered after its timeout, so that a late answer corrects its loss."""

CAPACITY = 65_536
"""Probes remembered at most: as many as there are ICMP sequence numbers."""


class State(Enum):
    WAITING = "waiting"
    OVERDUE = "overdue"
    LOST = "lost"
    ANSWERED = "answered"
    CLOSED = "closed"


_ANSWERED = {
    State.WAITING: Outcome.REPLY,
    State.OVERDUE: Outcome.REPLY,
    State.LOST: Outcome.LATE,
    State.ANSWERED: Outcome.DUPLICATE,
}

_OPEN = frozenset({State.WAITING, State.OVERDUE})


class Flight(Generic[Owner]):
    """One probe. Times on the loop's clock in seconds, but ``queued_ns`` and ``left_ns`` are the kernel's
    CLOCK_REALTIME stamps of its entry into our own queue and of its departure (0: not known)."""

    __slots__ = (
        "erred",
        "identifier",
        "left_ns",
        "lost_at",
        "number",
        "owner",
        "queued_ns",
        "sent_at",
        "state",
        "wall_ns",
    )

    def __init__(
        self, number: int, owner: Owner, identifier: int, sent_at: float, wall_ns: int, lost_at: float
    ) -> None:
        self.number = number
        self.owner = owner
        self.identifier = identifier
        self.sent_at = sent_at
        self.wall_ns = wall_ns
        self.lost_at = lost_at
        self.queued_ns = 0
        self.left_ns = 0
        self.state = State.WAITING
        self.erred = False


class Ledger(Generic[Owner]):
    """The probes under way, and for some seconds those that are settled. ``waiting`` is how many may still be
    answered in time."""

    def __init__(self) -> None:
        self._flights: dict[int, Flight[Owner]] = {}
        self._oldest: deque[Flight[Owner]] = deque()
        self._wheel: Wheel[Flight[Owner]] = Wheel(GRAIN)
        self.waiting = 0

    def sent(self, flight: Flight[Owner], patience: float) -> None:
        self._flights[flight.number] = flight
        self._oldest.append(flight)
        self.waiting += 1
        self._wheel.put(flight, min(flight.sent_at + patience, flight.lost_at))

    def find(self, number: int) -> Flight[Owner] | None:
        return self._flights.get(number)

    def answered(self, flight: Flight[Owner]) -> Outcome | None:
        """What the answer to ``flight`` that just came is; None if it is void or its path is gone."""
        outcome = _ANSWERED.get(flight.state)
        if outcome is not None:
            self._settle(flight, State.ANSWERED)
        return outcome

    def erred(self, flight: Flight[Owner]) -> Outcome | None:
        """An ICMP error about ``flight``: a hint that settles nothing, told once a probe."""
        if flight.erred or flight.state in (State.ANSWERED, State.CLOSED):
            return None
        flight.erred = True
        return Outcome.ERROR

    def judge(self, now: float) -> Iterator[tuple[Flight[Owner], Outcome]]:
        """Settle what ran out of patience or time by ``now``."""
        for flight in self._wheel.take(now):
            if flight.state is State.WAITING:
                flight.state = State.OVERDUE
                yield flight, Outcome.OVERDUE
                if flight.lost_at > now:
                    self._wheel.put(flight, flight.lost_at)
                    continue
            if flight.state is State.OVERDUE:
                self._settle(flight, State.LOST)
                yield flight, Outcome.LOST
        self._forget(now)

    def close(self, concerned: Callable[[Flight[Owner]], bool]) -> list[Flight[Owner]]:
        """Never speak again of the probes concerned; returns those that were still open."""
        found = [flight for flight in self._flights.values() if concerned(flight)]
        opened = [flight for flight in found if flight.state in _OPEN]
        for flight in found:
            self._settle(flight, State.CLOSED)
        return opened

    def _settle(self, flight: Flight[Owner], state: State) -> None:
        if flight.state in _OPEN:
            self.waiting -= 1
        flight.state = state

    def _forget(self, now: float) -> None:
        oldest = self._oldest
        while oldest and (oldest[0].lost_at + LINGER <= now or len(oldest) > CAPACITY):
            flight = oldest.popleft()
            self._settle(flight, State.CLOSED)
            del self._flights[flight.number]
