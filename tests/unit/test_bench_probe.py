"""The bench's own arithmetic: what is compared with what, and what counts as false loss."""

import struct

import pytest

from bench import contenders, measure
from bench.capture import Probe, Truth
from bench.contenders import Reading, Reply
from bench.measure import Result

SECOND = 1_000_000_000
ONE, TWO = bytes([10, 64, 1, 1]), bytes([10, 64, 1, 2])


def packet(seconds: float, outgoing: bool, address: bytes, sequence: int) -> bytes:
    return struct.pack("!Q?4sHH", round(seconds * SECOND), outgoing, address, 7, sequence)


@pytest.fixture
def truth():
    """Target one: 8 ms, 9 ms, unanswered, 1.5 s. Target two: 8 ms, answered twice."""
    return Truth(
        packet(1.009, False, TWO, 0) + packet(1.001, True, TWO, 0) + packet(1.020, False, TWO, 0)
        + packet(1.0, True, ONE, 0) + packet(1.008, False, ONE, 0)
        + packet(2.0, True, ONE, 1) + packet(2.009, False, ONE, 1)
        + packet(3.0, True, ONE, 2)
        + packet(4.0, True, ONE, 3) + packet(5.5, False, ONE, 3)
        + packet(9.0, False, ONE, 99)
    )  # fmt: skip


def test_replies_are_matched_to_their_probes(truth):
    assert truth.probes["10.64.1.1"] == [
        Probe(1 * SECOND, 1_008_000_000),
        Probe(2 * SECOND, 2_009_000_000),
        Probe(3 * SECOND, 0),
        Probe(4 * SECOND, 5_500_000_000),
    ]
    assert truth.probes["10.64.1.2"] == [Probe(1_001_000_000, 1_009_000_000)]
    assert truth.at("10.64.1.1", 1_990_000_000, 0.05) == 1
    assert truth.at("10.64.1.1", 2_000_500_000, 0.05) == 1  # the prober's clock is not exact
    assert truth.at("10.64.1.1", 1_900_000_000, 0.05) is None
    assert truth.at("10.64.1.1", 4_100_000_000, 0.05) is None
    assert truth.at("10.64.1.9", 1_000_000_000, 0.05) is None


def test_errors_are_those_of_single_probes_and_what_is_missing_is_false_loss(truth):
    reading = Reading(replies=[Reply("10.64.1.1", 0.0081, place=0), Reply("10.64.1.2", 0.0077, sent_ns=1_000_900_000)])
    found = measure.by_probe(Result("b", "x", 0), truth, reading, (0, 10 * SECOND))
    assert (found.probes, found.compared) == (5, 2)
    assert found.p50_us == pytest.approx(300)
    assert found.false_loss == pytest.approx(1 / 3)  # what came after the timeout may be called lost
    found = measure.by_probe(Result("b", "x", 0), truth, reading, (0, 2 * SECOND))
    assert (found.probes, found.false_loss) == (2, 0)


def test_without_places_only_whole_targets_are_compared(truth):
    reading = Reading(unplaced={"10.64.1.1": [0.008, 0.009], "10.64.1.2": [0.0085]})
    found = measure.by_probe(Result("b", "x", 0), truth, reading, (0, 10 * SECOND))
    assert found.compared == 1
    assert found.p50_us == pytest.approx(500)
    assert found.false_loss == pytest.approx(1 / 4)
    assert found.note == "RTTs of the 1 targets of which it has every reply"


def test_of_a_histogram_only_the_mean_is_compared(truth):
    window = (0.0, 2.5)
    found = measure.by_totals(Result("b", "x", 0), truth, (10, 10, 1.0), (13, 12, 1.030), window)
    assert (found.probes, found.p50_us, found.false_loss) == (3, None, pytest.approx(1 / 3))
    assert found.note == "mean 15 ms for 8.33 ms; has a histogram only"


def test_what_fping_prints():
    lines = "10.64.1.1 : [0], 64 bytes, 8.12 ms (8.12 avg, 0% loss)\n10.64.1.10 : [12], timed out (8 avg, 7% loss)\n"
    assert contenders.FPING_LINE.findall(lines) == [("10.64.1.1", "0", "8.12")]
    summary = "\n10.64.1.1  : xmt/rcv/%loss = 6/5/16%, min/avg/max = 0.019/0.025/0.034\n"
    assert contenders.FPING_SUMMARY.findall(summary) == [("10.64.1.1", "6", "5")]


def test_what_smokeping_prober_exports():
    labels = '{host="10.64.1.1",ip="10.64.1.1",source=""}'
    match = contenders.SMOKEPING_LINE.match(f"smokeping_response_duration_seconds_sum{labels} 1.5e-05")
    assert match
    assert match.groups() == ("response_duration_seconds_sum", "1.5e-05")
    assert not contenders.SMOKEPING_LINE.match(f"smokeping_response_ttl{labels} 64")
