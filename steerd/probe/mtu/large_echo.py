"""Echo requests of any size that may not be fragmented: one raw socket for each family, in the loop.

The sockets ignore what the kernel has cached of a path's MTU: a size that failed once would never be tested again.
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

from steerd.faults import Boundary, Reader
from steerd.net.devices import LinkState
from steerd.net.icmp import HEADERS, Quote
from steerd.net.sockets import address_family, never_fragment
from steerd.probe.carrier import Leg
from steerd.probe.error import NoFamilyError
from steerd.probe.methods.icmp import open_socket
from steerd.probe.mtu.search import Search
from steerd.probe.wire import datagram as wire
from steerd.probe.wire import echo as packet
from steerd.probe.wire.echo import COOKIE_SIZE, IDENTIFIER_MASK, TAG_SIZE, EchoReply

_NUMBERS: Final = 1 << 32
_READ: Final = 256  # packets before the loop gets its turn again


class Run:
    """One search under way for one leg, with the packets that it sends. ``device`` is as it was when it began."""

    def __init__(self, leg: Leg, device: LinkState, search: Search) -> None:
        self.leg = leg
        self.device = device
        self.search = search
        self.target, self.address = leg.packed, leg.address
        self.identifier = 0
        self.head = b""
        self.sent: list[int] = []
        own, source = leg.settings, leg.target.source
        self.options = wire.options(leg.family, mark=own.mark, interface=device.interface, source=source, dscp=own.dscp)


class Echoes:
    """Sends, and tells each `Search` what comes of it; then ``after(run)`` is called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, after: Callable[[Run], None]) -> None:
        self._loop = loop
        self._after = after
        self._sockets: dict[int, socket.socket] = {}
        self._readers: dict[int, Reader] = {}
        self._boundary = Boundary("path MTU")
        self._sent: dict[int, tuple[Run, int, float]] = {}
        self._cookie = os.urandom(COOKIE_SIZE)
        draw = random.SystemRandom()
        self._draw = draw.getrandbits
        self._identifiers = draw.getrandbits(16) & IDENTIFIER_MASK
        self._rotation = draw.getrandbits(16)

    def open(self, family: int, opened: ExitStack) -> None:
        """Open the socket of this family if it is not, and this machine has the family; ``opened`` closes it again
        then. Raises `ProbeError`."""
        if family in self._sockets:
            return
        try:
            sock = open_socket(family, self._identifiers, self._cookie[:TAG_SIZE])
        except NoFamilyError:
            return
        never_fragment(sock, family)
        self._sockets[family] = sock
        self._readers[family] = Reader(self._boundary, self._loop, sock.fileno(), lambda: self._read(family, sock))
        opened.callback(self._shut, family)

    def close(self) -> None:
        for family in tuple(self._sockets):
            self._shut(family)
        self._sent.clear()

    def _shut(self, family: int) -> None:
        if (sock := self._sockets.pop(family, None)) is not None:
            self._readers.pop(family).close()
            sock.close()

    def send(self, run: Run, size: int, now: float) -> int:
        """Send an echo request of ``size`` bytes of IP. 0, or the errno with which this machine refused it."""
        family = run.leg.family
        if family not in self._sockets:
            return errno.EAFNOSUPPORT
        if not run.head:
            self._rotation += 1  # another one for each search: a NAT may hold the one before in a dead state
            run.identifier = packet.rotated(self._identifiers, self._rotation)
            run.head = packet.head(family, run.identifier, self._cookie)
        number = self._draw(32)
        echo = packet.echo_request(run.head, self._cookie, number, packet.padding(size - HEADERS[family]))
        try:
            self._sockets[family].sendmsg((echo,), run.options, 0, (run.address, 0))
        except OSError as error:
            return error.errno or errno.EIO
        self._sent[number] = run, size, now
        run.sent.append(number)
        return 0

    def forget(self, run: Run) -> None:
        """Tell nothing more of this one."""
        for number in run.sent:
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

    def _heard(self, family: int, message: EchoReply | Quote, source: str, now: float) -> None:
        if isinstance(message, EchoReply):
            number = message.number
        else:  # an error quotes no more than the sequence
            number = next((one for one in self._sent if one & 0xFFFF == message.sequence), -1)
        if number not in self._sent:
            return
        run, size, sent_at = self._sent[number]
        if run.identifier != message.identifier or run.leg.family != family:
            return
        if isinstance(message, EchoReply):
            came_from = socket.inet_pton(address_family(family), source.partition("%")[0])
            if message.cookie != self._cookie or came_from != run.target:
                return
            del self._sent[number]  # a duplicate says nothing
            run.search.answered(size, now - sent_at, now)
        elif message.limit is not None and message.target == run.target:
            run.search.too_big(size, message.limit, now)
        self._after(run)
