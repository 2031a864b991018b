"""Echo requests by icmplib, sent as a path's probes are."""

import os
import socket
import time
from typing import Final

from icmplib import ICMPLibError, ICMPRequest, ICMPv4Socket, ICMPv6Socket, SocketAddressError, SocketPermissionError

from steerd.config.family import IPV4
from steerd.net import icmp
from steerd.net.sockets import address_family, never_fragment
from steerd.trace.process import sockets
from steerd.trace.process.messages import IcmpMessage, Kind
from steerd.trace.process.sweep import Answer
from steerd.trace.request import Aim, Request
from steerd.trace.result import ELSEWHERE

USUAL: Final = {4: 84, 6: 104}
"""Bytes of an echo request as `ping` sends it."""

_COOKIE: Final = 16
_TTL: Final = 64


class EchoMethod:
    """A `Method`, of probes from 0 to 65,535. Payload and sequence keep the checksum constant, so that routers that
    balance by it send all probes one way."""

    one_at_a_time = False

    def __init__(self, request: Request, aim: Aim) -> None:
        self.source = sockets.source(request, aim)
        self._aim = aim
        self._target = socket.inet_pton(address_family(aim.family), aim.address)
        self._traffic_class = request.dscp << 2
        self._identifier = int.from_bytes(os.urandom(2))
        self._cookie = os.urandom(_COOKIE)
        try:
            self._socket = (ICMPv4Socket if aim.family == IPV4 else ICMPv6Socket)(aim.source)
        except SocketPermissionError as error:
            raise sockets.TraceError(sockets.NOT_ALLOWED) from error
        except SocketAddressError as error:
            raise sockets.TraceError(f"{aim.source} is no address of this machine") from error
        # icmplib's socket sends only: the `IcmpListener` hears.
        sockets.send_as(self._socket.sock, request)
        never_fragment(self._socket.sock, aim.family)
        icmp.let_pass(self._socket.sock, aim.family, ())
        self._listener = sockets.IcmpListener(aim)

    def send(self, number: int, ttl: int = _TTL, size: int = 0) -> float:
        """As `Method.send`, a packet of ``size`` bytes (0: `USUAL`)."""
        tail = (number ^ 0xFFFF).to_bytes(2)
        length = (size or USUAL[self._aim.family]) - icmp.HEADERS[self._aim.family]
        payload = (self._cookie + tail).ljust(length, b"\0")
        destination, identifier, tos = self._aim.address, self._identifier, self._traffic_class
        probe = ICMPRequest(destination, identifier, number, payload, ttl=ttl, traffic_class=tos)
        try:
            self._socket.send(probe)
        except ICMPLibError as error:
            cause = error.__context__  # what icmplib caught
            raise (cause if isinstance(cause, OSError) else OSError(str(error))) from error
        return float(probe.time)

    def heard(self, seconds: float) -> list[Answer]:
        until = time.monotonic() + seconds
        while True:
            answers = [answer for heard in self._listener.heard() if (answer := self._answer(*heard)) is not None]
            if answers or (left := until - time.monotonic()) <= 0:
                return answers
            sockets.wait([self._listener], left)

    def _answer(self, message: IcmpMessage, source: str, at: float) -> Answer | None:
        if message.kind is Kind.REPLY:
            ours = message.identifier == self._identifier and message.body.startswith(self._cookie)
            return self._reply(message.sequence, source, at) if ours else None
        quoted = icmp.quoted_echo(self._aim.family, message.body)
        if quoted is None or quoted.target != self._target or quoted.identifier != self._identifier:
            return None
        target = message.kind is not Kind.EXPIRED and source == self._aim.address
        return Answer(quoted.sequence, source, at, message.text or None, message.mtu, target)

    def _reply(self, number: int, source: str, at: float) -> Answer:
        if source != self._aim.address:
            return Answer(number, source, at, ELSEWHERE)
        return Answer(number, source, at, target=True)

    def close(self) -> None:
        self._socket.close()
        self._listener.close()
