"""The echo packet against scapy's reading and making of it; the filter against a BPF machine of the test's own."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.probe.wire.echo import IDENTIFIER_MASK, EchoReply, echo_request, head, number_in, read, rotated
from steerd.probe.wire.filter import echo_filter

TAG = b"\xde\xad\xbe\xef"
COOKIE = TAG + bytes(range(12))
IDENTIFIER = 0xA417
NUMBER = 0x01020304


@pytest.fixture(scope="module")
def scapy():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.layers import inet, inet6
    return inet, inet6


@given(st.integers(0, 0xFFFF), st.integers(0, 1 << 40))
def test_an_identifier_goes_round_and_stays_one_whose_answers_the_filter_lets_through(identifiers, rotation):
    found = rotated(identifiers, rotation)
    assert 0 <= found <= 0xFFFF
    assert found & IDENTIFIER_MASK == identifiers & IDENTIFIER_MASK
    assert found != rotated(identifiers, rotation + 1)


def request(family: int, number: int = NUMBER) -> bytes:
    return echo_request(head(family, IDENTIFIER, COOKIE), COOKIE, number)


def test_echo_request_is_what_scapy_says_it_is(scapy):
    inet, _ = scapy
    packet = inet.ICMP(request(4))
    assert (packet.type, packet.code, packet.id, packet.seq) == (8, 0, IDENTIFIER, NUMBER & 0xFFFF)
    assert len(bytes(packet.payload)) == 56
    assert bytes(packet.payload).startswith(COOKIE)
    del packet.chksum
    assert bytes(packet) == request(4)


@given(st.integers(0, 2**32 - 1), st.integers(0, 0xFFFF), st.binary(min_size=16, max_size=16))
def test_one_checksum_serves_all_numbers(number, identifier, cookie):
    packet = echo_request(head(4, identifier, cookie), cookie, number)
    total = sum(struct.unpack("!32H", packet))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert packet[:6] == head(4, identifier, cookie)


def replies(scapy) -> dict[int, bytes]:
    inet, inet6 = scapy
    payload = request(4)[8:]
    echo = inet.ICMP(type=0, id=IDENTIFIER, seq=NUMBER & 0xFFFF) / payload
    options = inet.IPOption(b"\x94\x04\x00\x00")
    return {
        4: bytes(inet.IP(src="10.64.1.1", dst="10.64.1.2", options=[options]) / echo),
        6: bytes(inet6.ICMPv6EchoReply(id=IDENTIFIER, seq=NUMBER & 0xFFFF, data=payload)),
    }


def errors(scapy) -> dict[int, list[bytes]]:
    inet, inet6 = scapy
    quoted = inet.IP(src="10.64.1.2", dst="10.64.1.1", proto=1) / request(4)
    quoted6 = inet6.IPv6(src="fd64::2", dst="fd64::1", nh=58) / request(6)
    carriers = [inet6.ICMPv6DestUnreach(), inet6.ICMPv6PacketTooBig(), inet6.ICMPv6TimeExceeded()]
    return {
        # No more than eight bytes of the echo, as RFC 792 has it.
        4: [bytes(inet.IP(src="192.0.2.1") / inet.ICMP(type=t, code=1) / bytes(quoted)[:28]) for t in (3, 11, 12)],
        6: [bytes(inet6.IPv6(src="fd00::1") / c / quoted6)[40:] for c in carriers],
    }


def test_replies_are_read(scapy):
    for family, packet in replies(scapy).items():
        assert read(family, packet) == EchoReply(IDENTIFIER, NUMBER & 0xFFFF, COOKIE, NUMBER)


def test_errors_tell_what_they_quote(scapy):
    targets = {4: bytes([10, 64, 1, 1]), 6: b"\xfd\x64" + bytes(13) + b"\x01"}
    for family, packets in errors(scapy).items():
        for packet in packets:
            found = read(family, packet)
            assert found is not None
            assert found[:3] == (IDENTIFIER, NUMBER & 0xFFFF, targets[family])


def test_the_size_that_an_error_allows_is_read_and_of_no_other_error(scapy):
    inet, inet6 = scapy
    quoted = bytes(inet.IP(src="10.64.1.2", dst="10.64.1.1", proto=1) / request(4))
    quoted6 = bytes(inet6.IPv6(src="fd64::2", dst="fd64::1", nh=58) / request(6))

    def limit(family, *packets):
        return [read(family, packet).limit for packet in packets]

    four = [inet.ICMP(type=3, code=code, nexthopmtu=mtu) for code, mtu in ((4, 1400), (4, 0), (4, 65535))]
    others = [inet.ICMP(type=3, code=1), inet.ICMP(type=3, code=3), inet.ICMP(type=11)]
    head = inet.IP(src="192.0.2.1")
    assert limit(4, *(bytes(head / one / quoted) for one in four)) == [1400, 0, 65535]
    assert limit(4, *(bytes(head / one / quoted) for one in others)) == [None] * 3
    six = [inet6.ICMPv6PacketTooBig(mtu=1400), inet6.ICMPv6DestUnreach(), inet6.ICMPv6TimeExceeded()]
    assert limit(6, *(bytes(one / quoted6) for one in six)) == [1400, None, None]


@given(st.sampled_from([4, 6]), st.binary(max_size=120))
def test_reading_anything_never_fails(family, data):
    read(family, data)


def test_truncated_packets_are_nothing(scapy):
    for family, packet in replies(scapy).items():
        assert read(family, packet[:40] if family == 4 else packet[:20]) is None
    for family, packets in errors(scapy).items():
        for packet in packets:
            assert read(family, packet[: 20 + 8 + 20 + 7] if family == 4 else packet[: 8 + 40 + 7]) is None


def test_the_number_is_found_behind_any_headers():
    assert number_in(b"\x00" * 14 + b"\x45" + b"\x00" * 19 + request(4), TAG) == NUMBER
    assert number_in(b"nothing of ours", TAG) is None
    assert number_in(request(4)[:20], TAG) is None


def bpf(program: bytes, packet: bytes) -> int:
    """A classic BPF machine, as far as the filter uses one."""
    code = list(struct.iter_unpack("HBBI", program))
    a = x = at = 0
    sizes = {0x00: ("!I", 4), 0x08: ("!H", 2), 0x10: ("!B", 1)}
    while True:
        op, equal, other, k = code[at]
        at += 1
        match op:
            case 0x06:
                return k
            case 0x15:
                at += equal if a == k else other
            case 0x54:
                a &= k
            case 0x64:
                a <<= k
            case 0x0C:
                a += x
            case 0x07:
                x = a
            case 0xB1:
                x = (packet[k] & 0xF) * 4
            case _:
                form, size = sizes[op & 0x18]
                start = k + (x if op & 0xE0 == 0x40 else 0)
                if start + size > len(packet):
                    return 0
                (a,) = struct.unpack_from(form, packet, start)


def test_the_filter_lets_ours_pass_and_nothing_else(scapy):
    for family in (4, 6):
        program = echo_filter(family, IDENTIFIER & IDENTIFIER_MASK, TAG)
        foreign = echo_filter(family, (IDENTIFIER ^ 0x8000) & IDENTIFIER_MASK, TAG)
        stranger = echo_filter(family, IDENTIFIER & IDENTIFIER_MASK, b"\0\0\0\0")
        for packet in errors(scapy)[family]:
            assert bpf(program, packet)
            assert not bpf(foreign, packet)
        packet = replies(scapy)[family]
        assert bpf(program, packet)
        assert not bpf(foreign, packet)
        assert not bpf(stranger, packet)
        draw = random.Random(1)
        assert not any(bpf(program, b"\x45" + draw.randbytes(90)) for _ in range(2000))
