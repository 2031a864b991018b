"""Echo requests of any size that may not be fragmented: one raw socket for each family, in the loop.

The sockets do not look at what the kernel has cached of a path's MTU either: it is the way that is asked, and what was
true once would never be asked again.
"""

import asyncio
import errno
import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from steerd.net.icmp import HEADERS
from steerd.net.sockets import address_family, never_fragment
from steerd.probe.carrier import Leg
from steerd.probe.methods.icmp import open_socket
from steerd.probe.wire import datagram as wire
from steerd.probe.wire import echo as packet
from steerd.probe.wire.echo import COOKIE_SIZE, IDENTIFIER_MASK, TAG_SIZE, Echo

_NUMBERS: Final = 1 << 32
_SEQUENCES: Final = 1 << 16
_READ: Final = 256  # packets before the loop gets its turn again


class Way:
    """Where the echoes of one search go. ``on_reply(size, rtt, now)`` and ``on_too_big(size, limit, now)`` are called
    with what comes of them: sizes in bytes of IP, times in seconds."""

    def __init__(
        self,
        leg: Leg,
        interface: int,
        on_reply: Callable[[int, float, float], None],
        on_too_big: Callable[[int, int, float], None],
    ) -> None:
        """``interface`` is the index of the leg's device."""
        self.leg = leg
        self.on_reply = on_reply
        self.on_too_big = on_too_big
        self.target, self.address = leg.packed, leg.address
        self.identifier = 0
        self.head = b""
        self.sent: list[int] = []
        own = leg.settings
        self.options = wire.options(
            leg.family, mark=own.mark, interface=interface, source=leg.target.source, dscp=own.dscp
        )


class Echoes:
    """Sends, and tells each `Way` what it hears. ``after(way)`` is called after each thing heard."""

    def __init__(self, loop: asyncio.AbstractEventLoop, after: Callable[[Way], None]) -> None:
        self._loop = loop
        self._after = after
        self._sockets: dict[int, socket.socket] = {}
        self._sent: dict[int, tuple[Way, int, float]] = {}
        self._cookie = os.urandom(COOKIE_SIZE)
        draw = random.SystemRandom()
        self._number = draw.getrandbits(32)
        self._identifiers = draw.getrandbits(16) & IDENTIFIER_MASK
        self._rotation = draw.getrandbits(16)

    def open(self, family: int, opened: ExitStack) -> None:
        """Be ready for this family; ``opened`` makes it so no more, if it was not before. Raises `ProbeError`."""
        if family in self._sockets:
            return
        sock = open_socket(family, self._identifiers, self._cookie[:TAG_SIZE])
        never_fragment(sock, family)
        self._sockets[family] = sock
        self._loop.add_reader(sock, self._read, family, sock)
        opened.callback(self._shut, family)

    def close(self) -> None:
        for family in tuple(self._sockets):
            self._shut(family)
        self._sent.clear()

    def _shut(self, family: int) -> None:
        if (sock := self._sockets.pop(family, None)) is not None:
            self._loop.remove_reader(sock)
            sock.close()

    def send(self, way: Way, size: int, now: float) -> int:
        """An echo request of ``size`` bytes. 0, or the errno with which this machine refused it."""
        family = way.leg.family
        if not way.head:
            self._rotation += 1  # another one for each search: a NAT may hold the one before in a dead state
            way.identifier = packet.rotated(self._identifiers, self._rotation)
            way.head = packet.head(family, way.identifier, self._cookie)
        self._number = number = (self._number + 1) % _NUMBERS
        echo = packet.echo_request(way.head, self._cookie, number, packet.padding(size - HEADERS[family]))
        try:
            self._sockets[family].sendmsg((echo,), way.options, 0, (way.address, 0))
        except OSError as error:
            return error.errno or errno.EIO
        self._sent[number] = way, size, now
        way.sent.append(number)
        return 0

    def forget(self, way: Way) -> None:
        """Nothing more is told of this one."""
        for number in way.sent:
            self._sent.pop(number, None)

    def _read(self, family: int, sock: socket.socket) -> None:
        now = time.monotonic()
        for _ in range(_READ):
            try:
                data, address = sock.recvfrom(wire.PACKET)
            except OSError:
                return
            message = packet.read(family, data)
            if message is not None:
                self._heard(family, message, address[0], now)

    def _heard(self, family: int, message: packet.Echo | packet.Quote, source: str, now: float) -> None:
        number = message.number if isinstance(message, Echo) else self._latest(message.sequence)
        if number not in self._sent:
            return
        way, size, sent_at = self._sent[number]
        if way.identifier != message.identifier or way.leg.family != family:
            return
        if isinstance(message, Echo):
            came_from = socket.inet_pton(address_family(family), source.partition("%")[0])
            if message.cookie != self._cookie or came_from != way.target:
                return
            del self._sent[number]  # a duplicate says nothing
            way.on_reply(size, now - sent_at, now)
        elif message.limit is not None and message.target == way.target:
            way.on_too_big(size, message.limit, now)
        self._after(way)

    def _latest(self, sequence: int) -> int:
        """An error quotes no more than the sequence, the lower half of the number: the latest such probe."""
        return (self._number - (self._number - sequence) % _SEQUENCES) % _NUMBERS
