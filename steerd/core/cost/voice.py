"""How a call sounds over a path: the E-model of ITU-T G.107 (06/2015), as far as a network can change it.

The rating ``R = 93.2 - Id - Ie,eff`` has all that is not the network's at the values that G.107 gives for
planning. ``Id`` is what delay takes: not G.107's own expressions but the two straight lines that Cole and
Rosenbluth fitted to them ("Voice over IP performance monitoring", ACM SIGCOMM Computer Communication Review
31(2), 2001), because lines that always rise can be inverted. ``Ie,eff`` is what the codec and lost packets take
(G.107, 7.5), for random loss. Delays are one-way, mouth to ear, in ms; loss is a ratio.
"""

from typing import Final

from steerd.core.settings import Codec

CLEAN: Final = 93.2
"""R without delay and loss: all of G.107's parameters at their defaults."""

GENTLE: Final = 0.024
STEEP: Final = 0.11
KNEE: Final = 177.3
"""Cole and Rosenbluth: ``Id = 0.024 d``, and ``0.11 (d - 177.3)`` more beyond 177.3 ms, where it disturbs talk."""

AT_KNEE: Final = GENTLE * KNEE

CODECS: Final = {
    Codec.G711_PLC: (0.0, 25.1),
    Codec.G711: (0.0, 4.3),
    Codec.G729A: (11.0, 19.0),
    Codec.G723: (15.0, 16.1),
    Codec.GSM_EFR: (5.0, 10.0),
}
"""``Ie`` and ``Bpl``, the robustness against random packet loss: ITU-T G.113, Appendix I."""

PACKET: Final = 20.0
"""A packet of voice is spoken before it is sent: 20 ms of it, as RFC 3551 recommends."""

BUFFER: Final = 2.0
"""The depth of the receiver's jitter buffer over the jitter of the *round trip*. An adaptive buffer waits for four
mean deviations of the delay (Ramjee, Kurose, Towsley, Schulzrinne, "Adaptive playout mechanisms for packetized
audio applications in wide-area networks", INFOCOM 1994). RFC 3550's jitter is the mean difference of two delays,
sqrt(2) mean deviations of normal ones; and of two like directions each has 1/sqrt(2) of the round trip's: 4/2."""


def delay(rtt: float, jitter: float) -> float:
    """Mouth to ear: a packet, half the round trip, and the jitter buffer. All in ms."""
    return PACKET + rtt / 2.0 + BUFFER * jitter


def delay_impairment(one_way: float) -> float:
    """``Id`` of a delay."""
    return GENTLE * one_way + (STEEP * (one_way - KNEE) if one_way > KNEE else 0.0)


def delay_of(impairment: float) -> float:
    """The delay that has this ``Id``."""
    return impairment / GENTLE if impairment <= AT_KNEE else KNEE + (impairment - AT_KNEE) / (GENTLE + STEEP)


def loss_impairment(loss: float, codec: Codec) -> float:
    """``Ie,eff``: what the codec takes, and what is lost on the way. ``loss`` from 0 to 1."""
    equipment, robustness = CODECS[codec]
    percent = 100.0 * loss
    return equipment + (95.0 - equipment) * percent / (percent + robustness)


def rating(one_way: float, loss: float, codec: Codec) -> float:
    """``R``, not below 0: 90 is very good, 70 the least that most people put up with."""
    return max(0.0, CLEAN - delay_impairment(one_way) - loss_impairment(loss, codec))


def mos(rating: float) -> float:
    """The mean opinion score of a rating from 0 to 100: 1 (bad) to 4.5 (G.107, Annex B, whose polynomial dips below
    1 for ratings under 6.5)."""
    return max(1.0, 1.0 + 0.035 * rating + 7e-6 * rating * (rating - 60.0) * (100.0 - rating))


def lost_delay(one_way: float, loss: float, codec: Codec) -> float:
    """The loss as delay, in ms one-way: so much more delay, without loss, would lower ``R`` as far."""
    if not loss:
        return 0.0
    lost = loss_impairment(loss, codec) - CODECS[codec][0]
    return max(0.0, delay_of(delay_impairment(one_way) + lost) - one_way)
