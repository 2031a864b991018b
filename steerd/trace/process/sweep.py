"""The hops to a target: probes whose time to live ends at each router in turn, and who answers them."""

import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from steerd.trace.result import Hop

HOPS: Final = 30
PROBES: Final = 3
SILENT: Final = 5
"""Hops in a row without an answer that end the walk."""
AT_ONCE: Final = 8
"""Hops that are probed at once: most walks end among the first ones."""
PATIENCE: Final = 1.0
"""Seconds to wait for answers; later ones still count until the walk ends."""
GAP: Final = 0.05
"""Seconds between two probes of a hop, as routers limit their answers."""


class Answer(NamedTuple):
    """``number`` is that of the probe, None when the answer does not tell; ``at`` on CLOCK_REALTIME, in seconds;
    ``error`` as in `Hop`; ``target``: it comes from the target itself."""

    number: int | None
    source: str
    at: float
    error: str | None = None
    mtu: int = 0
    target: bool = False


class Method(Protocol):
    """Sends probes to one target. ``one_at_a_time``: the target confuses two probes on their way together."""

    one_at_a_time: bool

    def send(self, number: int, ttl: int) -> float:
        """Send probe ``number``. Returns when, CLOCK_REALTIME in seconds. OSError: this machine refused it."""

    def heard(self, seconds: float) -> Iterable[Answer]:
        """The answers, as soon as there are some, within ``seconds``."""

    def close(self) -> None:
        """Close all sockets."""


class Sweep:
    """One walk. ``reached``: the target answered."""

    def __init__(self, method: Method) -> None:
        self.reached = False
        self._method = method
        self._sent: dict[int, float] = {}
        self._answers: dict[int, Answer] = {}

    def run(self) -> tuple[Hop, ...]:
        """The hops, up to the last that is worth telling. OSError: this machine refuses to send at all."""
        for first in range(1, HOPS + 1, AT_ONCE):
            before = {answer.source for answer in self._answers.values()}
            self._ask(range(first, min(first + AT_ONCE, HOPS + 1)))
            silent = _furthest(self._sent) - _furthest(self._answers)
            if self._end() is not None or self.reached or silent >= SILENT or self._circles(first, before):
                break
        hops = [self._hop(ttl) for ttl in range(1, self._last() + 1)]
        return tuple(hops[: self._end()])

    def _ask(self, ttls: Sequence[int]) -> None:
        for attempt in range(PROBES):
            wanted = [ttl for ttl in ttls if ttl <= (self._end() or HOPS)]
            for ttl in wanted:
                number = ttl + HOPS * attempt
                try:
                    self._sent[number] = self._method.send(number, ttl)
                except OSError:
                    if not self._sent:
                        raise
            # Where the target would take the second probe for part of the first, the first must be over, unless the
            # target is not among these hops.
            slow = self._method.one_at_a_time and (attempt == 0 or self._end() is not None)
            self._listen(PATIENCE if slow or attempt == PROBES - 1 else GAP, wanted, attempt, early=slow)

    def _listen(self, seconds: float, ttls: Sequence[int], attempt: int, *, early: bool) -> None:
        """Until the time is over; all that matters was answered; or, ``early``, the target answered this attempt."""
        until = time.monotonic() + seconds
        last = attempt == PROBES - 1
        while (left := until - time.monotonic()) > 0:
            end = self._end() or HOPS
            waiting = [ttl for ttl in ttls if ttl <= end and not self._answered(ttl, attempt, every=last)]
            if not waiting and (last or early):
                return
            if early and not last and end != HOPS and self._answered(end, attempt, every=False):
                return
            for answer in self._method.heard(left):
                self._take(answer)

    def _answered(self, ttl: int, attempt: int, *, every: bool) -> bool:
        attempts = range(PROBES) if every else (attempt,)
        numbers = [ttl + HOPS * one for one in attempts]
        return all(number in self._answers for number in numbers if number in self._sent)

    def _take(self, answer: Answer) -> None:
        if answer.number in self._sent and answer.number is not None:
            self._answers.setdefault(answer.number, answer)
            self.reached = self.reached or answer.target
        elif answer.number is None:
            self.reached = True

    def _last(self) -> int:
        """The last hop to tell: at most `SILENT` silent ones behind the last answer."""
        return min(_furthest(self._sent), _furthest(self._answers) + SILENT)

    def _circles(self, first: int, before: set[str]) -> bool:
        """Whether only routers that answered before answered from this hop on."""
        return {answer.source for number, answer in self._answers.items() if _ttl(number) >= first} <= before

    def _end(self) -> int | None:
        """The hop at which the walk ends: the target's, or the first error behind which nobody answered otherwise."""
        targets = [_ttl(number) for number, answer in self._answers.items() if answer.target]
        if targets:
            return min(targets)
        errors = [_ttl(number) for number, answer in self._answers.items() if answer.error is not None]
        beyond = max((_ttl(number) for number, answer in self._answers.items() if answer.error is None), default=0)
        return min((ttl for ttl in errors if ttl > beyond), default=None)

    def _hop(self, ttl: int) -> Hop:
        numbers = [number for number in self._sent if _ttl(number) == ttl]
        found = [(self._answers[number], self._sent[number]) for number in numbers if number in self._answers]
        answers = sorted((answer for answer, _ in found), key=lambda answer: answer.at)
        times = [max(0.0, one.at - sent) * 1000 for one, sent in found if one.error is None or one.target]
        return Hop(
            hop=ttl,
            sent=len(numbers),
            answered=len(answers),
            addresses=tuple(dict.fromkeys(answer.source for answer in answers)),
            best_ms=round(min(times), 3) if times else None,
            mean_ms=round(sum(times) / len(times), 3) if times else None,
            error=next((answer.error for answer in answers if answer.error is not None), None),
            target=any(answer.target for answer in answers),
        )


def _furthest(numbers: Iterable[int]) -> int:
    return max(map(_ttl, numbers), default=0)


def _ttl(number: int) -> int:
    return (number - 1) % HOPS + 1
