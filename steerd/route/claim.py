"""One steerd for one set of numbers: two that think the same routes theirs would undo each other's work for ever.

Claims are abstract sockets: they belong to a network namespace, as routes do, and go with their process.
"""

import os
import socket
import struct
from contextlib import ExitStack
from typing import Final

from steerd.config.settings import RouteSettings
from steerd.net.sockets import closed_on_error
from steerd.route.error import RouteError

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_TRIES: Final = 3
_ASKED: Final = 1000
"""How often others may ask who has it: nobody answers them, and each leaves an entry."""


class Claim:
    """Nothing is claimed at first."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def take(self, settings: RouteSettings) -> None:
        """Claim these numbers besides those held. Raises `RouteError`, and claims none, if another steerd has one."""
        with ExitStack() as taken:
            new = {
                name: taken.enter_context(_claimed(name, key))
                for name, key in _names(settings).items()
                if name not in self._held
            }
            taken.pop_all()
        self._held |= new

    def keep(self, settings: RouteSettings) -> None:
        """Release all but the numbers of these settings."""
        for name in self._held.keys() - _names(settings).keys():
            self._held.pop(name).close()

    def close(self) -> None:
        """Release everything."""
        while self._held:
            self._held.popitem()[1].close()


def _names(settings: RouteSettings) -> dict[str, str]:
    """Each with the key of the configuration that it comes from."""
    return {
        f"table/{settings.table}": "table",
        f"rules/{settings.rule_priority}": "rule_priority",
        f"nexthops/{settings.nexthop_base}": "nexthop_base",
        f"nft/{settings.nft_table}": "nft_table",
    }


def _claimed(name: str, key: str) -> socket.socket:
    address = f"\0steerd/{name}"
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with closed_on_error(one):
        for _ in range(_TRIES):
            try:
                one.bind(address)
            except OSError as error:
                holder = _holder(address)
                if holder is None:
                    continue  # it has just gone
                pid, uid = holder
                if uid not in (0, os.geteuid()):
                    # Anybody may take such a name; nobody but root may change routes, or keep us from it.
                    return one
                raise RouteError(
                    f"another steerd, process {pid}, has route.{key} {name.partition('/')[2]} here: "
                    "stop it, or give this one numbers of its own"
                ) from error
            one.listen(_ASKED)
            return one
    return one


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
