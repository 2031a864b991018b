"""Pinned connections: counts and lists them, has conntrack forget those with a mark, and lets go of some, and touches
nothing else. Synchronous; for one thread."""

import errno
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from socket import AF_INET
from typing import NamedTuple

from steerd.net.netlink import NETLINK_NETFILTER, Connection, Message, NetlinkError, attribute, attributes

_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_CHANGE = 1 << 8  # IPCTNL_MSG_CT_NEW: of one that is there
_DELETE = 1 << 8 | 2  # IPCTNL_MSG_CT_DELETE
_ANY_FAMILY = struct.pack("=BBH", 0, 0, 0)  # struct nfgenmsg
_FORWARD, _REPLY, _IP = 1, 2, 1  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY; CTA_TUPLE_IP within them
_SOURCES, _DESTINATIONS = (1, 3), (2, 4)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC; CTA_IP_V4_DST, CTA_IP_V6_DST
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


def counted(mask: int, marks: Iterable[int] | None = None) -> Mapping[tuple[int, int], int]:
    """How many connections there are, by their mark under ``mask`` (never 0) and family (4 or 6); ``marks``: of these
    alone. Raises `NetlinkError`."""
    found: Counter[tuple[int, int]] = Counter()
    with Connection(NETLINK_NETFILTER) as connection:
        for only in [b""] if marks is None else [_only(mark, mask) for mark in marks]:
            found |= connection.dump_into(_GET, _ANY_FAMILY + only, lambda: _Marks(mask)).counts
    return found


def _only(mark: int, mask: int) -> bytes:
    """Has the kernel leave out connections with other marks: there may be millions."""
    return attribute(_MARK, _U32.pack(mark)) + attribute(_MARK_MASK, _U32.pack(mask))


class Pinned(NamedTuple):
    """One connection: packed addresses of who began it, and of where its packets go, behind what is translated.
    ``translated``: its packets leave under another address. ``named``: what it is called to conntrack."""

    mark: int
    family: int
    source: bytes
    destination: bytes
    translated: bool
    named: bytes


def pinned(marks: Collection[int], mask: int) -> list[Pinned]:
    """Those whose mark under ``mask`` is one of ``marks``. Raises `NetlinkError`."""
    found: list[Pinned] = []
    with Connection(NETLINK_NETFILTER) as connection:
        for mark in marks:
            listed = connection.dump(_GET, _ANY_FAMILY + _only(mark, mask))
            found += [one for body in listed if (one := _pinned(body, mark, mask))]
    return found


def let_go(connections: Iterable[Pinned], mask: int) -> int:
    """Have the next packets of these go by what their policy uses: of a path that still works. What is translated is
    forgotten. The others lose their mark under ``mask``: if they were forgotten, answers on the way would begin a
    connection from the far end, which belongs to the path. Returns how many there were. Raises `NetlinkError`."""
    unmark = attribute(_MARK, bytes(4)) + attribute(_MARK_MASK, _U32.pack(mask))
    with Connection(NETLINK_NETFILTER) as connection:
        messages = [
            Message(_DELETE, 0, one.named) if one.translated else Message(_CHANGE, 0, one.named + unmark)
            for one in connections
        ]
        refusals = connection.change(messages)
    for refusal in refusals:
        if refusal.errno not in _NONE_THERE:
            raise NetlinkError(refusal.errno, refusal.text)
    return len(messages) - len(refusals)


def _pinned(body: bytes, mark: int, mask: int) -> Pinned | None:
    said = dict(attributes(body, len(_ANY_FAMILY)))
    source, destination = (_address(said.get(way, b""), _SOURCES) for way in (_FORWARD, _REPLY))
    if not (source and destination) or _U32.unpack(said.get(_MARK, bytes(4)))[0] & mask != mark:
        return None
    named = struct.pack("=BBH", body[0], 0, 0) + attribute(_FORWARD | _NESTED, said[_FORWARD])
    named += b"".join(attribute(kind, said[kind]) for kind in (_ID, _ZONE) if kind in said)
    translated = _address(said[_REPLY], _DESTINATIONS) != source
    return Pinned(mark, 4 if body[0] == AF_INET else 6, source, destination, translated, named)


def _address(tuple_: bytes, kinds: Iterable[int]) -> bytes:
    addresses = dict(attributes(dict(attributes(tuple_, 0)).get(_IP, b""), 0))
    return next((addresses[kind] for kind in kinds if kind in addresses), b"")


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
