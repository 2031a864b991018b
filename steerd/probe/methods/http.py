"""Probing by HTTP: a GET on each connection, and only the answer that was expected counts.

So a captive portal, which answers for everybody, is told from the Internet. The RTT is that of the handshake, as with
TCP: how long a server thinks is no part of the way. When the answer is overdue is learned apart from that: it takes two
round trips, and what the server needs. A connection that is refused, and any other answer, leave the probe unanswered.
"""

import re
import select
import time
from collections.abc import Iterable, Iterator
from typing import Final, Self

from steerd.config.probe_settings import HttpCheck, ProbePath
from steerd.probe.carrier import Answer, Find, Heard, Wrong
from steerd.probe.error import ProbeError
from steerd.probe.methods.attempts import Attempt, AttemptLeg
from steerd.probe.methods.tcp import TcpCarrier
from steerd.probe.outcomes.ledger import Flight
from steerd.probe.outcomes.usual import Usual
from steerd.text.lines import printable

MOST: Final = 4096
"""Bytes of an answer that are looked at."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LOCATION: Final = re.compile(rb"\r\nlocation:[ \t]*([^\r\n]*)", re.IGNORECASE)
_SHOWN: Final = 80


def request(check: HttpCheck) -> bytes:
    """What is sent."""
    lines = (f"GET {check.path} HTTP/1.1", f"Host: {check.host}", "User-Agent: steerd", "Connection: close", "", "")
    return "\r\n".join(lines).encode()


def judged(answer: bytes, check: HttpCheck, *, ended: bool) -> str | None:
    """What is wrong with an answer, in words; empty: nothing; None: more has to come, unless it has ``ended``."""
    status = _STATUS.match(answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    whole = ended or len(answer) >= MOST
    if ended and not answer:
        return "closed the connection without an answer"
    if not status:
        return "answered what is no HTTP" if whole or not b"HTTP/1.".startswith(answer[:7]) else None
    if int(status[1]) != check.status:
        if len(head) == len(answer) and not whole:
            return None
        to = _LOCATION.search(head + b"\r\n")
        where = f" (to {printable(to[1].decode(errors='replace'))[:_SHOWN]})" if to else ""
        return f"answered {int(status[1])}{where}, not {check.status}"
    if check.body and check.body not in body:
        return f"answered {check.status} with another body than is expected" if whole else None
    return ""


class HttpLeg(AttemptLeg):
    """A leg that knows what whole answers ``usual``ly take."""

    __slots__ = ("usual",)

    def __init__(self, settings: ProbePath, index: int, carrier: "HttpCarrier") -> None:
        super().__init__(settings, index, carrier)
        self.usual = Usual()

    def ask(self, flight: Flight[Self]) -> None:
        flight.patience = self.usual.patience(flight.patience, flight.timeout)
        super().ask(flight)


class HttpCarrier(TcpCarrier):
    """A `steerd.probe.carrier.Carrier` for one family."""

    def __init__(self, family: int, find: Find) -> None:
        super().__init__(family, find)
        self._reading = select.epoll()
        self._answers: dict[int, tuple[float, bytes]] = {}  # by descriptor: the handshake's RTT, and what came

    def close(self) -> None:
        super().close()
        self._reading.close()

    def leg(self, settings: ProbePath, index: int) -> HttpLeg:
        if settings.check is None or not settings.port:
            raise ProbeError(f"path {settings.path}: probing by http needs what to get, and a port")
        return HttpLeg(settings, index, self)

    def heard(self) -> Iterator[Heard]:
        for descriptor, _ in self._reading.poll(0, max(1, len(self._answers))):
            yield from self._read(self.attempts[descriptor])
        yield from super().heard()

    def _accepted(self, attempt: Attempt, rtt: float) -> Iterable[Heard]:
        check = attempt.flight.owner.settings.check
        try:
            attempt.sock.send(request(check) if check else b"")  # an empty connection has room for it
        except OSError:
            self._end(attempt)
            return ()
        descriptor = attempt.sock.fileno()
        self._epoll.unregister(descriptor)
        self._reading.register(descriptor, select.EPOLLIN)
        self._answers[descriptor] = rtt, b""
        return ()

    def _refused(self, attempt: Attempt, rtt: float) -> Iterable[Heard]:  # noqa: ARG002 (that of no answer)
        return (Wrong(attempt.flight, "refuses the connection"),)

    def _read(self, attempt: Attempt) -> Iterable[Heard]:
        rtt, answer = self._answers[attempt.sock.fileno()]
        try:
            news = attempt.sock.recv(MOST)
        except BlockingIOError:
            return ()
        except OSError:
            news = b""
        answer = (answer + news)[:MOST]
        check = attempt.flight.owner.settings.check
        wrong = "" if check is None else judged(answer, check, ended=not news)
        if wrong is None:
            self._answers[attempt.sock.fileno()] = rtt, answer
            return ()
        flight = attempt.flight
        self._end(attempt)
        if self._find(flight.number) is None:
            return ()
        if wrong:
            return (Wrong(flight, wrong),)
        if isinstance(flight.owner, HttpLeg):
            flight.owner.usual.took(time.monotonic() - flight.sent_at)
        return (Answer(flight, rtt),)

    def _end(self, attempt: Attempt) -> None:
        self._answers.pop(attempt.sock.fileno(), None)
        super()._end(attempt)
