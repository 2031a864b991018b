"""The carrier of a family that this machine does not have: IPv6 on a kernel that was booted without. Its legs are not
asked, and no other leg is kept from being asked."""

import errno
from collections.abc import Iterable, Iterator
from typing import Self

from steerd.config.probe_settings import ProbePath
from steerd.probe.carrier import Heard, Leg
from steerd.probe.outcomes.ledger import Flight


class NoFamilyLeg(Leg):
    """A leg that cannot be asked."""

    __slots__ = ()
    carrier: "NoFamilyCarrier"

    def ask(self, flight: Flight[Self]) -> None:
        self.carrier.asked.append(flight)


class NoFamilyCarrier:
    """A `steerd.probe.carrier.Carrier` that refuses whatever is ``asked``."""

    overflowed = False

    def __init__(self) -> None:
        self.asked: list[Flight[NoFamilyLeg]] = []

    def leg(self, settings: ProbePath, index: int) -> NoFamilyLeg:
        return NoFamilyLeg(settings, index, self)

    def send(self) -> Iterable[tuple[Flight[NoFamilyLeg], int]]:
        flights, self.asked = self.asked, []
        return [(flight, errno.EAFNOSUPPORT) for flight in flights]

    def departures(self) -> None:
        """Nothing departs."""

    def heard(self) -> Iterator[Heard]:
        return iter(())

    def close(self) -> None:
        """Nothing is open."""
