"""STAMP's packets: against the figures of RFC 8762 and RFC 8972 written out by hand, and against scapy's reading."""

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.probe.stamp import packet as stamp
from steerd.probe.stamp import tlv as stamp_tlv
from steerd.probe.stamp.packet import ErrorEstimate, ReflectedPacket, SenderPacket

KEY = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
# 2026-11-23 12:00:00.5 UTC; 1900 was 2,208,988,800 s before 1970.
AT_NS = 1_795_435_200_500_000_000
AT = 0xEEAEA940_80000000

SENDER = SenderPacket(0x01020304, AT, 0x2001, 0xBEEF)
REFLECTED = ReflectedPacket(0x0A0B0C0D, AT + 2, 0x8105, 0xBEEF, AT + 1, 0x01020304, AT, 0x2001, 61)

# A line is a row of the RFC's figure.
SENDER_BYTES = bytes.fromhex(
    """
    01020304
    eeaea940 80000000
    2001 beef
    00000000 00000000 00000000 00000000 00000000 00000000 00000000
    """
)
SENDER_SIGNED_BYTES = bytes.fromhex(
    """
    01020304
    00000000 00000000 00000000
    eeaea940 80000000
    2001 beef
    00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
    00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
    """
)
REFLECTED_BYTES = bytes.fromhex(
    """
    0a0b0c0d
    eeaea940 80000002
    8105 beef
    eeaea940 80000001
    01020304
    eeaea940 80000000
    2001 0000
    3d 000000
    """
)
REFLECTED_SIGNED_BYTES = bytes.fromhex(
    """
    0a0b0c0d
    00000000 00000000 00000000
    eeaea940 80000002
    8105 beef
    00000000
    eeaea940 80000001
    00000000 00000000
    01020304
    00000000 00000000 00000000
    eeaea940 80000000
    2001 0000
    00000000
    3d 000000
    00000000 00000000 00000000
    """
)


def signature(text: bytes) -> bytes:
    return hmac.new(KEY, text, hashlib.sha256).digest()[:16]


def test_the_packets_are_those_of_the_figures():
    assert len(SENDER_BYTES) == len(REFLECTED_BYTES) == stamp.BASE == 44
    assert len(SENDER_SIGNED_BYTES) == len(REFLECTED_SIGNED_BYTES) == stamp.BASE_SIGNED - 16 == 96
    assert stamp.pack(SENDER, None) == SENDER_BYTES
    assert stamp.pack(REFLECTED, None) == REFLECTED_BYTES
    assert stamp.pack(SENDER, KEY) == SENDER_SIGNED_BYTES + signature(SENDER_SIGNED_BYTES)
    assert stamp.pack(REFLECTED, KEY) == REFLECTED_SIGNED_BYTES + signature(REFLECTED_SIGNED_BYTES)


def test_the_figures_are_read():
    assert stamp.read_sender(SENDER_BYTES, None) == SENDER
    assert stamp.read_reflected(REFLECTED_BYTES, None) == REFLECTED
    assert stamp.read_sender(SENDER_SIGNED_BYTES + signature(SENDER_SIGNED_BYTES), KEY) == SENDER
    assert stamp.read_reflected(REFLECTED_SIGNED_BYTES + signature(REFLECTED_SIGNED_BYTES), KEY) == REFLECTED


def test_what_must_be_zero_is_ignored_on_receipt():
    disturbed = bytearray(SENDER_BYTES)
    disturbed[20:44] = b"\xff" * 24
    assert stamp.read_sender(bytes(disturbed), None) == SENDER


@pytest.fixture(scope="module")
def scapy():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.contrib import stamp as layer
    return layer


def test_scapy_reads_what_we_send(scapy):
    ours = stamp.pack(SENDER._replace(tlvs=stamp_tlv.padding(100, signed=False)), None)
    assert len(ours) == 100
    read = scapy.STAMPSessionSenderTestUnauthenticated(ours)
    assert (read.seq, read.ssid, read.mbz) == (SENDER.sequence, SENDER.ssid, 0)
    assert (read.err_estimate.S, read.err_estimate.Z, read.err_estimate.scale) == (0, 0, 32)
    (padding,) = read.tlv_objects
    # Not by name: scapy counts the flags' bits from the wrong end.
    assert (int(padding.flags), padding.type, padding.len, padding.value) == (0x80, 1, 52, bytes(52))


def test_scapy_reads_what_we_reflect(scapy):
    read = scapy.STAMPSessionReflectorTestUnauthenticated(stamp.pack(REFLECTED, None))
    assert (read.seq, read.ssid, read.seq_sender, read.ttl_sender) == (REFLECTED.sequence, 0xBEEF, SENDER.sequence, 61)
    assert (read.err_estimate.S, read.err_estimate.scale, read.err_estimate.multiplier) == (1, 1, 5)
    assert (read.err_estimate_sender.scale, read.mbz1, read.mbz2) == (32, 0, 0)
    # Its time stamps are read as floats of seconds since 1900.
    assert read.ts == read.ts_rx == read.ts_sender == pytest.approx(AT / 2**32)


def test_we_read_what_scapy_makes(scapy):
    estimate = scapy.ErrorEstimate(S=1, Z=0, scale=7, multiplier=9)
    times = {"ts": 4_000_000_000.25, "err_estimate": estimate, "ssid": 77}
    sender = scapy.STAMPSessionSenderTestUnauthenticated(seq=5, **times)
    assert stamp.read_sender(bytes(sender), None) == SenderPacket(5, (4_000_000_000 << 32) + (1 << 30), 0x8709, 77)
    tlv = scapy.STAMPTestTLV(flags=0x80, type=240, len=2, value=b"ab")
    reflected = scapy.STAMPSessionReflectorTestUnauthenticated(
        seq=6, ts_rx=4_000_000_000, seq_sender=5, ts_sender=3e9, ttl_sender=9, tlv_objects=[tlv], **times
    )
    read = stamp.read_reflected(bytes(reflected), None)
    assert read is not None
    assert (read.sequence, read.received, read.sender_sequence) == (6, 4_000_000_000 << 32, 5)
    assert (read.sender_timestamp, read.sender_ttl, read.tlvs) == (3_000_000_000 << 32, 9, b"\x80\xf0\0\2ab")


words = st.integers(0, 2**32 - 1)
stamps = st.integers(0, 2**64 - 1)
halves = st.integers(0, 2**16 - 1)
keys = st.none() | st.binary(min_size=16, max_size=64)
senders = st.builds(SenderPacket, words, stamps, halves, halves, st.binary(max_size=40))
reflecteds = st.builds(
    ReflectedPacket, words, stamps, halves, halves, stamps, words, stamps, halves, st.integers(0, 255), st.binary()
)


@given(senders, keys)
def test_a_sender_packet_comes_back(packet, key):
    assert stamp.read_sender(stamp.pack(packet, key), key) == packet


@given(reflecteds, keys)
def test_a_reflected_packet_comes_back(packet, key):
    assert stamp.read_reflected(stamp.pack(packet, key), key) == packet


@given(st.binary(max_size=200))
def test_garbage_is_never_an_error_and_never_signed(data):
    for read in (stamp.read_sender, stamp.read_reflected):
        assert (read(data, None) is None) == (len(data) < 44)
        assert read(data, KEY) is None


@given(senders, st.integers(0, 111), st.integers(1, 255))
def test_no_signed_byte_can_be_changed(packet, at, change):
    data = bytearray(stamp.pack(packet, KEY))
    data[at] ^= change
    assert stamp.read_sender(bytes(data), KEY) is None


def test_another_key_or_half_a_signature_is_refused():
    data = stamp.pack(REFLECTED, KEY)
    assert stamp.read_reflected(data, KEY[::-1]) is None
    assert stamp.read_reflected(data[:104], KEY) is None


def test_a_time_stamp_counts_from_1900():
    assert stamp.ntp(AT_NS) == AT
    assert stamp.nanoseconds(AT) == AT_NS
    assert stamp.ntp(0) == 2_208_988_800 << 32


@given(st.integers(0, 4_233_462_143 * 10**9))
def test_a_time_until_2104_comes_back_to_the_nanosecond(at_ns):
    assert stamp.nanoseconds(stamp.ntp(at_ns)) == at_ns


def test_a_peer_may_count_as_ptp_does():
    estimate = ErrorEstimate(0.001, synchronized=True, ptp=True).pack()
    assert stamp.nanoseconds(1_795_435_200 << 32 | 500_000_000, estimate) == AT_NS


@given(st.floats(0, 60), st.booleans(), st.booleans())
def test_an_error_estimate_is_never_less_than_it_was_and_hardly_more(seconds, synchronized, ptp):
    field = ErrorEstimate(seconds, synchronized, ptp).pack()
    read = ErrorEstimate.read(field)
    assert field & 0xFF
    assert (read.synchronized, read.ptp) == (synchronized, ptp)
    assert seconds <= read.seconds <= max(2**-32, seconds * 129 / 128 + 2**-32)


def test_an_error_estimate_is_multiplier_times_a_power_of_two():
    assert ErrorEstimate.read(0x2001) == ErrorEstimate(1.0)
    assert ErrorEstimate.read(0xC0FF) == ErrorEstimate(255 * 2**-32, synchronized=True, ptp=True)
    assert ErrorEstimate(1e12).pack() == 0x3FFF


# TLVs: flags, type, length, value.
PADDING = b"\x80\x01\0\3abc"
UNKNOWN = b"\x80\xf0\0\2xy"


def hmac_tlv(sequence: int, before: bytes, flags: int = 0x80) -> bytes:
    return struct.pack("!BBH", flags, 8, 16) + signature(struct.pack("!I", sequence) + before)


@given(st.integers(0, 2000), st.booleans())
def test_padding_makes_the_size_asked_for(size, signed):
    base = 112 if signed else 44
    tlv = stamp_tlv.padding(size, signed=signed)
    assert base + len(tlv) == (max(base, size) if not base < size < base + 4 else base + 4)
    assert not tlv or tlv[:2] == b"\x80\x01"


def test_the_reflector_flags_what_it_does_not_know():
    assert stamp_tlv.reflect(PADDING + UNKNOWN, None, 1, 2) == b"\0\x01\0\3abc" + UNKNOWN
    assert stamp_tlv.reflect(b"\0\xf0\0\2xy", None, 1, 2) == UNKNOWN
    assert stamp_tlv.reflect(b"", KEY, 1, 2) == b""


def test_the_reflector_stops_at_a_malformed_tlv():
    for rest in (b"\x80\x01\0\xff...", b"\x80\x01", b"\x80", b"\x80\x08\0\4abcd" + PADDING):
        flagged = bytes([0xC0]) + rest[1:]
        assert stamp_tlv.reflect(UNKNOWN + rest, None, 1, 2) == UNKNOWN + flagged


def test_signed_tlvs_are_signed_again_with_the_number_of_the_answer():
    asked = UNKNOWN + hmac_tlv(7, UNKNOWN) + PADDING
    assert stamp_tlv.reflect(asked, KEY, 7, 9) == UNKNOWN + hmac_tlv(9, UNKNOWN, 0) + b"\0\x01\0\3abc"


def test_with_a_key_padding_alone_needs_no_signature():
    assert stamp_tlv.reflect(PADDING, KEY, 7, 9) == b"\0\x01\0\3abc"


@pytest.mark.parametrize(
    "tlvs",
    [
        UNKNOWN,
        PADDING + PADDING,
        UNKNOWN + hmac_tlv(8, UNKNOWN),
        PADDING + hmac_tlv(7, UNKNOWN),
        hmac_tlv(7, b"") + UNKNOWN,
        hmac_tlv(7, b"") + hmac_tlv(7, hmac_tlv(7, b"")),
    ],
)
def test_tlvs_not_signed_as_they_must_be_are_all_flagged(tlvs):
    answer = stamp_tlv.reflect(tlvs, KEY, 7, 9)
    found, rest = stamp_tlv.split(answer)
    assert not rest
    assert {tlv.flags for tlv in found} == {0xA0}
    assert [tlv[1:] for tlv in found] == [tlv[1:] for tlv in stamp_tlv.split(tlvs)[0]]


def test_without_a_key_a_signature_is_one_more_unknown():
    assert stamp_tlv.reflect(hmac_tlv(7, b""), None, 7, 9) == hmac_tlv(7, b"")


@given(st.binary(max_size=120), keys)
def test_what_is_reflected_is_as_long_as_what_came(tlvs, key):
    assert len(stamp_tlv.reflect(tlvs, key, 1, 2)) == len(tlvs)
