"""The users: numbered datagrams from the LAN to steered addresses, at a steady rate in both families.

The lab's end is `Traffic`; as a module this is the process on the LAN host. An answer carries the number of the PoP
that gave it, and so tells where each datagram went."""

import contextlib
import math
import select
import socket
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from steerd.lab.worker import Inbox, Worker, serve, setup
from steerd.lab.world.packets import TRAFFIC_PORT, datagram, read_datagram

LOST_AFTER = 1.0  # seconds after which a datagram without an answer is lost


@dataclass(frozen=True, slots=True)
class Window:
    """What became of the datagrams sent in a span of time. ``pending`` ones have no answer yet, and still time for one;
    ``by_pop`` counts the answered ones. ``lost_from`` and ``lost_to`` are when the first and the last lost ones were
    sent (monotonic; None: none were), ``rtt_ms`` is the median."""

    sent: int
    answered: int
    lost: int
    pending: int
    by_pop: dict[str, int]
    lost_from: float | None
    lost_to: float | None
    rtt_ms: float | None


class Traffic(Worker):
    """Sends ``rate`` datagrams a second to ``targets`` in turn, for each family."""

    def __init__(self, namespace: str, pops: list[str], targets: dict[int, list[str]], rate: float) -> None:
        super().__init__(namespace, __name__, {"targets": targets, "rate": rate})
        self._pops = pops

    def rate(self, rate: float) -> None:
        """Send so many datagrams a second in each family from now on; 0: none."""
        self.ask(rate=rate)

    def between(self, since: float = -math.inf, until: float = math.inf, family: int | None = None) -> Window:
        """What became of the datagrams sent from ``since`` on, before ``until``, of one family or both."""
        answer = self.ask(since=since, until=until, families=[family] if family else [4, 6])
        by_pop = {self._pops[int(carrier) - 1]: count for carrier, count in answer.pop("by_carrier").items()}
        return Window(by_pop=by_pop, **answer)


class _Stream:
    """One family's datagrams; what became of number n stands at n in each list."""

    def __init__(self, family: int, targets: list[str]) -> None:
        self._targets = targets
        self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if family == 6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.bind(("", TRAFFIC_PORT))
        self.sent_at: list[float] = []
        self.carriers: list[int] = []
        self.rtts: list[float] = []

    def send(self, now: float) -> None:
        """The next datagram."""
        number = len(self.sent_at)
        self.sent_at.append(now)
        self.carriers.append(0)
        self.rtts.append(math.inf)
        with contextlib.suppress(OSError):
            self.socket.sendto(datagram(number, now), (self._targets[number % len(self._targets)], TRAFFIC_PORT))

    def receive(self) -> None:
        """All answers that there are."""
        with contextlib.suppress(OSError):
            while True:
                answer = read_datagram(self.socket.recv(2048))
                if answer and answer.sequence < len(self.sent_at):
                    self.carriers[answer.sequence] = answer.carrier
                    self.rtts[answer.sequence] = time.monotonic() - answer.sent_at


def _window(streams: list[_Stream], since: float, until: float) -> dict[str, Any]:
    now = time.monotonic()
    by_carrier: dict[int, int] = {}
    lost: list[float] = []
    rtts: list[float] = []
    sent = pending = 0
    for stream in streams:
        for number in range(bisect_left(stream.sent_at, since), bisect_left(stream.sent_at, until)):
            sent += 1
            carrier = stream.carriers[number]
            if carrier:
                by_carrier[carrier] = by_carrier.get(carrier, 0) + 1
                rtts.append(stream.rtts[number])
            elif now - stream.sent_at[number] < LOST_AFTER:
                pending += 1
            else:
                lost.append(stream.sent_at[number])
    return {
        "sent": sent,
        "answered": len(rtts),
        "lost": len(lost),
        "pending": pending,
        "by_carrier": by_carrier,
        "lost_from": min(lost, default=None),
        "lost_to": max(lost, default=None),
        "rtt_ms": sorted(rtts)[len(rtts) // 2] * 1000 if rtts else None,
    }


def _main() -> None:
    given = setup()
    streams = {int(family): _Stream(int(family), targets) for family, targets in given["targets"].items()}
    rate: float = given["rate"]
    due = time.monotonic()

    def answer(question: dict[str, Any]) -> Any:
        nonlocal rate, due
        if "rate" in question:
            rate = question["rate"]
            due = time.monotonic()
            return None
        return _window([streams[family] for family in question["families"]], question["since"], question["until"])

    inbox = Inbox(answer)
    handlers: dict[Any, Callable[[], None]] = {stream.socket: stream.receive for stream in streams.values()}
    handlers[inbox] = inbox.handle
    while True:
        now = time.monotonic()
        if rate and now >= due:
            for stream in streams.values():
                stream.send(now)
            # What was missed while this process did not run is not sent later.
            due = max(due + 1 / rate, now)
        wait = max(0.0, due - time.monotonic()) if rate else None
        readable, _, _ = select.select(list(handlers), [], [], wait)
        for source in readable:
            handlers[source]()


if __name__ == "__main__":
    serve(_main)
