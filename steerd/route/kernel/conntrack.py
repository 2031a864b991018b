"""Pinned connections: counts them, and has conntrack forget those with a mark, and nothing else. Synchronous; for one
thread."""

import errno
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from socket import AF_INET

from steerd.net.netlink import NETLINK_NETFILTER, Connection, Message, NetlinkError, attribute, attributes

_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_DELETE = 1 << 8 | 2  # IPCTNL_MSG_CT_DELETE
_ANY_FAMILY = struct.pack("=BBH", 0, 0, 0)  # struct nfgenmsg
_MARK, _MARK_MASK = 8, 21
_U32 = struct.Struct(">I")

_NONE_THERE = {0, errno.ENOENT}


def forget(marks: Iterable[int], mask: int) -> None:
    """Delete every connection, of any protocol and both families, whose mark under ``mask`` is one of ``marks``. Its
    next packet starts a new connection, and goes the way that traffic goes now; behind NAT it gets another address, and
    its far end resets TCP. Raises `NetlinkError`."""
    with Connection(NETLINK_NETFILTER) as connection:
        ours = [attribute(_MARK, _U32.pack(mark)) for mark in marks if mark & mask]  # without our bits it is anybody's
        masked = attribute(_MARK_MASK, _U32.pack(mask))
        messages = [Message(_DELETE, 0, _ANY_FAMILY + mark + masked) for mark in ours]
        for refusal in connection.change(messages):
            if refusal.errno not in _NONE_THERE:
                raise NetlinkError(refusal.errno, refusal.text)


def counted(mask: int) -> Mapping[tuple[int, int], int]:
    """How many connections there are, by their mark under ``mask`` (never 0) and family (4 or 6). Raises
    `NetlinkError`."""
    with Connection(NETLINK_NETFILTER) as connection:
        return connection.dump_into(_GET, _ANY_FAMILY, lambda: _Marks(mask)).counts


class _Marks:
    """As they come: there may be millions."""

    def __init__(self, mask: int) -> None:
        self.counts: Counter[tuple[int, int]] = Counter()
        self._mask = mask

    def take(self, body: bytes) -> None:
        for kind, value in attributes(body, len(_ANY_FAMILY)):
            if kind == _MARK and (mark := _U32.unpack(value)[0] & self._mask):
                self.counts[mark, 4 if body[0] == AF_INET else 6] += 1

    def take_many(self, _: bytes) -> int:
        return 0
