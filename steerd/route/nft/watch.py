"""Notices that somebody touched our table of nftables."""

from collections.abc import Callable

from steerd.net.netlink import NETLINK_NETFILTER
from steerd.net.notices import Notices

_GROUP = 7  # NFNLGRP_NFTABLES


class NftWatch(Notices):
    """``on_change()`` when a message names our table, or messages were lost."""

    def __init__(self, table: str, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.retarget(table)
        super().__init__(NETLINK_NETFILTER, (_GROUP,), self._heard, on_change)

    def retarget(self, table: str) -> None:
        """Our table has this name from now on."""
        self._name = table.encode() + b"\0"

    def _heard(self, datagram: bytes) -> None:
        # Every message about a table, or anything in it, has its name. Another's may contain it: one look too many.
        if self._name in datagram:
            self._on_change()
