"""One netlink socket: framing, batches, acknowledgements, dumps. Knows nothing of what it carries."""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from steerd.net.sockets import SocketOwner, closed_on_error, enlarge

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_ACK_TLVS = 0x200

NLMSG_ERROR = 2
NLMSG_DONE = 3

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
NETLINK_GENERIC = 16

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12

RECEIVE_BUFFER = 8 << 20
"""Bytes: room for a burst of messages."""

HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port id."""

BATCH = 256
"""Messages per send: beyond this the gain is gone, and the kernel's errors still fit our receive buffer."""

_RECEIVE = 1 << 18
_LAST_NUMBER = 0xFFFFFFFF
_TIMEOUT = 20.0
_DUMP_ATTEMPTS = 8
_INTERRUPTED = "the kernel's tables changed under every attempt to read them"
_ERRNO = struct.Struct("=i")
_ATTRIBUTE = struct.Struct("=HH")
_ATTR_MASK = 0x3FFF
_NLMSGERR_ATTR_MSG = 1
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11  # NFNL_MSG_BATCH_*


class Message(NamedTuple):
    """What a request says, without the header's length and sequence number."""

    type: int
    flags: int
    body: bytes


class Refusal(NamedTuple):
    """The kernel said no to the message at ``place`` in what was sent. ``text`` is in its own words."""

    place: int
    errno: int
    text: str


class Reader(Protocol):
    """What takes in a dump as it comes."""

    def take(self, body: bytes) -> None:
        """One message."""

    def take_many(self, datagram: bytes) -> int:
        """Messages at the start of a datagram, all with the first one's type, flags and number. Returns where they
        end: the rest comes one by one."""


ReaderT = TypeVar("ReaderT", bound=Reader)


class NetlinkError(OSError):
    """A read was refused, its subject changed under every attempt, or the kernel did not answer."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The attributes of ``body`` from ``offset`` on, nesting and byte-order flags taken off their types."""
    end = len(body)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            return
        yield kind & _ATTR_MASK, body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def frames(datagram: bytes, at: int = 0) -> Iterator[tuple[int, int, int, bytes]]:
    """``(type, flags, sequence number, body)`` of each message in a datagram, from the place ``at`` on."""
    end = len(datagram)
    unpack = HEADER.unpack_from
    while at + 16 <= end:
        length, kind, flags, number, _port = unpack(datagram, at)
        if length < 16:
            return
        yield kind, flags, number, datagram[at + 16 : at + length]
        at += (length + 3) & ~3


def sender(datagram: bytes) -> int:
    """The address of the socket whose request a notification tells of; 0: the kernel itself."""
    return int(HEADER.unpack_from(datagram)[-1]) if len(datagram) >= HEADER.size else 0


class Connection(SocketOwner):
    """A blocking netlink socket, used by one thread. ``changes`` counts the messages sent by `change`."""

    def __init__(self, protocol: int = NETLINK_ROUTE, *, timeout: float = _TIMEOUT, number: int = 0) -> None:
        """``protocol``: the netlink family, `NETLINK_ROUTE` or another. ``timeout``: seconds to wait for an answer.
        ``number``: the sequence number behind which its messages' begin."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        with closed_on_error(self._socket):
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
                self._socket.setsockopt(SOL_NETLINK, option, 1)
            enlarge(self._socket, RECEIVE_BUFFER)
            self._socket.bind((0, 0))
            self._socket.settimeout(timeout)
        self.port: int = self._socket.getsockname()[0]
        self.changes = 0
        self._timeout = timeout
        self._number = number

    def may_change(self, impossible: Message) -> bool:
        """Whether we have CAP_NET_ADMIN here, asked by a change that cannot succeed."""
        return all(one.errno != errno.EPERM for one in self._send_batch([impossible], 0))

    def change(self, messages: Iterable[Message]) -> list[Refusal]:
        """Send all messages in order, `BATCH` a send, and return what was refused: that does not stop those after it.
        Raises `NetlinkError` when no answer comes."""
        refusals: list[Refusal] = []
        remaining = iter(messages)
        done = 0
        while batch := list(islice(remaining, BATCH)):
            refusals += self._send_batch(batch, done)
            done += len(batch)
        self.changes += done
        return refusals

    def _send_batch(self, batch: Sequence[Message], base: int) -> list[Refusal]:
        first = self._numbers(len(batch))
        last = self._number
        # Errors come back unasked; one acknowledgement, of the last message, says that the batch is through.
        parts = []
        for number, (kind, flags, body) in enumerate(batch, first):
            asked = flags | NLM_F_REQUEST | (NLM_F_ACK if number == last else 0)
            parts.append(HEADER.pack(16 + len(body), kind, asked, number, 0) + body + b"\0" * (-len(body) % 4))
        self._socket.send(b"".join(parts))
        refusals = []
        while True:
            for kind, flags, number, body in frames(self._receive()):
                if kind != NLMSG_ERROR or not first <= number <= last:
                    continue  # the tail of something given up on earlier
                code = -_ERRNO.unpack_from(body)[0]
                if code:
                    refusals.append(Refusal(base + number - first, code, words(code, flags, body)))
                if number == last:
                    return refusals

    def transaction(self, subsystem: int, messages: Sequence[Message]) -> list[Refusal]:
        """Send messages of nfnetlink's that take effect together, or not at all: then one was refused. Raises
        `NetlinkError` when none of them was looked at, or no answer comes."""
        first = self._numbers(len(messages) + 2)
        last = self._number
        edge = struct.pack("=BB", 0, 0) + subsystem.to_bytes(2)
        begin, end = Message(_BATCH_BEGIN, 0, edge), Message(_BATCH_END, 0, edge)
        parts = []
        for number, (kind, flags, body) in enumerate([begin, *messages, end], first):
            asked = flags | NLM_F_REQUEST | (NLM_F_ACK if first < number < last else 0)
            parts.append(HEADER.pack(16 + len(body), kind, asked, number, 0) + body + b"\0" * (-len(body) % 4))
        self._socket.send(b"".join(parts))
        refusals, open_ = [], set(range(first + 1, last))
        while open_:
            for kind, flags, number, body in frames(self._receive()):
                if kind == NLMSG_ERROR and number == first:
                    _raise_refusal(flags, body)
                if kind == NLMSG_ERROR and number in open_:
                    open_.discard(number)
                    if code := -_ERRNO.unpack_from(body)[0]:
                        refusals.append(Refusal(number - first - 1, code, words(code, flags, body)))
        self.changes += len(messages)
        return refusals

    def ask(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of the answer to a single request. Raises `NetlinkError` with the kernel's errno on a refusal."""
        wanted = self._request(kind, NLM_F_ACK, body)
        found: list[bytes] = []
        while True:
            for answer, flags, number, content in frames(self._receive()):
                if number != wanted:
                    continue
                if answer == NLMSG_ERROR:
                    _raise_refusal(flags, content)
                    return found
                found.append(content)

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of everything that the kernel lists for this request, as one consistent picture. Raises
        `NetlinkError` with the kernel's errno on a refusal."""
        found: list[bytes] = []
        for _ in range(_DUMP_ATTEMPTS):
            if self._dump_once(kind, body, found.append):
                return found
            found.clear()
        raise NetlinkError(0, _INTERRUPTED)

    def dump_into(self, kind: int, body: bytes, reader: Callable[[], ReaderT]) -> ReaderT:
        """As `dump`, but into what ``reader`` makes, as it comes: for lists too long to be held twice."""
        for _ in range(_DUMP_ATTEMPTS):
            one = reader()
            if self._dump_once(kind, body, one.take, one.take_many):
                return one
        raise NetlinkError(0, _INTERRUPTED)

    def _numbers(self, count: int) -> int:
        """Take so many sequence numbers in a row; the first. They have 32 bits: a year of many switches has more."""
        first = self._number + 1 if self._number + count <= _LAST_NUMBER else 1
        self._number = first + count - 1
        return first

    def _request(self, kind: int, flags: int, body: bytes) -> int:
        """Send one request; its sequence number."""
        self._numbers(1)
        self._socket.send(HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | flags, self._number, 0) + body)
        return self._number

    def _dump_once(
        self, kind: int, body: bytes, take: Callable[[bytes], object], take_many: Callable[[bytes], int] = lambda _: 0
    ) -> bool:
        """False: something changed meanwhile, and what was taken is no whole."""
        wanted = self._request(kind, NLM_F_DUMP, body)
        interrupted = False
        while True:
            datagram = self._receive()
            _, _, first_flags, first_number, _ = HEADER.unpack_from(datagram)
            plain = first_number == wanted and not first_flags & NLM_F_DUMP_INTR
            for answer, flags, number, content in frames(datagram, take_many(datagram) if plain else 0):
                if number != wanted:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if answer in (NLMSG_DONE, NLMSG_ERROR):
                    _raise_refusal(flags, content)
                    return not interrupted
                take(content)

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_RECEIVE)
        except TimeoutError as error:
            raise NetlinkError(0, f"the kernel did not answer within {self._timeout:g} s") from error


def _raise_refusal(flags: int, body: bytes) -> None:
    """Raise `NetlinkError` if this end of an answer has an errno."""
    code = -_ERRNO.unpack_from(body)[0] if len(body) >= _ERRNO.size else 0
    if code:
        raise NetlinkError(code, words(code, flags, body))


def words(code: int, flags: int, body: bytes) -> str:
    """What the kernel says to a refusal with this errno, in its own words if it has any."""
    if flags & NLM_F_ACK_TLVS:
        for kind, value in attributes(body, 4 + HEADER.size):
            if kind == _NLMSGERR_ATTR_MSG:
                return value.rstrip(b"\0").decode(errors="replace")
    return os.strerror(code)
