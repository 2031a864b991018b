"""One target of one path, as every method sees it."""

import socket
from math import inf
from typing import TYPE_CHECKING, Final

from steerd.config.settings import IPV4, ProbePath, Target
from steerd.probe.limit import Limit

if TYPE_CHECKING:
    from steerd.probe.carrier import Carrier

SILENT: Final = 5
"""Losses in a row after which the identifier changes: a NAT on the way may hold it in a bad state."""


class Leg:
    """``packed`` and ``address`` are those of the target, in the kernel's own form; empty while its name is not
    resolved. ``patience`` is in seconds; ``losses`` counts those in a row, and ``limit`` remembers them with the
    answers between them. ``identifier`` is what its next probes are told by, where the method has such a thing.
    ``refused_at`` and ``routed_at``: when this machine last refused to send a probe, and when it last said that it has
    a route for them. ``carrier`` sends them. A leg that ``checks`` another is only asked whether that one's target
    is there at all."""

    __slots__ = (
        "address",
        "carrier",
        "checks",
        "family",
        "identifier",
        "index",
        "limit",
        "losses",
        "packed",
        "patience",
        "refused_at",
        "routed_at",
        "settings",
        "target",
    )

    def __init__(self, settings: ProbePath, index: int, carrier: "Carrier") -> None:
        self.settings = settings
        self.carrier = carrier
        self.index = index
        self.target: Target = settings.targets[index]
        self.family = self.target.family
        self.patience = settings.timeout
        self.losses = 0
        self.identifier = 0
        self.limit: Limit | None = None
        self.refused_at = -inf
        self.routed_at = -inf
        self.checks: Leg | None = None
        self.packed = b""
        self.address = ""
        if self.target.address:
            self.aim(self.target.address)

    def aim(self, address: str) -> None:
        """Probe this numeric address from now on."""
        family = address_family(self.family)
        self.packed = socket.inet_pton(family, address)
        self.address = socket.inet_ntop(family, self.packed)


def address_family(family: int) -> socket.AddressFamily:
    """4 or 6 as the socket module has it."""
    return socket.AF_INET if family == IPV4 else socket.AF_INET6
