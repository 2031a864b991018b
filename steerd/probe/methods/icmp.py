"""Probing by ICMP echo: one raw socket per family; everything that differs between paths travels with each packet."""

import errno
import os
import random
import socket
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Self

from steerd.config.family import IPV4
from steerd.config.probe_settings import ProbePath
from steerd.net import icmp
from steerd.net.devices import Devices
from steerd.net.icmp import ECHO_REPLY, ERRORS
from steerd.net.sockets import address_family, closed_on_error
from steerd.probe.carrier import Answer, Fault, Find, Heard, Leg, Stray
from steerd.probe.methods.sockets import open_raw
from steerd.probe.outcomes.ledger import Flight
from steerd.probe.wire import datagram as wire
from steerd.probe.wire import echo as packet
from steerd.probe.wire import filter as echo_filter
from steerd.probe.wire.batch import AVAILABLE, Batch
from steerd.probe.wire.datagram import Wire
from steerd.probe.wire.echo import COOKIE_SIZE, IDENTIFIER_MASK, TAG_SIZE, EchoReply
from steerd.probe.wire.single import Single

_SEQUENCES: Final = 1 << 16

Wired = Callable[[socket.socket, int], Wire]


class EchoLeg(Leg):
    """A leg that is asked for an echo."""

    __slots__ = ("cookie", "envelope", "head", "interface", "padding")
    carrier: "EchoCarrier"

    def __init__(self, settings: ProbePath, index: int, carrier: "EchoCarrier", tag: bytes, identifier: int) -> None:
        super().__init__(settings, index, carrier)
        self.cookie = tag + os.urandom(COOKIE_SIZE - TAG_SIZE)
        self.padding = packet.padding(settings.size)
        self.interface = -1  # none that there is: the envelope is still to be made
        self.envelope: Any = None
        self._use(identifier)

    def aim(self, address: str) -> None:
        """As `Leg.aim`, with a new envelope."""
        super().aim(address)
        self.interface = -1

    def ask(self, flight: Flight[Self]) -> None:
        self.carrier.asked.append(flight)

    def renew(self) -> None:
        self._use(self.carrier.next_identifier())

    def _use(self, identifier: int) -> None:
        self.identifier = identifier
        self.head = packet.head(self.family, identifier, self.cookie)


class EchoCarrier:
    """A `steerd.probe.carrier.Carrier` for one family. ``asked`` are the probes to send next."""

    def __init__(self, family: int, find: Find, devices: Devices, wired: Wired | None = None) -> None:
        """``wired`` makes a wire of the socket (None: the one that costs least). Raises `ProbeError`."""
        self.asked: list[Flight[EchoLeg]] = []
        self._family = family
        self._find = find
        self._devices = devices
        self._tag = os.urandom(TAG_SIZE)
        draw = random.Random(os.urandom(8))  # noqa: S311 -- told apart from other pings; the cookie is the secret
        self._identifiers = draw.getrandbits(16) & IDENTIFIER_MASK
        self._rotation = draw.getrandbits(16)
        self._newest = array("I", bytes(_SEQUENCES * 4))  # the number of the latest probe with each sequence
        sock = open_socket(family, self._identifiers, self._tag)
        with closed_on_error(sock):
            wire.make_room(sock)
            self._wire = (wired or (Batch if AVAILABLE else Single))(sock, family)
        self.close = self._wire.close

    @property
    def overflowed(self) -> bool:
        return self._wire.overflowed

    def leg(self, settings: ProbePath, index: int) -> EchoLeg:
        return EchoLeg(settings, index, self, self._tag, self.next_identifier())

    def send(self) -> Iterable[tuple[Flight[EchoLeg], int]]:
        flights, self.asked = self.asked, []
        errors = [0] * len(flights)
        parcels: list[tuple[bytes, int, Any]] = []
        places: list[int] = []
        interfaces: dict[str, int] = {"": 0}
        for at, flight in enumerate(flights):
            leg = flight.owner
            device = leg.settings.device
            interface = interfaces.get(device)
            if interface is None:
                interface = interfaces[device] = self._devices.index(device)
            if interface != leg.interface and (refused := self._address(leg, interface)):
                errors[at] = refused
                continue
            number = flight.number
            flight.identifier = leg.identifier
            self._newest[number % _SEQUENCES] = number
            parcels.append((packet.echo_request(leg.head, leg.cookie, number, leg.padding), number, leg.envelope))
            places.append(at)
        for at, parcel, error in zip(places, parcels, self._wire.send(parcels), strict=True):
            if error:
                errors[at] = self._again(flights[at].owner, parcel) if error == errno.ENODEV else error
        return zip(flights, errors, strict=True)

    def _again(self, leg: EchoLeg, parcel: tuple[bytes, int, Any]) -> int:
        """The device was deleted and made again since it was looked up: it has another index."""
        self._devices.forget(leg.settings.device)
        refused = self._address(leg, self._devices.index(leg.settings.device))
        return refused or self._wire.send([(*parcel[:2], leg.envelope)])[0]

    def _address(self, leg: EchoLeg, interface: int) -> int:
        """Make an envelope that leads to the device of this index; the errno if none can be made."""
        if not leg.packed:
            return errno.EDESTADDRREQ
        if leg.settings.device and not interface:
            return errno.ENODEV
        if leg.interface > 0:  # another device: what a NAT on the way knew of the old one is void
            leg.renew()
        leg.interface = interface
        own = leg.settings
        options = wire.options(leg.family, mark=own.mark, interface=interface, source=leg.target.source, dscp=own.dscp)
        leg.envelope = self._wire.envelope(leg.packed, 0, options)
        return 0

    def departures(self) -> None:
        find, tag = self._find, self._tag
        for number, queued, at_ns, looped in self._wire.stamps():
            known = packet.number_in(looped, tag) if number is None else number
            flight = find(known) if known is not None else None
            if flight is None:
                continue
            if queued:
                flight.queued(at_ns)
            else:
                flight.left(at_ns)

    def heard(self) -> Iterator[Heard]:
        family, find = self._family, self._find
        for data, source, at_ns in self._wire.arrivals():
            message = packet.read(family, data)
            if message is None:
                continue
            if isinstance(message, EchoReply):
                flight = find(message.number)
                if flight is None or flight.identifier != message.identifier:
                    continue
                leg = flight.owner
                if not isinstance(leg, EchoLeg) or leg.cookie != message.cookie:
                    continue
                if leg.packed != source:
                    yield Stray(flight, socket.inet_ntop(address_family(family), source))
                else:
                    left_ns = flight.left_ns or flight.queued_ns or flight.wall_ns
                    came_ns = at_ns or time.time_ns()
                    yield Answer(flight, (came_ns - left_ns) / 1e9 if came_ns > left_ns else 0.0)
                continue
            flight = find(self._newest[message.sequence])  # all that an error quotes of it
            if flight and flight.identifier == message.identifier and flight.owner.packed == message.target:
                yield Fault(flight)

    def next_identifier(self) -> int:
        """Another one than any of late."""
        self._rotation += 1
        return packet.rotated(self._identifiers, self._rotation)


def open_socket(family: int, identifiers: int, tag: bytes) -> socket.socket:
    """A raw socket for answers to echo requests with this tag and identifier, and for errors. Raises as `open_raw`."""
    sock = open_raw(family, "ICMP")
    with closed_on_error(sock):
        echo_filter.attach(sock, echo_filter.echo_filter(family, identifiers, tag))
        if family != IPV4:  # there it costs more to let types pass than to have the filter look at all
            icmp.let_pass(sock, family, (*ERRORS[family], ECHO_REPLY[family]))
    return sock
