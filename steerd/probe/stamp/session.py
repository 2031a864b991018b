"""A STAMP session: one socket, so one source port, and its own count of probes (RFC 8762, section 4)."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from steerd.config.family import IPV4
from steerd.net.sockets import SocketOwner, address_family, closed_on_error
from steerd.probe.stamp import packet as stamp
from steerd.probe.stamp import tlv as stamp_tlv
from steerd.probe.stamp.direction import DirectionLog, numbers
from steerd.probe.stamp.residence import Residence
from steerd.probe.wire import datagram as wire
from steerd.probe.wire.datagram import Ancillary

_ANCILLARY: Final = 256
_HEADERS: Final = 256  # bytes, at most, before a packet that comes back with its stamp
_AT_ONCE: Final = 512  # packets read of one session at a time
_SSIDS: Final = 0xFFFF
_MANY: Final = 64  # packets at once: with fewer, no buffer was full
_REPORTED: Final = (2, 3)  # SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6
_SEQUENCE: Final = 4  # bytes, the first of a packet


class Asked(NamedTuple):
    """A probe as it was sent: its number, and the time stamp in it that its answer must repeat."""

    number: int
    timestamp: int


class Departure(NamedTuple):
    """A probe entered our own queue (``queued``), or left it: CLOCK_REALTIME in ns."""

    number: int
    queued: bool
    at_ns: int


class Report(NamedTuple):
    """An ICMP error about a probe."""

    number: int


class Reflection(NamedTuple):
    """An answer that proved to be one to the probe with this number; it came at ``at_ns``, CLOCK_REALTIME. ``stray`` is
    where it came from, if not from the target's address and port."""

    packet: stamp.ReflectedPacket
    number: int
    at_ns: int
    stray: str = ""


class StampSession(SocketOwner):
    """Probes to one address and port. ``sequence`` is that of the next probe; ``asked`` are those remembered, by
    theirs. ``residence`` judges what the target claims. ``overflowed``: some answers were lost in our own receive
    buffer before `answers` last read it."""

    def __init__(self, family: int, address: str, port: int, *, key: bytes | None, size: int, numbered: bool) -> None:
        """Probes have ``size`` bytes, as far as STAMP allows. Raises `OSError` if the socket cannot be opened."""
        self.log = DirectionLog()
        self.residence = Residence()
        self.asked: dict[int, Asked] = {}
        self.overflowed = False
        self._target = address, port
        self._family = address_family(family)
        self._packed = socket.inet_pton(self._family, address)
        self._key = key
        self._padding = stamp_tlv.padding(size, signed=key is not None)
        self._size = (stamp.BASE_SIGNED if key else stamp.BASE) + len(self._padding)
        self._ssid = 1 + int.from_bytes(os.urandom(4)) % _SSIDS
        self._numbers = numbers()
        self.sequence = next(self._numbers)
        self._level = socket.IPPROTO_IP if family == IPV4 else socket.IPPROTO_IPV6
        self._socket = sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with closed_on_error(sock):
            if family == IPV4:
                sock.setsockopt(socket.IPPROTO_IP, wire.IP_RECVERR, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, wire.IPV6_RECVERR, 1)
            self.number_stamps(numbered=numbered)
        self._drops = wire.Drops(sock)

    def number_stamps(self, *, numbered: bool) -> None:
        """Have stamps of departure come with a number (kernels since 6.13), or with the packet."""
        self._numbered = numbered
        wire.stamp(self._socket, numbered=numbered)

    def send(self, number: int, options: Ancillary) -> int:
        """Send the next probe, with this number; 0, or the errno with which the kernel refused."""
        sequence, timestamp = self.sequence, stamp.ntp(time.time_ns())
        fields = stamp.SenderPacket(sequence, timestamp, stamp.UNSYNCHRONIZED, self._ssid, self._padding)
        packet = stamp.pack(fields, self._key)
        if self._numbered:
            options = [*options, (socket.SOL_SOCKET, wire.SCM_TS_OPT_ID, wire.WORD.pack(number))]
        # A first error may be an ICMP error about an earlier probe: the next system call tells it, once.
        error = self._send(packet, options) and self._send(packet, options)
        if not error:
            self.asked[sequence] = Asked(number, timestamp)
            self.log.sent(sequence)
            self.sequence = next(self._numbers)
        return error

    def _send(self, packet: bytes, options: Ancillary) -> int:
        try:
            self._socket.sendmsg((packet,), options, 0, self._target)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def errors(self) -> Iterator[Departure | Report]:
        """What the kernel reports of probes sent."""
        for _ in range(_AT_ONCE):
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(self._size + _HEADERS, _ANCILLARY, socket.MSG_ERRQUEUE)
            except OSError:
                return
            at_ns = 0
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == wire.SO_TIMESTAMPING:
                    at_ns = wire.nanoseconds(data)
                elif level == self._level and kind in (wire.IP_RECVERR, wire.IPV6_RECVERR):
                    _, origin, _, _, _, info, identity = wire.EXTENDED_ERROR.unpack_from(data)
                    if origin == wire.SO_EE_ORIGIN_TIMESTAMPING:
                        number = identity if self._numbered else self._number_in(packet[-self._size :])
                        if number is not None:
                            yield Departure(number, info == wire.SCM_TSTAMP_SCHED, at_ns)
                    elif origin in _REPORTED and (number := self._number_in(packet)) is not None:
                        yield Report(number)

    def _number_in(self, packet: bytes) -> int | None:
        """Of the probe that begins with these bytes; the latest, if an ICMP error quotes none of them."""
        if len(packet) < _SEQUENCE:
            return next((asked.number for asked in reversed(self.asked.values())), None)
        asked = self.asked.get(int.from_bytes(packet[:_SEQUENCE]))
        return asked.number if asked else None

    def answers(self) -> Iterator[Reflection]:
        """What came in answer to a probe of this session."""
        found = 0
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _, address = self._socket.recvmsg(self._size, _ANCILLARY)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error; the error queue has the whole of it
            found += 1
            if answer := self._proved(data):
                number = self.asked[answer.sender_sequence].number
                at_ns = wire.received(ancillary) or time.time_ns()
                yield Reflection(answer, number, at_ns, self._stray(*address[:2]))
        self.overflowed = found >= _MANY and self._drops.overflowed(found)

    def _stray(self, address: str, port: int) -> str:
        if socket.inet_pton(self._family, address.partition("%")[0]) != self._packed:
            return address
        return "" if port == self._target[1] else f"port {port}"

    def _proved(self, data: bytes) -> stamp.ReflectedPacket | None:
        answer = stamp.read_reflected(data, self._key)
        asked = self.asked.get(answer.sender_sequence) if answer else None
        if answer is None or asked is None or answer.sender_timestamp != asked.timestamp:
            return None
        # A reflector that knows nothing of identifiers leaves it zero (RFC 8972, section 3).
        return answer if answer.ssid in (0, self._ssid) else None
