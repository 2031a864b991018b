"""Routes as the kernel lists them, taken in by the hundred.

The kernel lists a route and its shadow, over and over; each differs from the next by its prefix only. So a datagram is
taken column by column: one slice each picks the bytes of prefixes out of all its messages, and the rest is compared
with the first two messages as a whole. What does not fit is taken one by one. All but the prefix is decoded once a
kind."""

import socket
import struct
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from steerd.config.family import IPV4, IPV6
from steerd.net.netlink import HEADER, attribute, attributes
from steerd.route.kernel.codec.route import DESTINATION, Rta
from steerd.route.model.objects import Kind, RouteType, written
from steerd.route.model.prefixes import WIDTH, split

_CLONED = 0x200
_TEMPLATES = 1024
_AT_FAMILY = HEADER.size
_AT_LENGTH = HEADER.size + 1
_AT_DESTINATION = HEADER.size + 20
_AT_ADDRESS = HEADER.size + 24
_U32 = struct.Struct("=I")

Template = bytes
"""A message of a route without its header, its prefix and the prefix length."""


class Found(NamedTuple):
    """Routes by kind, their prefixes sorted and packed; and, apart, those of other protocols."""

    ours: dict[Kind, bytes]
    foreign: list[tuple[int, Kind]]


Key = TypeVar("Key")


class Columns(Generic[Key]):
    """One answer to a request for all routes of a family. ``packed`` has their prefixes, in the kernel's order, by what
    ``decode`` makes of the rest; None: it is left out."""

    def __init__(self, family: int, decode: Callable[[Template], Key | None]) -> None:
        self.packed: dict[Key, bytearray] = {}
        self._family = family
        self._decode = decode
        self._width = WIDTH[family] - 1
        self._head = DESTINATION[family]
        self._default = bytes(WIDTH[family])
        self._templates: dict[Template, Key | None] = {}
        self._last: Template = b""
        self._entries: bytearray | None = None

    def take(self, body: bytes) -> None:
        """One message."""
        # The kernel puts the table first and the destination next; anything else is taken the slow way.
        end = 24 + self._width
        if body[20:24] == self._head and body[1]:
            template, entry = body[:1] + body[2:20] + body[end:], body[24:end] + body[1:2]
        elif not body[1]:
            template, entry = body[:1] + body[2:], self._default
        else:
            template, entry = _slowly(body)
        if template != self._last:
            self._last, self._entries = template, self._of(template)
        if self._entries is not None:
            self._entries += entry

    def take_many(self, datagram: bytes) -> int:
        """Pairs of messages at its start that differ by prefix only. Returns where they end."""
        first = _length(datagram, 0)
        both = first + _length(datagram, first)
        rows = len(datagram) // both if both > first else 0
        if rows < 2:
            return 0
        end = rows * both
        # Headers: type, flags and number (not the length) are the same in both.
        if datagram[4 : HEADER.size] != datagram[first + 4 : first + HEADER.size]:
            return 0
        rest = bytearray(datagram[:end])
        taken: list[tuple[bytearray, bytearray]] = []
        for start, stop in ((0, first), (first, both)):
            head = datagram[start + _AT_DESTINATION : start + _AT_ADDRESS]
            if head != self._head or stop - start < _AT_ADDRESS + self._width:
                return 0
            width = self._width
            packed = bytearray(rows * (width + 1))
            for to, at in enumerate((*range(start + _AT_ADDRESS, start + _AT_ADDRESS + width), start + _AT_LENGTH)):
                column = datagram[at:end:both]
                packed[to :: width + 1] = column
                rest[at::both] = bytes((column[0],)) * rows
            template = (
                datagram[start + _AT_FAMILY : start + _AT_LENGTH]
                + datagram[start + _AT_LENGTH + 1 : start + _AT_DESTINATION]
                + datagram[start + _AT_ADDRESS + width : stop]
            )
            entries = self._of(template)
            if entries is not None:
                taken.append((entries, packed))
        if rest != datagram[:both] * rows:
            return 0
        for entries, packed in taken:
            entries.extend(packed)
        return end

    def sorted(self, key: Key) -> bytes:
        """A packed set."""
        return b"".join(sorted(split(self._family, bytes(self.packed[key]))))

    def _of(self, template: Template) -> bytearray | None:
        """Where prefixes of this template go; None for what is left out."""
        if template not in self._templates:
            if len(self._templates) >= _TEMPLATES:
                self._templates.clear()
            self._templates[template] = self._decode(template)
        known = self._templates[template]
        return None if known is None else self.packed.setdefault(known, bytearray())


class Listing(Columns[tuple[int, Kind]]):
    """By protocol and kind. ``names`` gives devices by index."""

    def __init__(self, family: int, names: Mapping[int, str]) -> None:
        super().__init__(family, lambda template: _decode(template, names))

    @property
    def size(self) -> int:
        """How many routes were taken in."""
        return sum(map(len, self.packed.values())) // (self._width + 1)

    def found(self, protocol: int) -> Found:
        """All that was taken in."""
        filled = [key for key, entries in self.packed.items() if entries]
        ours = {key[1]: self.sorted(key) for key in filled if key[0] == protocol}
        return Found(ours, [key for key in filled if key[0] != protocol])


def _length(datagram: bytes, at: int) -> int:
    """Of the message there, as far as the next; 0 where there is none."""
    if at + HEADER.size > len(datagram):
        return 0
    length: int = _U32.unpack_from(datagram, at)[0]
    return (length + 3) & ~3


def _slowly(body: bytes) -> tuple[Template, bytes]:
    rest = [body[:1], body[2:12]]
    address = b""
    for kind, value in attributes(body, 12):
        if kind == Rta.DST:
            address = value
        else:
            rest.append(attribute(kind, value))
    return b"".join(rest), address + body[1:2]


def _decode(template: Template, names: Mapping[int, str]) -> tuple[int, Kind] | None:
    """A route without its prefix and prefix length; None for what is no entry of a table (a cached clone)."""
    address_family, _src_len, _tos, table, protocol, _scope, kind, flags = struct.unpack_from("=BBBBBBBI", template)
    if flags & _CLONED:
        return None
    family = IPV4 if address_family == socket.AF_INET else IPV6
    values = dict(attributes(template, 11))

    def number(one: Rta, default: int = 0) -> int:
        return int(_U32.unpack(values[one])[0]) if one in values else default

    device, via, nexthop = "", "", number(Rta.NH_ID)
    if nexthop:
        kind = RouteType.UNICAST
    elif kind == RouteType.UNICAST:  # of others a device would be the loopback of an IPv6 reject
        index = number(Rta.OIF)
        device = names.get(index, f"if{index}") if index else ""
        if Rta.MULTIPATH in values:
            via = "multipath"  # never ours: those with a nexthop id only have a copy of the group there
        elif Rta.GATEWAY in values:
            via = written(socket.inet_ntop(address_family, values[Rta.GATEWAY]), flags)
    return protocol, Kind(family, number(Rta.TABLE, table), number(Rta.PRIORITY), kind, nexthop, device, via)
