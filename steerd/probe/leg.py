"""One target of one path: what its probes carry, and how one is sent."""

import errno
import math
import os
import socket

from steerd.config.settings import IPV4, ProbePath
from steerd.probe.icmp import Ancillary, EchoSocket
from steerd.probe.packet import COOKIE_SIZE, TAG_SIZE, echo_request, head

SILENT = 5
"""Losses in a row after which the identifier changes: a NAT on the way may hold it in a bad state."""

_RESOLVED_FOR = 1.0  # seconds that a device's index is believed: a name may pass to another device


class Leg:
    """``patience`` is in seconds; ``losses`` counts those in a row."""

    __slots__ = (
        "_checked",
        "_cookie",
        "_head",
        "_interface",
        "_options",
        "_socket",
        "address",
        "family",
        "identifier",
        "index",
        "losses",
        "packed",
        "patience",
        "settings",
    )

    def __init__(self, settings: ProbePath, index: int, echo: EchoSocket, tag: bytes, identifier: int) -> None:
        self.family = echo.family
        family = socket.AF_INET if echo.family == IPV4 else socket.AF_INET6
        self.settings = settings
        self.index = index
        self.packed = socket.inet_pton(family, settings.targets[index].address)
        self.address = socket.inet_ntop(family, self.packed)
        self.patience = settings.timeout
        self._socket = echo
        self._cookie = tag + os.urandom(COOKIE_SIZE - TAG_SIZE)
        self._interface = 0
        self._options: Ancillary = []
        self._checked = -math.inf
        self.use(identifier)

    def use(self, identifier: int) -> None:
        """Send the next probes with another identifier."""
        self.identifier = identifier
        self.losses = 0
        self._head = head(self.family, identifier, self._cookie)

    def send(self, number: int, now: float) -> int:
        """Send probe ``number``; 0, or the errno with which this machine refused it."""
        if now >= self._checked + _RESOLVED_FOR:
            self._resolve(now)
        error = self._send(number)
        # Deleted and made again since it was looked up, the device has another index.
        if error == errno.ENODEV and self._checked != now:
            self._resolve(now)
            error = self._send(number)
        return error

    def sent(self, cookie: bytes, source: str) -> bool:
        """Whether what came from ``source`` with ``cookie`` answers a probe of this leg."""
        return cookie == self._cookie and source == self.address

    def _send(self, number: int) -> int:
        if self.settings.device and not self._interface:
            return errno.ENODEV
        return self._socket.send(echo_request(self._head, self._cookie, number), number, self.address, self._options)

    def _resolve(self, now: float) -> None:
        self._checked = now
        try:
            interface = socket.if_nametoindex(self.settings.device) if self.settings.device else 0
        except OSError:
            interface = 0
        self._interface = interface
        self._options = self._socket.options(self.settings.mark, interface)
