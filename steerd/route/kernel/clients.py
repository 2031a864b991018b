"""Has nftables forget the clients that it remembers for a path. Synchronous; for one thread."""

import errno
import struct
from collections.abc import Iterable

from steerd.net.netlink import NETLINK_NETFILTER, Connection, Message, NetlinkError, attribute

_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_DELETE = _SUBSYSTEM << 8 | 14  # NFT_MSG_DELSETELEM: without an element, all of them
_INET = struct.pack("=BBH", 1, 0, 0)  # struct nfgenmsg: NFPROTO_INET
_TABLE, _SET = 1, 2


def forget_clients(table: str, sets: Iterable[str]) -> None:
    """Empty these sets of a table of family inet: not by `nft`, which may be at work, or hang. A set that is not there
    is empty. Raises `NetlinkError`."""
    with Connection(NETLINK_NETFILTER) as connection:
        for name in sets:
            named = attribute(_TABLE, table.encode() + b"\0") + attribute(_SET, name.encode() + b"\0")
            for refusal in connection.transaction(_SUBSYSTEM, [Message(_DELETE, 0, _INET + named)]):
                if refusal.errno != errno.ENOENT:
                    raise NetlinkError(refusal.errno, refusal.text)
