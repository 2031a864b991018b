"""Pinned connections: counts and lists them, and has conntrack forget those with a mark, or some of them, and nothing
else. Synchronous; for one thread."""

import errno
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from socket import AF_INET
from typing import NamedTuple

from steerd.net.netlink import NETLINK_NETFILTER, Connection, Message, NetlinkError, attribute, attributes

_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_DELETE = 1 << 8 | 2  # IPCTNL_MSG_CT_DELETE
_ANY_FAMILY = struct.pack("=BBH", 0, 0, 0)  # struct nfgenmsg
_FORWARD, _REPLY, _IP = 1, 2, 1  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY; CTA_TUPLE_IP within them
_SOURCES = (1, 3)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
_MARK, _ID, _ZONE, _MARK_MASK = 8, 12, 18, 21
_NESTED = 0x8000
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


class Pinned(NamedTuple):
    """One connection: packed addresses of who began it, and of where its packets go, behind what is translated.
    ``named``: what it is called to conntrack."""

    mark: int
    family: int
    source: bytes
    destination: bytes
    named: bytes


def pinned(marks: Collection[int], mask: int) -> list[Pinned]:
    """Those whose mark under ``mask`` is one of ``marks``. Raises `NetlinkError`."""
    found: list[Pinned] = []
    with Connection(NETLINK_NETFILTER) as connection:
        for mark in marks:
            # The kernel leaves out the others: there may be millions.
            only = attribute(_MARK, _U32.pack(mark)) + attribute(_MARK_MASK, _U32.pack(mask))
            found += [one for body in connection.dump(_GET, _ANY_FAMILY + only) if (one := _pinned(body, mark, mask))]
    return found


def forget_each(connections: Iterable[Pinned]) -> int:
    """As `forget`, these alone; returns how many there were. One that has ended is passed over."""
    with Connection(NETLINK_NETFILTER) as connection:
        messages = [Message(_DELETE, 0, one.named) for one in connections]
        refusals = connection.change(messages)
    for refusal in refusals:
        if refusal.errno not in _NONE_THERE:
            raise NetlinkError(refusal.errno, refusal.text)
    return len(messages) - len(refusals)


def _pinned(body: bytes, mark: int, mask: int) -> Pinned | None:
    said = dict(attributes(body, len(_ANY_FAMILY)))
    source, destination = (_source(said.get(way, b"")) for way in (_FORWARD, _REPLY))
    if not (source and destination) or _U32.unpack(said.get(_MARK, bytes(4)))[0] & mask != mark:
        return None
    named = struct.pack("=BBH", body[0], 0, 0) + attribute(_FORWARD | _NESTED, said[_FORWARD])
    named += b"".join(attribute(kind, said[kind]) for kind in (_ID, _ZONE) if kind in said)
    return Pinned(mark, 4 if body[0] == AF_INET else 6, source, destination, named)


def _source(tuple_: bytes) -> bytes:
    addresses = dict(attributes(dict(attributes(tuple_, 0)).get(_IP, b""), 0))
    return next((addresses[kind] for kind in _SOURCES if kind in addresses), b"")


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
