"""A wire that makes one system call for many packets: sendmmsg(2) and recvmmsg(2), through ctypes.

The message headers are made once, each pointing to a place of its own for address, control messages and data;
sending and receiving write and read those places.
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from steerd.config.family import IPV4
from steerd.net.sockets import SocketOwner
from steerd.probe.wire import datagram as wire
from steerd.probe.wire.datagram import Ancillary, Arrival, Stamp

AVAILABLE: Final = struct.calcsize("P") == 8
"""The layouts below are those of 64-bit Linux."""

_SENT_AT_ONCE: Final = 64
_READ_AT_ONCE: Final = 128
_NAME: Final = 28  # a sockaddr_in6
_CONTROL: Final = 256
_GREATEST: Final = 2048  # bytes of a probe

# struct mmsghdr: name and its length; iovec and how many; control and its length; flags; bytes of the message.
_HEADER: Final = struct.Struct("@PI4xPNPNi4xI4x")
_NAME_LENGTH, _CONTROL_LENGTH = 8, 40
_RECEIVED: Final = struct.Struct("@Ni4xI4x")  # from the length of the control messages on
_IOVEC: Final = struct.Struct("@PN")
_UINT: Final = struct.Struct("@I")
_SIZE: Final = struct.Struct("@N")
_CMSG: Final = struct.Struct("@Nii")
_CMSG_ALIGN: Final = 8

# A control message with three time stamps, of which the first is that of the software.
_STAMPED: Final = struct.Struct("@Niill32x")
# The same, and after it the error that says which of a packet's stamps this is.
_DEPARTED: Final = struct.Struct("@Niill32xNiiIBBBBII")

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)

Envelope = tuple[bytes, bytes]


class _Block:
    """So many message headers with their places. ``headers`` is the memory that the kernel is shown."""

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self.data = bytearray(count * size)
        self.names = bytearray(count * _NAME)
        self.control = bytearray(count * _CONTROL)
        iovecs = bytearray(count * _IOVEC.size)
        self.headers = bytearray(count * _HEADER.size)
        # An exported buffer cannot be resized, and so keeps its address; the exports must live as long.
        parts = (self.data, self.names, self.control, iovecs, self.headers)
        self._exports = [(ctypes.c_char * len(part)).from_buffer(part) for part in parts]
        data, names, control, vectors, self.address = (ctypes.addressof(export) for export in self._exports)
        for at in range(count):
            _IOVEC.pack_into(iovecs, at * _IOVEC.size, data + at * size, size)
            places = (names + at * _NAME, _NAME, vectors + at * _IOVEC.size, 1, control + at * _CONTROL, _CONTROL)
            _HEADER.pack_into(self.headers, at * _HEADER.size, *places, 0, 0)
        self.iovecs = iovecs
        self.fresh = bytes(self.headers)


class Batch(SocketOwner):
    """A `steerd.probe.wire.datagram.Wire` over a socket that it closes in the end."""

    def __init__(self, sock: socket.socket, family: int) -> None:
        self.overflowed = False
        self._ipv4 = family == IPV4
        self._level = socket.IPPROTO_IP if self._ipv4 else socket.IPPROTO_IPV6
        self._error_kind = wire.IP_RECVERR if self._ipv4 else wire.IPV6_RECVERR
        self._name_length = 16 if self._ipv4 else _NAME
        self._source = (4, 8) if self._ipv4 else (8, 24)
        self._socket = sock
        self._numbered = True
        self._drops = wire.Drops(sock)
        self._out = _Block(_SENT_AT_ONCE, _GREATEST)
        self._in = _Block(_READ_AT_ONCE, wire.PACKET)
        self._data = memoryview(self._in.data)
        self._lengths = [(-1, -1)] * _SENT_AT_ONCE
        for at in range(_SENT_AT_ONCE):
            _UINT.pack_into(self._out.headers, at * _HEADER.size + _NAME_LENGTH, self._name_length)
        wire.stamp(sock, numbered=True)

    def envelope(self, target: bytes, port: int, options: Ancillary) -> Envelope:
        if self._ipv4:
            name = struct.pack("@H2s4s8x", socket.AF_INET, port.to_bytes(2, "big"), target)
        else:
            name = struct.pack("@H2sI16sI", socket.AF_INET6, port.to_bytes(2, "big"), 0, target, 0)
        control = b"".join(_control(*option) for option in options)
        return name, control + (_CMSG.pack(_CMSG.size + 4, socket.SOL_SOCKET, wire.SCM_TS_OPT_ID))

    def send(self, parcels: Sequence[tuple[bytes, int, Envelope]]) -> Sequence[int]:
        if len(parcels) <= _SENT_AT_ONCE:
            return self._send(parcels)
        errors: list[int] = []
        for first in range(0, len(parcels), _SENT_AT_ONCE):
            errors += self._send(parcels[first : first + _SENT_AT_ONCE])
        return errors

    def _send(self, parcels: Sequence[tuple[bytes, int, Envelope]]) -> list[int]:
        out, numbered, lengths = self._out, self._numbered, self._lengths
        data, names, control, size = out.data, out.names, out.control, out.size
        name_length = self._name_length
        for at, (packet, number, (name, options)) in enumerate(parcels):
            length, used = len(packet), len(options)
            data[at * size : at * size + length] = packet
            names[at * _NAME : at * _NAME + name_length] = name
            control[at * _CONTROL : at * _CONTROL + used] = options
            if numbered:
                _UINT.pack_into(control, at * _CONTROL + used, number)
                used += 8
            else:
                used -= _CMSG.size
            if lengths[at] != (length, used):
                lengths[at] = length, used
                _SIZE.pack_into(out.iovecs, at * _IOVEC.size + 8, length)
                _SIZE.pack_into(out.headers, at * _HEADER.size + _CONTROL_LENGTH, used)
        return self._flush(parcels)

    def _flush(self, parcels: Sequence[tuple[bytes, int, Envelope]]) -> list[int]:
        """Send what was written into its places; after a refusal go on behind it."""
        count, done = len(parcels), 0
        errors = [0] * count
        while done < count:
            place = self._out.address + done * _HEADER.size
            sent = _sendmmsg(self._socket.fileno(), place, count - done, socket.MSG_DONTWAIT)
            if sent > 0:
                done += sent
                continue
            error = ctypes.get_errno() or errno.EIO
            # A kernel before 6.13 does not know our numbers; a blackhole route says EINVAL with them and without.
            if error == errno.EINVAL and self._numbered and self._unnumbered(parcels[done]):
                done += 1
                return [*errors[:done], *self._send(parcels[done:])]
            errors[done] = error
            done += 1
        return errors

    def _unnumbered(self, parcel: tuple[bytes, int, Envelope]) -> bool:
        """Whether this kernel sends it without a number: then all others from now on, too."""
        self._numbered = False
        self._numbered = self._send([parcel]) != [0]
        if not self._numbered:
            wire.stamp(self._socket, numbered=False)
        return not self._numbered

    def stamps(self) -> Iterator[Stamp]:
        headers, control, data, size = self._in.headers, self._in.control, self._data, self._in.size
        expected = (socket.SOL_SOCKET, wire.SO_TIMESTAMPING, self._level, self._error_kind)
        numbered, unpack, received = self._numbered, _DEPARTED.unpack_from, _RECEIVED.unpack_from
        for count in self._read(socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT):
            for at in range(count):
                used, _, length = received(headers, at * _HEADER.size + _CONTROL_LENGTH)
                _, top, kind, seconds, rest, _, under, of, _, origin, _, _, _, info, identity = unpack(
                    control, at * _CONTROL
                )
                if (
                    used < _DEPARTED.size
                    or (top, kind, under, of) != expected
                    or origin != wire.SO_EE_ORIGIN_TIMESTAMPING
                ):
                    continue
                number, packet = (identity, b"") if numbered else (None, bytes(data[at * size : at * size + length]))
                yield number, info == wire.SCM_TSTAMP_SCHED, seconds * 1_000_000_000 + rest, packet

    def arrivals(self) -> Iterator[Arrival]:
        found = 0
        headers, control, names = self._in.headers, self._in.control, self._in.names
        data, size = self._data, self._in.size
        unpack, received = _STAMPED.unpack_from, _RECEIVED.unpack_from
        first, last = self._source
        for count in self._read(socket.MSG_DONTWAIT):
            found += count
            for at in range(count):
                used, _, length = received(headers, at * _HEADER.size + _CONTROL_LENGTH)
                _, top, kind, seconds, rest = unpack(control, at * _CONTROL)
                stamped = used >= _STAMPED.size and kind == wire.SO_TIMESTAMPING and top == socket.SOL_SOCKET
                yield (
                    data[at * size : at * size + length],
                    bytes(names[at * _NAME + first : at * _NAME + last]),
                    seconds * 1_000_000_000 + rest if stamped else 0,
                )
        self.overflowed = self._drops.overflowed(found)

    def _read(self, flags: int) -> Iterator[int]:
        """Fill the places again and again; yields how many each time."""
        block, descriptor = self._in, self._socket.fileno()
        headers, fresh = block.headers, block.fresh
        for _ in range(wire.AT_ONCE // _READ_AT_ONCE):
            headers[:] = fresh
            count = _recvmmsg(descriptor, block.address, _READ_AT_ONCE, flags, None)
            if count <= 0:
                return
            yield count
            if count < _READ_AT_ONCE:
                return


def _control(level: int, kind: int, data: bytes) -> bytes:
    message = _CMSG.pack(_CMSG.size + len(data), level, kind) + data
    return message + bytes(-len(message) % _CMSG_ALIGN)
