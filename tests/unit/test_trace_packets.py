"""What a trace sends is told again from what it hears, and nothing else is."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from steerd.net.icmp import Quote, quoted_echo
from steerd.trace.process.crafted import Flow
from steerd.trace.process.messages import Kind, read
from steerd.trace.request import Aim

OWN = {4: "192.0.2.1", 6: "2001:db8::1"}
TARGET = {4: "198.51.100.7", 6: "2001:db8:7::1"}
ROUTER = {4: "203.0.113.1", 6: "2001:db8:ff::1"}
PORTS = (40000, 443)


def flow(family: int, method: str) -> Flow:
    return Flow(Aim(family, TARGET[family]), OWN[family], method, PORTS, dscp=46)


def layers(family: int, packet: bytes):
    return IP(packet) if family == 4 else IPv6(packet)


FLOWS = [(family, method) for family in (4, 6) for method in ("tcp", "udp")]


@pytest.mark.parametrize(("family", "method"), FLOWS)
def test_a_probe_is_known_by_what_a_router_quotes_of_it(family, method):
    # One in 700 has identifications that meet ours: IPv4 has 16 bits for them.
    ours, others = flow(family, method), [flow(family, method) for _ in range(4)]
    for number in (1, 42, 90):
        packet = ours.probe(number, 7)
        seen = layers(family, packet)
        assert (seen.ttl if family == 4 else seen.hlim) == 7
        assert (seen.tos if family == 4 else seen.tc) == 46 << 2
        transport = seen[TCP if method == "tcp" else UDP]
        assert (transport.sport, transport.dport) == PORTS
        del transport.chksum
        assert layers(family, bytes(seen))[type(transport)].chksum == layers(family, packet)[type(transport)].chksum
        assert ours.quoted(packet) == number
        header = 20 if family == 4 else 40
        if method == "tcp" or family == 4:
            assert ours.quoted(packet[: header + 8]) == number  # all that RFC 792 asks for
        assert ours.quoted(packet[: header + 7]) is None
        assert [one.quoted(packet) for one in others].count(None) >= 3  # the same ports, other traces
        away = layers(family, packet)
        away.dst = ROUTER[family]
        assert ours.quoted(bytes(away)) is None
    assert ours.quoted(ours.probe(91, 7)) is None  # there is no such probe


@pytest.mark.parametrize("family", [4, 6])
def test_the_answer_to_a_connection_attempt_is_known_and_reset(family):
    ours = flow(family, "tcp")
    asked = layers(family, ours.probe(17, 3))[TCP]

    def answer(**changes):
        fields = {"sport": 443, "dport": 40000, "flags": "SA", "seq": 5, "ack": asked.seq + 1, **changes}
        segment = TCP(**fields)
        return bytes(IP(src=TARGET[4], dst=OWN[4]) / segment) if family == 4 else bytes(segment)

    number, segment = ours.segment(answer())
    assert number == 17
    reset = layers(family, ours.reset(segment.ack))[TCP]
    assert (reset.flags, reset.seq, reset.sport, reset.dport) == ("R", asked.seq + 1, *PORTS)
    assert ours.segment(answer(flags="RA"))[0] == 17
    assert ours.segment(answer(flags="S"))[1] is None
    assert ours.segment(answer(sport=444))[1] is None
    number, segment = ours.segment(answer(ack=5))  # ours by its ports, though no probe's: to be reset as well
    assert number is None
    assert segment is not None


def test_a_datagram_is_known_by_its_number_wherever_a_reflector_puts_it():
    ours = flow(4, "udp")
    sent = bytes(IP(ours.probe(17, 3))[UDP].payload)
    assert len(sent) == 44
    assert ours.datagram(sent) == 17  # an echo server
    assert ours.datagram(struct.pack("!I", 900) + bytes(20) + sent[:4] + bytes(16)) == 17  # a STAMP reflector
    assert ours.datagram(b"what?") is None
    assert ours.datagram(b"") is None


ERRORS = [
    (4, (11, 0), Kind.EXPIRED, "", 0),
    (4, (3, 1), Kind.ERROR, "host unreachable", 0),
    (4, (3, 13), Kind.ERROR, "prohibited", 0),
    (4, (3, 99), Kind.ERROR, "unreachable", 0),
    (4, (3, 4), Kind.TOO_BIG, "packet too big", 1400),
    (4, (12, 0), Kind.ERROR, "parameter problem", 0),
    (6, (3, 0), Kind.EXPIRED, "", 0),
    (6, (1, 0), Kind.ERROR, "no route", 0),
    (6, (1, 1), Kind.ERROR, "prohibited", 0),
    (6, (2, 0), Kind.TOO_BIG, "packet too big", 1400),
    (6, (4, 1), Kind.ERROR, "parameter problem", 0),
]


@pytest.mark.parametrize(("family", "type_", "kind", "text", "mtu"), ERRORS)
def test_errors_are_read_with_what_they_quote(family, type_, kind, text, mtu):
    echo = struct.pack("!BBHHH", 8 if family == 4 else 128, 0, 0, 0x1234, 77)
    if family == 4:
        quoted = bytes(IP(src=OWN[4], dst=TARGET[4], proto=1, options=b"\1\1\1\1") / Raw(echo))
        error = IP(src=ROUTER[4], dst=OWN[4]) / ICMP(type=type_[0], code=type_[1], nexthopmtu=mtu) / Raw(quoted)
        data = bytes(error)
    else:
        quoted = bytes(IPv6(src=OWN[6], dst=TARGET[6], nh=58) / Raw(echo))
        data = struct.pack("!BBHI", *type_, 0, mtu) + quoted
    message = read(family, data)
    assert (message.kind, message.text, message.mtu) == (kind, text, mtu if kind is Kind.TOO_BIG else 0)
    target = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, TARGET[family])
    assert quoted_echo(family, message.body) == Quote(0x1234, 77, target)
    assert quoted_echo(family, message.body[:-1]) is None


def test_replies_and_what_says_nothing():
    reply = read(6, struct.pack("!BBHHH", 129, 0, 0, 7, 9) + b"cookie")
    assert (reply.kind, reply.identifier, reply.sequence, reply.body) == (Kind.REPLY, 7, 9, b"cookie")
    assert read(6, struct.pack("!BBHHH", 128, 0, 0, 7, 9)) is None
    assert read(4, bytes(IP() / ICMP(type=11, code=1) / Raw(bytes(40)))) is None  # a fragment that never came


def _damaged(packet: bytes):
    """The packet, cut off anywhere, with some bytes changed."""
    changes = st.lists(st.tuples(st.integers(0, len(packet) - 1), st.integers(0, 255)), max_size=4)
    return st.tuples(changes, st.integers(0, len(packet))).map(lambda given: _with(packet, *given))


def _with(packet: bytes, changes, length: int) -> bytes:
    out = bytearray(packet)
    for at, value in changes:
        out[at] = value
    return bytes(out[:length])


ANY = {key: flow(*key) for key in FLOWS}
GARBAGE = st.one_of(
    st.binary(max_size=200),
    *(_damaged(ANY[key].probe(17, 3)) for key in FLOWS),
    _damaged(bytes(IP(src=ROUTER[4], dst=OWN[4]) / ICMP(type=11) / Raw(ANY[4, "tcp"].probe(17, 3)))),
)


@given(GARBAGE, st.sampled_from(FLOWS))
def test_garbage_is_no_probe_of_ours_and_harms_nothing(data, key):
    family, _ = key
    message = read(family, data)
    if message is not None:
        quoted_echo(family, message.body)
        number = ANY[key].quoted(message.body)
        assert number is None or 1 <= number <= 90
    number = ANY[key].quoted(data)
    assert number is None or 1 <= number <= 90
    number, segment = ANY[key].segment(data)
    assert number is None or segment is not None
    ANY[key].datagram(data)
    quoted_echo(family, data)
