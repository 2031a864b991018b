"""TCP and UDP probes, crafted and read by scapy, sent through a raw socket of our own as a path's probes are.

scapy's own sockets would look up the route without the path's mark. All probes of a trace have the same addresses and
ports: routers that balance flows send all of them one way.
"""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from scapy.layers.inet import IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import IPerror6, IPv6
from scapy.packet import Packet, Raw

from steerd.config.family import IPV4
from steerd.net.icmp import IPV4_HEADER, IPV6_HEADER
from steerd.net.sockets import address_family
from steerd.trace.process import sockets
from steerd.trace.process.messages import Kind
from steerd.trace.process.sweep import HOPS, PROBES, Answer
from steerd.trace.request import Aim, Request
from steerd.trace.result import ELSEWHERE

_NUMBERS: Final = range(1, HOPS * PROBES + 1)
_APART: Final = 1 << 24
"""Between the TCP sequence numbers of two probes: one within the other's window would be answered with a reset."""
_TTL: Final = 64
_QUOTED: Final = 8  # bytes of TCP or UDP: all that many routers quote, and all that scapy is given
_PAYLOAD: Final = 4
_STAMP: Final = 44  # bytes of a STAMP test packet, which begins with its number (RFC 8762)
_STAMP_SENDER: Final = slice(24, 28)  # where a reflector repeats that number


class Flow:
    """The packets of a trace: how one is made, and recognized in an answer. Pure. A TCP probe is told by its sequence
    number, a UDP probe by the identification of its IPv4 header, or by its payload, of which IPv6 quotes enough."""

    def __init__(self, aim: Aim, source: str, method: str, ports: tuple[int, int], dscp: int) -> None:
        self.source = source
        self.target = aim.address
        self.ports = ports
        self._v4 = aim.family == IPV4
        self._tcp = method == "tcp"
        self._dscp = dscp
        self._number = int.from_bytes(os.urandom(4))
        self._id = 1 + int.from_bytes(os.urandom(2)) % 0xFF00

    def probe(self, number: int, ttl: int) -> bytes:
        """The packet of probe ``number``, with its IP header."""
        own, other = self.ports
        if self._tcp:
            transport: Packet = TCP(sport=own, dport=other, flags="S", seq=self._sequence(number), window=1024)
        else:
            transport = UDP(sport=own, dport=other) / Raw(self._payload(number))
        return bytes(self._network(number, ttl) / transport)

    def reset(self, acknowledged: int) -> bytes:
        """The packet that ends a connection which a SYN-ACK has half opened."""
        own, other = self.ports
        return bytes(self._network(0, _TTL) / TCP(sport=own, dport=other, flags="R", seq=acknowledged))

    def _network(self, number: int, ttl: int) -> Packet:
        if self._v4:
            identification = self._id + number
            return IP(src=self.source, dst=self.target, ttl=ttl, id=identification, flags="DF", tos=self._dscp << 2)
        return IPv6(src=self.source, dst=self.target, hlim=ttl, tc=self._dscp << 2)

    def _sequence(self, number: int) -> int:
        return (self._number + number * _APART) & 0xFFFFFFFF

    def _payload(self, number: int) -> bytes:
        return ((self._number + number) & 0xFFFFFFFF).to_bytes(4).ljust(_STAMP, b"\0")

    def quoted(self, quoted: bytes) -> int | None:
        """The number of our probe of which these are the first bytes; None for any other packet."""
        size = (quoted[0] & 0xF) * 4 if self._v4 and quoted else IPV6_HEADER
        if len(quoted) < max(size, IPV4_HEADER if self._v4 else IPV6_HEADER) + _QUOTED:
            return None
        try:
            network = (IPerror if self._v4 else IPerror6)(quoted[: size + _QUOTED])
            transport = network.getlayer(TCPerror if self._tcp else UDPerror)
            if transport is None or network.dst != self.target or (transport.sport, transport.dport) != self.ports:
                return None
            if self._tcp:
                return self._of_sequence(transport.seq)
            if self._v4:
                return self._known(network.id - self._id)
        except Exception:  # noqa: BLE001 (scapy may raise anything on garbage)
            return None
        payload = quoted[size + _QUOTED : size + _QUOTED + _PAYLOAD]
        return self._known(int.from_bytes(payload) - self._number) if len(payload) == _PAYLOAD else None

    def segment(self, data: bytes) -> tuple[int | None, Any]:
        """The number of the probe that a TCP segment from the target answers, and the segment; None, None for any
        other. ``data`` as a raw socket has it: for IPv4 with the IP header."""
        try:
            network = IP(data[:64]) if self._v4 else TCP(data[:64])
            segment = network.getlayer(TCP)
            if segment is None or (segment.dport, segment.sport) != self.ports or not segment.flags.A:
                return None, None
            return self._of_sequence(segment.ack - 1), segment
        except Exception:  # noqa: BLE001
            return None, None

    def datagram(self, data: bytes) -> int | None:
        """The number of the probe that a datagram answers (echo or STAMP reflector); None if it does not tell."""
        places = [_STAMP_SENDER] if len(data) >= _STAMP else []
        places += [slice(_PAYLOAD)] if len(data) >= _PAYLOAD else []
        numbers = [self._known(int.from_bytes(bytes(data[place])) - self._number) for place in places]
        return next((number for number in numbers if number is not None), None)

    def _of_sequence(self, sequence: int) -> int | None:
        number, rest = divmod((sequence - self._number) & 0xFFFFFFFF, _APART)
        return None if rest else self._known(number)

    def _known(self, number: int) -> int | None:
        number &= 0xFFFFFFFF
        return number if number in _NUMBERS else None


class Crafted:
    """A `Method`: sends a flow's probes and hears what comes of them."""

    def __init__(self, request: Request, aim: Aim, source: str) -> None:
        self._tcp = request.method == "tcp"
        self.one_at_a_time = self._tcp
        family = address_family(aim.family)
        self._address = (aim.address, 0)
        self._open: list[socket.socket | sockets.IcmpListener] = []
        # Bound as long as the trace runs, so that nobody else takes the port; datagrams are read from it too.
        self._port = self._opened(socket.socket(family, socket.SOCK_STREAM if self._tcp else socket.SOCK_DGRAM))
        self._port.bind((source, 0))
        ports = (self._port.getsockname()[1], request.port)
        self._flow = Flow(aim, source, request.method, ports, request.dscp)
        self._sender = self._opened(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW))
        sockets.send_as(self._sender, request)
        self._answers = self._port
        if self._tcp:
            self._answers = self._opened(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP))
            sockets.receive_port(self._answers, aim.family, ports[0])
        sockets.listen(self._answers)
        self._listener = sockets.IcmpListener(aim)
        self._open.append(self._listener)

    def _opened(self, sock: socket.socket) -> socket.socket:
        self._open.append(sock)
        return sock

    def send(self, number: int, ttl: int) -> float:
        packet = self._flow.probe(number, ttl)
        at = time.time()
        self._sender.sendto(packet, self._address)
        return at

    def heard(self, seconds: float) -> Sequence[Answer]:
        until = time.monotonic() + seconds
        while True:
            answers = [*self._errors(), *self._segments()] if self._tcp else [*self._errors(), *self._datagrams()]
            if answers or (left := until - time.monotonic()) <= 0:
                return answers
            sockets.wait([self._listener, self._answers], left)

    def _errors(self) -> Iterator[Answer]:
        for message, source, at in self._listener.heard():
            if message.kind is not Kind.REPLY and (number := self._flow.quoted(message.body)) is not None:
                target = message.kind is not Kind.EXPIRED and source == self._flow.target
                yield Answer(number, source, at, message.text or None, message.mtu, target)

    def _segments(self) -> Iterator[Answer]:
        for packet in sockets.packets(self._answers):
            number, segment = self._flow.segment(packet.data)
            if segment is None:
                continue
            if packet.source != self._flow.target:
                if number is not None:
                    yield Answer(number, packet.source, packet.at, ELSEWHERE)
                continue
            if not segment.flags.R:
                # The kernel resets it too, but not down the path.
                self._sender.sendto(self._flow.reset(segment.ack), self._address)
            if number is not None:
                error = "connection refused" if segment.flags.R else None
                yield Answer(number, packet.source, packet.at, error, target=True)

    def _datagrams(self) -> Iterator[Answer]:
        for packet in sockets.packets(self._answers):
            if (packet.source, packet.port) == (self._flow.target, self._flow.ports[1]):
                yield Answer(self._flow.datagram(packet.data), packet.source, packet.at, target=True)
            elif (number := self._flow.datagram(packet.data)) is not None:
                yield Answer(number, packet.source, packet.at, ELSEWHERE)

    def close(self) -> None:
        for sock in self._open:
            sock.close()
