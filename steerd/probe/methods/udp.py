"""Probing by UDP: a STAMP Session-Sender (RFC 8762, section 4.2), with a session and a source port for each leg."""

import contextlib
import errno
import select
import time
from collections.abc import Iterable, Iterator
from typing import Final, Self

from steerd.config.probe_settings import ProbePath
from steerd.config.stamp_key import KeyFileError, read_key
from steerd.core.views import Directions
from steerd.net.devices import Devices
from steerd.probe.carrier import Answer, Fault, Find, Heard, Leg, Stray
from steerd.probe.methods.sockets import allow_many
from steerd.probe.outcomes.ledger import CLOSED, LINGER, Flight
from steerd.probe.stamp import packet as stamp
from steerd.probe.stamp.session import Departure, Reflection, StampSession
from steerd.probe.wire import datagram as wire
from steerd.probe.wire.datagram import Ancillary

PORT: Final = 862
"""The reflector's, unless the configuration has another."""

_RETIRED: Final = 2  # sessions of one leg whose answers still count, besides the present one
_LAST: Final = 0xFFFFFFFF  # sequence number of a session: 248 days at 200 a second
_PRUNED: Final = 4  # probes forgotten with each one sent: more than come


class StampLeg(Leg):
    """A leg that is asked by STAMP. ``key`` signs its packets; while its file cannot be read, none are sent."""

    __slots__ = ("interface", "key", "options", "retired", "session")
    carrier: "UdpCarrier"

    def __init__(self, settings: ProbePath, index: int, carrier: "UdpCarrier") -> None:
        super().__init__(settings, index, carrier)
        self.key: bytes | None = None
        self.session: StampSession | None = None
        self.retired: list[tuple[StampSession, float]] = []  # and until when answers may come
        self.interface = -1  # none that there is: the options are still to be made
        self.options: Ancillary = []

    def sessions(self) -> Iterator[StampSession]:
        """All whose answers count, the present one first."""
        if self.session:
            yield self.session
        yield from (session for session, _ in self.retired)

    def ask(self, flight: Flight[Self]) -> None:
        self.carrier.asked.append(flight)

    def settled(self, flight: Flight[Self]) -> None:
        for session in self.sessions():
            asked = session.asked.get(flight.identifier)
            if asked and asked.number == flight.number:
                if flight.state is CLOSED:
                    session.log.gap()
                else:
                    session.log.settled(flight.identifier)

    def renew(self) -> None:
        """The next probe opens a session, with the key that its file has then; late answers to this one still count."""
        if self.settings.key_file:
            with contextlib.suppress(KeyFileError):
                self.key = read_key(self.settings.key_file)
        if self.session:
            self.retired.append((self.session, time.monotonic() + self.settings.timeout + LINGER))
            self.session = None
        while len(self.retired) > _RETIRED:
            self.carrier.end(self.retired.pop(0)[0])

    def directions(self) -> Directions:
        return self.session.log.read() if self.session else Directions()

    def drop(self) -> None:
        for session in tuple(self.sessions()):
            self.carrier.end(session)
        self.session = None
        self.retired.clear()


class UdpCarrier:
    """A `steerd.probe.carrier.Carrier` for one family. ``asked`` are the probes to send next; each of the ``sessions``,
    by its descriptor, has a socket."""

    def __init__(self, family: int, find: Find, devices: Devices) -> None:
        self.overflowed = False
        self.asked: list[Flight[StampLeg]] = []
        self._family = family
        self._find = find
        self._devices = devices
        self._numbered = True
        self.sessions: dict[int, StampSession] = {}
        self._ready: list[tuple[int, int]] = []
        self._faults: list[Fault] = []
        self._epoll = select.epoll()
        allow_many()

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()
        self._epoll.close()

    def leg(self, settings: ProbePath, index: int) -> StampLeg:
        return StampLeg(settings, index, self)

    def send(self) -> Iterable[tuple[Flight[StampLeg], int]]:
        flights, self.asked = self.asked, []
        return [(flight, self._send(flight, flight.owner)) for flight in flights]

    def _send(self, flight: Flight[Leg], leg: StampLeg) -> int:
        error = self._prepare(leg) or self._try(flight, leg)
        if error == errno.ENODEV and leg.settings.device:
            # The device was deleted and made again since it was looked up: it has another index.
            self._devices.forget(leg.settings.device)
            error = self._prepare(leg) or self._try(flight, leg)
        return error

    def _prepare(self, leg: StampLeg) -> int:
        """Have a session, and the options that lead to the leg's device; the errno if that cannot be."""
        if not leg.packed:
            return errno.EDESTADDRREQ
        device = leg.settings.device
        interface = self._devices.index(device) if device else 0
        if device and not interface:
            return errno.ENODEV
        if interface != leg.interface:
            if leg.interface > 0:  # another device: whatever a NAT on the way knew of the old one is void
                leg.renew()
            own, source = leg.settings, leg.target.source
            leg.interface = interface
            leg.options = wire.options(leg.family, mark=own.mark, interface=interface, source=source, dscp=own.dscp)
        if leg.session and leg.session.sequence > _LAST:
            leg.renew()
        while leg.retired and leg.retired[0][1] <= time.monotonic():
            self.end(leg.retired.pop(0)[0])
        if leg.session is None:
            try:
                leg.session = self._begin(leg)
            except KeyFileError:
                return errno.ENOKEY
            except OSError as error:
                return error.errno or errno.EIO
        return 0

    def _begin(self, leg: StampLeg) -> StampSession:
        port, size = leg.settings.port or PORT, leg.settings.size
        if leg.settings.key_file and leg.key is None:
            leg.key = read_key(leg.settings.key_file)
        session = StampSession(leg.family, leg.address, port, key=leg.key, size=size, numbered=self._numbered)
        self.sessions[session.fileno()] = session
        self._epoll.register(session, select.EPOLLIN | select.EPOLLERR)
        return session

    def end(self, session: StampSession) -> None:
        """Close this session: no answer to it counts any more."""
        if self.sessions.pop(session.fileno(), None):
            session.close()  # which takes it from the epoll, too

    def _try(self, flight: Flight[Leg], leg: StampLeg) -> int:
        session = leg.session
        if session is None:
            return errno.EBADF
        self._prune(session)
        flight.identifier = session.sequence
        error = session.send(flight.number, leg.options)
        # A kernel before 6.13 cannot number stamps; a blackhole route says EINVAL all the same.
        if error == errno.EINVAL and self._numbered:
            session.number_stamps(numbered=False)
            error = session.send(flight.number, leg.options)
            self._numbered = error != 0
            for each in [session] if error else self.sessions.values():
                each.number_stamps(numbered=self._numbered)
        return error

    def _prune(self, session: StampSession) -> None:
        """Forget probes that the ledger has forgotten."""
        for _ in range(_PRUNED):
            oldest = next(iter(session.asked), None)
            if oldest is None or self._find(session.asked[oldest].number):
                return
            del session.asked[oldest]

    def departures(self) -> None:
        self._ready = self._epoll.poll(0, max(1, len(self.sessions)))
        for descriptor, events in self._ready:
            if not events & select.EPOLLERR:
                continue
            for found in self.sessions[descriptor].errors():
                flight = self._find(found.number)
                if flight is None:
                    continue
                if not isinstance(found, Departure):
                    self._faults.append(Fault(flight))
                elif found.queued:
                    flight.queued(found.at_ns)
                else:
                    flight.left(found.at_ns)

    def heard(self) -> Iterator[Heard]:
        faults, self._faults = self._faults, []
        yield from faults
        self.overflowed = False
        for descriptor, events in self._ready:
            session = self.sessions.get(descriptor)
            if session is None or not events & select.EPOLLIN:
                continue
            for reflection in session.answers():
                flight = self._find(reflection.number)
                if flight and reflection.stray:
                    yield Stray(flight, reflection.stray)
                elif flight:
                    yield _answer(session, flight, reflection)
            self.overflowed = self.overflowed or session.overflowed
        self._ready = []


def _answer(session: StampSession, flight: Flight[Leg], reflection: Reflection) -> Answer:
    """Enter an answer in the session's log; the time in the reflector is no part of its RTT, if plausible."""
    packet, came_ns = reflection.packet, reflection.at_ns
    left_ns = flight.left_ns or flight.queued_ns or flight.wall_ns
    rtt_ns = max(0, came_ns - left_ns)
    received_ns = stamp.nanoseconds(packet.received, packet.error)
    sent_ns = stamp.nanoseconds(packet.timestamp, packet.error)
    first = session.log.replied(packet.sender_sequence, packet.sequence)
    held_ns = sent_ns - received_ns
    if not 0 <= held_ns <= rtt_ns:
        return Answer(flight, rtt_ns / 1e9)
    if first:
        session.log.passed((received_ns - left_ns) / 1e9, (came_ns - sent_ns) / 1e9)
    if not session.residence.plausible(rtt_ns / 1e9, held_ns / 1e9, flight.sent_at):
        return Answer(flight, rtt_ns / 1e9, held_ns / 1e9)
    return Answer(flight, (rtt_ns - held_ns) / 1e9)
