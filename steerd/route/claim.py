"""One steerd for one set of numbers: two that think the same routes theirs would undo each other's work for ever. So
would two whose ranges overlap.

Claims are abstract sockets: they belong to a network namespace, as routes do, and go with their process.
"""

import os
import re
import socket
import struct
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from steerd.config.route_settings import PACKETS, RouteSettings
from steerd.net.sockets import closed_on_error
from steerd.route.error import RouteError
from steerd.route.model import numbers

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_TRIES: Final = 3
_ASKED: Final = 1000
"""How often others may ask who has it: nobody answers them, and each leaves an entry."""
_MARK: Final = "mark"
_ADDRESS: Final = re.compile(
    rb" ([0-9]+) @steerd/([a-z_]{1,20})/(?:([0-9]{1,10})-([0-9]{1,10})|([A-Za-z_][\w.-]{0,255}))$"
)
"""A claim as /proc/net/unix shows it."""
_CAPABILITIES: Final = re.compile(rb"^CapEff:\s*([0-9a-f]{1,16})$", re.MULTILINE)
_NET_ADMIN: Final = 12


class Claimed(NamedTuple):
    """What of the configuration's ``key`` is claimed: all from ``first`` to ``last``, the bits of a mask, or a name."""

    key: str
    first: int
    last: int
    name: str = ""

    @property
    def address(self) -> str:
        """Of the socket that stands for it."""
        return f"steerd/{self.key}/{self.name or f'{self.first}-{self.last}'}"

    def meets(self, other: "Claimed") -> bool:
        """Whether two programs cannot both have theirs."""
        if self.key != other.key:
            return False
        if self.name or self.key == _MARK:
            return self.name == other.name and (not self.first or self.first & other.first != 0)
        return self.first <= other.last and other.first <= self.last

    @property
    def words(self) -> str:
        if self.key == _MARK:
            return f"{self.first:#x}"
        return self.name or f"{self.first} to {self.last}"


class Claim:
    """Nothing is claimed at first."""

    def __init__(self) -> None:
        self._held: dict[Claimed, socket.socket] = {}

    def take(self, settings: RouteSettings) -> None:
        """Claim these numbers besides those held. Raises `RouteError`, and claims none, if another steerd has one."""
        with ExitStack() as taken:
            new = {one: taken.enter_context(_bound(one)) for one in claims(settings) if one not in self._held}
            # Seen by others from now on: of two that start at once each finds the other, and neither goes on.
            for one, other in product(new, _others({*self._held, *new})):
                if one.meets(other):
                    _refuse(one, other)
            taken.pop_all()
        self._held |= new

    def keep(self, settings: RouteSettings) -> None:
        """Release all but the numbers of these settings."""
        for one in self._held.keys() - set(claims(settings)):
            self._held.pop(one).close()

    def close(self) -> None:
        """Release everything."""
        while self._held:
            self._held.popitem()[1].close()


def claims(settings: RouteSettings) -> list[Claimed]:
    """What a steerd of these settings claims."""
    ranges = (
        ("table", numbers.tables(settings)),
        ("rule_priority", numbers.priorities(settings)),
        ("nexthop_base", numbers.nexthop_ids(settings)),
    )
    return [
        *(Claimed(key, one[0], one[-1]) for key, one in ranges),
        Claimed("nft_table", 0, 0, settings.nft_table),
        *([Claimed("nft_table", 0, 0, f"{settings.nft_table}{PACKETS}")] if settings.count else []),
        Claimed(_MARK, settings.mark_mask, settings.mark_mask),
    ]


def _bound(one: Claimed) -> socket.socket:
    claimed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with closed_on_error(claimed):
        for _ in range(_TRIES):
            try:
                claimed.bind(f"\0{one.address}")
            except OSError:
                if _refuse(one, one):
                    return claimed
                continue  # it has just gone
            claimed.listen(_ASKED)
            return claimed
    return claimed


def _others(held: AbstractSet[Claimed]) -> Iterator[Claimed]:
    """What other programs claim here."""
    return (one for one, _inode in claimed() if one not in held)


def claimed() -> Iterator[tuple[Claimed, int]]:
    """All that is claimed here, with the inode of the socket that stands for it. Asks nobody."""
    for line in Path("/proc/thread-self/net/unix").read_bytes().splitlines():
        found = _ADDRESS.search(line)
        if found:
            inode, key, first, last, name = (part.decode() if part else "" for part in found.groups())
            yield Claimed(key, int(first or 0), int(last or 0), name), int(inode)


def _refuse(one: Claimed, other: Claimed) -> bool:
    """Raises `RouteError` if another steerd has the ``other``. Returns whether somebody has it who may not: anybody may
    take such a name, and nobody who may not change routes may keep us from it."""
    holder = _holder(f"\0{other.address}")
    if holder is None:
        return False
    pid, uid = holder
    if uid not in (0, os.geteuid()) and not _may_route(pid):
        return True
    meets = "" if one == other else f", which meets {one.words}"
    raise RouteError(
        f"another steerd, process {pid}, has route.{one.key} {other.words} here{meets}: "
        "stop it, or give this one numbers of its own"
    )


def _may_route(pid: int) -> bool:
    """Whether a process has CAP_NET_ADMIN, as far as we may know: the service has a user of its own."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_bytes()
        return (found := _CAPABILITIES.search(status)) is not None and bool(int(found[1], 16) >> _NET_ADMIN & 1)
    return False


def _holder(address: str) -> tuple[int, int] | None:
    """Process and user of whoever listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(address)
        except OSError:
            return None
        pid, uid, _gid = _CREDENTIALS.unpack(
            asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return pid, uid
