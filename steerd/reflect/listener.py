"""The sockets of the reflector: packets that come in, with what the kernel knows of them, and answers that go out."""

import contextlib
import errno
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.faults import Boundary
from steerd.net.sockets import SocketOwner, address_family, closed_on_error
from steerd.probe.wire import datagram as wire
from steerd.probe.wire.datagram import Ancillary
from steerd.reflect.reflector import DropReason, Question, Reflector

PORT: Final = 862
"""The reflector's port (RFC 8762, section 4.1)."""

_IP_TTL, _IP_RECVTTL = 2, 12  # not in the socket module: linux/in.h
_HOP_LIMITS = ((socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT))
_MULTICAST6 = 0xFF

_PKTINFO = struct.Struct("@i4s4s")
_PKTINFO6 = struct.Struct("@16si")
_INT = struct.Struct("@i")

_PACKET = 9216  # bytes: what the largest frames hold
_ANCILLARY = 256
_BUFFER = 1 << 20
_AT_ONCE = 256  # packets of one socket before the others are looked at
_UNKNOWN_TTL = 255

_WAKING = (signal.SIGTERM, signal.SIGINT)


def everywhere() -> list[tuple[str, int]]:
    """All addresses of this machine, which may have no IPv6."""
    found = [("0.0.0.0", PORT)]  # noqa: S104 -- it answers anybody
    with contextlib.suppress(OSError):
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        found.append(("::", PORT))
    return found


class ListenError(Exception):
    """A socket cannot be opened. The message is one line for the operator."""


class Listener(SocketOwner):
    """Sends a `Reflector`'s answers to the packets that come to one address and port."""

    def __init__(self, address: str, port: int) -> None:
        """``address`` is numeric; an unspecified one serves all addresses of its family. Raises `ListenError`."""
        self._boundary = Boundary("packets")
        self.family = IPV6 if ":" in address else IPV4
        family = address_family(self.family)
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            with closed_on_error(self._socket):
                self._set_up(self._socket)
                # With the scope of a link-local address.
                self._socket.bind(socket.getaddrinfo(address, port, family, flags=socket.AI_NUMERICHOST)[0][4])
        except OSError as error:
            raise ListenError(f"cannot listen on {_written(address, port)}: {_reason(error, port)}") from None

    def _set_up(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, wire.SO_TIMESTAMPING, wire.RECEIPTS)
        if self.family == IPV4:
            sock.setsockopt(socket.IPPROTO_IP, wire.IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)

    def __str__(self) -> str:
        return _written(*self._socket.getsockname()[:2])

    @property
    def port(self) -> int:
        """The port in use, where the settings say 0."""
        return int(self._socket.getsockname()[1])

    def serve(self, reflector: Reflector) -> None:
        """Answer what has come, `_AT_ONCE` packets at most."""
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, flags, address = self._socket.recvmsg(_PACKET, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error that an earlier answer met
            with self._boundary:
                self._answer(reflector, data, _delivery(ancillary), flags, address)

    def _answer(
        self, reflector: Reflector, data: bytes, came: "_Delivery", flags: int, address: tuple[Any, ...]
    ) -> None:
        if flags & socket.MSG_TRUNC:
            reflector.refuse(DropReason.TRUNCATED)
        elif came.back is None:
            reflector.refuse(DropReason.GROUP)
        else:
            source = socket.inet_pton(self._socket.family, address[0].partition("%")[0])
            question = Question(data, source, address[1], came.local, came.ttl, came.at_ns or time.time_ns())
            answer = reflector.answer(question, time.monotonic(), time.time_ns())
            if answer is not None:
                try:
                    self._socket.sendmsg((answer,), (came.back,), 0, address)
                except OSError:
                    reflector.unsent()


class _Delivery(NamedTuple):
    """What the kernel says of a packet: when it came (CLOCK_REALTIME in ns, 0: unknown), its hop limit, the packed
    address it was sent to, and the control message with which the answer leaves from there; None if that is not an
    address of this machine alone."""

    at_ns: int
    ttl: int
    local: bytes
    back: tuple[int, int, bytes] | None


def _delivery(ancillary: Ancillary) -> _Delivery:
    ttl, local = _UNKNOWN_TTL, b""
    back: tuple[int, int, bytes] | None = None
    for level, kind, value in ancillary:
        which = level, kind
        if which in _HOP_LIMITS:
            (ttl,) = _INT.unpack_from(value)
        elif which == (socket.IPPROTO_IP, wire.IP_PKTINFO):
            _, own, local = _PKTINFO.unpack_from(value)
            if own == local:
                back = level, kind, _PKTINFO.pack(0, own, bytes(4))
        elif which == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            local, device = _PKTINFO6.unpack_from(value)
            # A link-local address is an address of one device only.
            link_local = local[0] == 0xFE and local[1] & 0xC0 == 0x80
            if local[0] != _MULTICAST6:
                back = level, kind, _PKTINFO6.pack(local, device if link_local else 0)
    return _Delivery(wire.received(ancillary), ttl & 0xFF, local, back)


def serve(
    listeners: Sequence[Listener],
    reflector: Reflector,
    *,
    started: Callable[[], None],
    every: float,
    report: Callable[[], None],
) -> None:
    """Answer until SIGTERM or SIGINT. ``started`` is called once it does, ``report`` ``every`` so many seconds."""
    with selectors.DefaultSelector() as selector, _signals() as woken:
        selector.register(woken, selectors.EVENT_READ)
        for listener in listeners:
            selector.register(listener, selectors.EVENT_READ, listener)
        started()
        due = time.monotonic() + every
        while True:
            ready = [key.data for key, _ in selector.select(max(0.0, due - time.monotonic()))]
            if None in ready:
                return
            for listener in ready:
                listener.serve(reflector)
            if time.monotonic() >= due:
                due = time.monotonic() + every
                report()


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that is readable once a signal asked us to end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno())
    handlers = [signal.signal(number, lambda *_: None) for number in _WAKING]
    try:
        yield ours
    finally:
        for number, handler in zip(_WAKING, handlers, strict=True):
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        ours.close()
        theirs.close()


def _written(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EACCES:
        return f"port {port} needs CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRINUSE:
        return "the port is taken"
    return os.strerror(error.errno or errno.EIO)
