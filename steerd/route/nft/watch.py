"""Notices that somebody touched our table of nftables: cheap, and never trusted to be complete."""

import errno
import socket
from collections.abc import Callable

from steerd.net.netlink import NETLINK_ADD_MEMBERSHIP, NETLINK_NETFILTER, SOL_NETLINK, widen

_GROUP = 7  # NFNLGRP_NFTABLES
_PER_WAKING = 64
"""Datagrams read before the loop gets its turn again."""


class NftWatch:
    """A listening socket. ``on_change()`` when a message names our table, or messages were lost."""

    def __init__(self, table: str, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.retarget(table)
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_NETFILTER
        )
        try:
            widen(self._socket)
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, _GROUP)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def retarget(self, table: str) -> None:
        self._name = table.encode() + b"\0"

    def read(self) -> None:
        """Takes in what is there. Called when the socket is readable."""
        for _ in range(_PER_WAKING):
            try:
                datagram = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._on_change()
                continue
            # Every message about a table, or anything in it, has its name; another's may contain it: one look too many.
            if self._name in datagram:
                self._on_change()
