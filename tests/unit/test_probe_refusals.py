"""The filter that lets refused connections pass, on a BPF machine and scapy's segments."""

import itertools

import pytest

from steerd.probe.wire.filter import refusal_filter
from tests.unit.test_probe_packet import bpf


@pytest.fixture(scope="module")
def scapy():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.layers import inet
    return inet


def passes(scapy, flags: str, seq: int = 0, options: bytes = b"") -> list[bool]:
    """As a raw socket of each family sees it: IPv4 with its header, of any length."""
    segment = scapy.TCP(sport=443, dport=50000, flags=flags, seq=seq, ack=77)
    padding = [scapy.IPOption(options)] if options else []
    packet = bytes(scapy.IP(src="192.0.2.1", dst="192.0.2.2", options=padding) / segment)
    return [bool(bpf(refusal_filter(4), packet)), bool(bpf(refusal_filter(6), bytes(segment)))]


def test_a_refusal_passes_behind_any_header(scapy):
    assert passes(scapy, "RA") == [True, True]
    assert passes(scapy, "RA", options=b"\x01" * 12) == [True, True]


def test_nothing_else_does(scapy):
    for flags in itertools.chain.from_iterable(itertools.combinations("FSRAPU", count) for count in range(5)):
        refused = set(flags) - {"P", "U"} == {"R", "A"}
        assert passes(scapy, "".join(flags)) == [refused, refused]
    assert passes(scapy, "RA", seq=1) == [False, False]


def test_a_fragment_of_a_segment_does_not(scapy):
    packet = bytes(scapy.IP() / scapy.TCP(flags="RA"))
    assert not bpf(refusal_filter(4), packet[:33])
    assert not bpf(refusal_filter(6), packet[20:33])
