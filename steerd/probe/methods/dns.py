"""Probing by DNS: a query to a resolver, which has to answer it (RFC 1035, section 4).

Each query has a port of its own and a number drawn anew, and an answer must repeat both, and the question. The RTT is
from the query to the kernel's stamp of the answer, with what the resolver needs: the default, who the root's name
servers are, it knows by heart. One that answers that it cannot or will not leaves the probe unanswered.
"""

import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Final

from steerd.core.views import Finding
from steerd.probe.carrier import Answer, Fault, Heard, Leg, Wrong
from steerd.probe.methods.attempts import Attempt, AttemptCarrier, AttemptLeg
from steerd.probe.outcomes.ledger import Flight
from steerd.probe.wire import datagram as wire

MOST: Final = 512
"""Bytes of an answer that are looked at."""
_HEADER: Final = struct.Struct("!6H")  # number, flags, and four counts, that of questions first
_QUESTION: Final = struct.Struct("!2H")
_NAME_SERVERS, _ADDRESS, _INTERNET = 2, 1, 1
_RECURSION, _RESPONSE, _CODE, _NUMBERS = 0x0100, 0x8000, 0x000F, 0xFFFF
_ERRORS: Final = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_ANCILLARY: Final = 256


def question(name: str) -> bytes:
    """What is asked: addresses of ``name``, or, of the root ("."), its name servers."""
    labels = [label.encode() for label in name.strip(".").split(".") if label]
    written = b"".join(bytes((len(label),)) + label for label in labels)
    return written + b"\0" + _QUESTION.pack(_ADDRESS if labels else _NAME_SERVERS, _INTERNET)


def query(number: int, name: str) -> bytes:
    """The packet that asks for it."""
    return _HEADER.pack(number, _RECURSION, 1, 0, 0, 0) + question(name)


def judged(packet: bytes, number: int, name: str) -> str | None:
    """What is wrong with the answer to `query`, in words; empty: nothing; None: it is no answer to it."""
    if len(packet) < _HEADER.size:
        return None
    answered, flags, questions, *_ = _HEADER.unpack_from(packet)
    asked = question(name)
    # A resolver may write the name as it likes, and leave the question out where it refuses.
    repeated = packet[_HEADER.size : _HEADER.size + len(asked)].lower() == asked.lower()
    code = flags & _CODE
    if answered != number or not flags & _RESPONSE or not (repeated if questions else code):
        return None
    return f"answered {_ERRORS.get(code, f'with error {code}')} to a query for {name}" if code else ""


class DnsCarrier(AttemptCarrier):
    """A `steerd.probe.carrier.Carrier` for one family."""

    kind = socket.SOCK_DGRAM
    awaited = select.EPOLLIN

    def _address(self, sock: socket.socket, leg: Leg) -> None:
        sock.setsockopt(socket.SOL_SOCKET, wire.SO_TIMESTAMPING, wire.RECEIPTS)
        super()._address(sock, leg)

    def _begin(self, sock: socket.socket, flight: Flight[AttemptLeg]) -> int:
        if not (code := super()._begin(sock, flight)):
            sock.send(query(flight.number & _NUMBERS, flight.owner.settings.query))
        return code

    def heard(self) -> Iterator[Heard]:
        for descriptor, _ in self._epoll.poll(0, max(1, len(self.attempts))):
            attempt = self.attempts[descriptor]
            try:
                packet, ancillary, _, _ = attempt.sock.recvmsg(MOST, _ANCILLARY)
            except BlockingIOError:
                continue
            except OSError:  # an ICMP error
                self._end(attempt)
                if self._find(attempt.flight.number) is not None:
                    yield Fault(attempt.flight)
                continue
            came_ns = wire.received(ancillary) or time.time_ns()
            yield from self._answered(attempt, packet, came_ns)

    def _answered(self, attempt: Attempt, packet: bytes, came_ns: int) -> Iterator[Heard]:
        flight = attempt.flight
        wrong = judged(packet, flight.number & _NUMBERS, flight.owner.settings.query)
        if wrong is None:  # somebody's guess: the answer may still come
            return
        self._end(attempt)
        if self._find(flight.number) is None:
            return
        if wrong:
            yield Wrong(flight, wrong, Finding.REFUSED)
        else:
            yield Answer(flight, max(0, came_ns - attempt.began_ns) / 1e9)
