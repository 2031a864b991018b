"""What nftables has counted, read without `nft`."""

import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from steerd.net.netlink import attributes

# linux/netfilter/nf_tables.h
_CHAIN, _EXPRESSIONS = 2, 4
_ELEMENT, _NAME, _DATA, _PACKETS = 1, 1, 2, 2
_OBJECT_NAME, _OBJECT_DATA = 2, 4
_U64: Final = struct.Struct("!Q")
_HEADER: Final = 4  # struct nfgenmsg


class Counted(NamedTuple):
    """Packets by chain, one figure for each of its rules that counts, since the table was put there for the ``time``th
    time."""

    time: int
    packets: Mapping[str, tuple[int, ...]]


def decode(rules: Iterable[bytes]) -> dict[str, tuple[int, ...]]:
    """The packets that the rules of each chain have counted, in order, of a dump of rules."""
    found: dict[str, tuple[int, ...]] = {}
    for body in rules:
        values = dict(attributes(body, _HEADER))
        chain = _text(values.get(_CHAIN, b""))
        for kind, expression in attributes(values.get(_EXPRESSIONS, b""), 0):
            parts = dict(attributes(expression, 0))
            if kind == _ELEMENT and parts.get(_NAME) == b"counter\0":
                found[chain] = (*found.get(chain, ()), _packets(parts.get(_DATA, b"")))
    return found


def counters(objects: Iterable[bytes]) -> dict[str, int]:
    """The packets that each counter has seen, of a dump of counters."""
    found: dict[str, int] = {}
    for body in objects:
        values = dict(attributes(body, _HEADER))
        found[_text(values.get(_OBJECT_NAME, b""))] = _packets(values.get(_OBJECT_DATA, b""))
    return found


def _packets(data: bytes) -> int:
    packets = dict(attributes(data, 0)).get(_PACKETS, b"")
    return int(_U64.unpack(packets)[0]) if len(packets) == _U64.size else 0


def _text(name: bytes) -> str:
    return name.rstrip(b"\0").decode(errors="replace")
