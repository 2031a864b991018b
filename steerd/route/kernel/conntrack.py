"""Releases pinned connections: conntrack forgets those with a mark, and nothing else. Synchronous; for one thread."""

import errno
import struct
from collections.abc import Iterable

from steerd.net.netlink import NETLINK_NETFILTER, Connection, Message, NetlinkError, attribute

_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
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
