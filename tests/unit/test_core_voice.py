"""The E-model, against ITU-T G.107 itself and against published values."""

from math import exp, log2, log10, sqrt

import pytest

from steerd.core.cost import voice
from steerd.core.settings import Codec

PLC = Codec.G711_PLC


def g107_delay_impairment(delay):
    """Id as G.107 (06/2015), 7.4 has it, term by term, all else at its default: talker echo, listener echo, delay."""
    ro, no, rlr, telr, wepl = 94.77, -61.18, 2.0, 65.0, 110.0
    terv = telr - 40 * log10((1 + delay / 10) / (1 + delay / 150)) + 6 * exp(-0.3 * delay**2)
    half = (-1.5 * (no - rlr) - (80 + 2.5 * (terv - 14))) / 2
    talker = (half + sqrt(half**2 + 100) - 1) * (1 - exp(-delay))
    half = (ro - 10.5 * (wepl + 7) * (2 * delay + 1) ** -0.25) / 2
    listener = half + sqrt(half**2 + 169)
    if delay <= 100:
        return talker + listener
    x = log2(delay / 100)
    return talker + listener + 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)


def test_a_clean_call_is_rated_93():
    assert voice.rating(0.0, 0.0, PLC) == 93.2
    assert voice.mos(93.2) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize("delay", [0.001, 10, 50, 100, 150, 165, 200, 250, 300])
def test_the_two_lines_follow_the_recommendation(delay):
    """Up to 300 ms, where calls are; at the knee itself they are at most a point apart."""
    full = g107_delay_impairment(delay) - g107_delay_impairment(0.001)
    assert voice.delay_impairment(delay) == pytest.approx(full, abs=0.5)
    at_knee = g107_delay_impairment(177.3) - g107_delay_impairment(0.001)
    assert voice.delay_impairment(177.3) == pytest.approx(at_knee, abs=1.0)


@pytest.mark.parametrize(("delay", "rating"), [(150.0, 89.6), (250.0, 79.2), (400.0, 59.1)])
def test_delay_lowers_the_rating(delay, rating):
    """Cole and Rosenbluth's lines: 0.024 d, and 0.11 (d - 177.3) beyond."""
    assert voice.rating(delay, 0.0, PLC) == pytest.approx(rating, abs=0.05)


@pytest.mark.parametrize(
    ("codec", "loss", "impairment"),
    [
        (PLC, 0.01, 3.64),
        (PLC, 0.02, 7.01),
        (PLC, 0.05, 15.78),
        (Codec.G711, 0.01, 17.92),
        (Codec.G711, 0.02, 30.16),
        (Codec.G729A, 0.0, 11.0),
        (Codec.G729A, 0.02, 19.0),  # 11 + 84 * 2/21
        (Codec.G723, 0.0, 15.0),
        (Codec.GSM_EFR, 0.0, 5.0),
    ],
)
def test_loss_and_codec_lower_the_rating(codec, loss, impairment):
    """Ie,eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl), by G.107 and the table of G.113."""
    assert voice.loss_impairment(loss, codec) == pytest.approx(impairment, abs=0.005)
    assert voice.rating(0.0, loss, codec) == pytest.approx(93.2 - impairment, abs=0.005)


@pytest.mark.parametrize(
    ("rating", "mos"), [(0, 1.0), (50, 2.58), (60, 3.10), (70, 3.60), (80, 4.02), (90, 4.34), (100, 4.5)]
)
def test_ratings_are_told_as_opinions(rating, mos):
    """G.107, Annex B, table B.1: 90, 80, 70, 60 and 50 are the limits of its categories."""
    assert voice.mos(rating) == pytest.approx(mos, abs=0.005)


def test_what_nobody_can_stand_is_rated_0_and_scored_1():
    assert voice.rating(2000.0, 0.5, PLC) == 0.0
    assert voice.mos(3.0) == 1.0


def test_delay_is_half_the_round_trip_a_packet_and_the_buffer():
    assert voice.delay(100.0, 10.0) == 20.0 + 50.0 + 20.0


@pytest.mark.parametrize("delay", [0.0, 60.0, 177.3, 178.0, 1000.0])
def test_an_impairment_is_some_delay(delay):
    assert voice.delay_of(voice.delay_impairment(delay)) == pytest.approx(delay)


def test_loss_as_delay():
    """1 % at 40 ms: Id is 0.96, with Ie,eff 4.60, that of 179.9 ms. Beyond the knee the same loss is 27 ms."""
    assert voice.lost_delay(40.0, 0.01, PLC) == pytest.approx(139.9, abs=0.05)
    assert voice.lost_delay(300.0, 0.01, PLC) == pytest.approx(3.64 / 0.134, abs=0.05)
    assert voice.lost_delay(40.0, 0.0, Codec.G729A) == 0.0
