"""What is known of one host name in one family: its address, when to ask again, what to log. Pure: times are
arguments, in seconds, and answers come from whoever asked."""

import math
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

from steerd.config.family import IPV4, IPV6
from steerd.config.values import addresses

AGAIN = 300.0
"""Seconds after an answer; a little more or less for each name, so that they drift apart."""
RETRY = 5.0
"""Seconds after a failure; twice as many after each further one, up to `AGAIN`."""
SILENCE = 5.0
"""Seconds without an answer, after which that is logged."""
SLOW = 2.0
"""Seconds: a name that took longer may delay whoever asks next."""

_SPREAD = 0.2
_ANSWERS = 64
FAMILIES = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}


class Note(NamedTuple):
    """What to log; ``failing``: the name cannot be resolved now."""

    text: str
    failing: bool


class Resolution:
    """``address`` is in use (None: none is known yet), ``next_at`` when to ask, ``slow`` whether the last answer took
    long. The address in use is kept while it is among the answers: servers that spread load change their order each
    time, and the first would be another machine each time."""

    def __init__(self, name: str, family: int, known: str | None) -> None:
        """``known`` is the address that an earlier run found."""
        self.family = family
        self.address = known if known is not None and usable(family, known) else None
        self.next_at = -math.inf
        self.slow = False
        self._remembered = self.address is not None
        self._spread = 1.0 + _SPREAD * (crc32(f"{name}/{family}".encode()) / 2**32 - 0.5)
        self._failures = 0
        self._reason = ""

    def begin(self) -> Note | None:
        """What to say before the first answer."""
        if not self._remembered:
            return None
        return Note(f"{self.address}, which an earlier run found, is used until the name is resolved", failing=False)

    def silent(self, waited: float) -> Note | None:
        """Asked ``waited`` seconds ago, and not answered yet."""
        return self._failing("no answer yet") if waited >= SILENCE and not self._reason else None

    def answered(self, addresses: Sequence[str], took: float, now: float) -> Note | None:
        """The resolver answered, after ``took`` seconds, in its own order of preference."""
        good = [one for one in dict.fromkeys(addresses[:_ANSWERS]) if usable(self.family, one)]
        if not good:
            first = f"{addresses[0]} is no address that can be probed" if addresses else f"no IPv{self.family} address"
            return self.failed(first, took, now)
        self.slow = took >= SLOW
        self.next_at = now + AGAIN * self._spread
        before, was_failing = self.address, bool(self._reason)
        told, self._remembered = before is not None and not self._remembered, False
        self._failures, self._reason = 0, ""
        if before not in good:
            self.address = good[0]
            instead = f", instead of {before}, which is not among its addresses" if before else ""
            return Note(f"resolved: {self.address}{_among('the first of', good)}{instead}", failing=False)
        if told and not was_failing:
            return None
        return Note(f"resolved: {before}{_among('still among', good)}", failing=False)

    def failed(self, reason: str, took: float, now: float) -> Note | None:
        """There is no usable answer. The address in use stays."""
        self.slow = took >= SLOW
        self.next_at = now + min(AGAIN, RETRY * math.ldexp(1.0, min(self._failures, 16))) * self._spread
        self._failures += 1
        return self._failing(reason)

    def _failing(self, reason: str) -> Note | None:
        if reason == self._reason:
            return None
        self._reason = reason
        without = f"{self.address} stays in use" if self.address else "not probed before it is"
        return Note(f"not resolved: {reason}; {without}", failing=True)


def usable(family: int, address: str) -> bool:
    """Whether a target of this family (4 or 6) can have this address."""
    try:
        return addresses.alone(socket.inet_pton(FAMILIES[family], address))
    except (OSError, ValueError):
        return False


def next_to_ask(due: Iterable[Resolution], free: int, slow: int) -> Iterable[Resolution]:
    """Which to ask for with ``free`` threads, the longest due first; slow names may hold ``slow`` threads at most."""
    for one in sorted(due, key=lambda one: one.next_at):
        if free <= 0:
            return
        if one.slow and slow <= 0:
            continue
        free -= 1
        slow -= one.slow
        yield one


def words(error: OSError, family: int) -> str:
    """Why `socket.getaddrinfo` found nothing, for the operator."""
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_NONAME:
            return "there is no such name"
        if error.errno in (socket.EAI_NODATA, socket.EAI_ADDRFAMILY):
            return f"no IPv{family} address"
        if error.errno == socket.EAI_AGAIN:
            return "no name server could tell"
    return error.strerror or "the resolver failed"


def _among(place: str, good: Sequence[str]) -> str:
    """Why this one of several."""
    return f" ({place} {len(good)} addresses)" if len(good) > 1 else ""
