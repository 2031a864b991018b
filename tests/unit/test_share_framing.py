"""Packets are judged at the first byte that shows what they are, and nothing of a bad one is held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.share.mqtt.framing import OTHERS_MAX, PACKET_MAX, PROPERTIES_MAX, REASONS, BrokenError, Framing
from tests.lab.hostile_broker import CONNACK, PINGRESP, number, packet, published

TOPIC = "steer/v1/acme/pop/fra1/state"
SOUND = [
    published(TOPIC, b"{}"),
    published(TOPIC, b"", qos=1, mid=7),
    published(TOPIC, b"x" * 60_000, qos=1, mid=65535, properties=b"\x01\x01"),
    packet(0x40, b"\x00\x01"),
    packet(0x40, b"\x00\x01\x87\x00"),
    packet(0x90, b"\x00\x01\x00\x01"),
    PINGRESP,
    packet(0xE0, b"\x8e"),
    packet(0xE0, b""),
]


def begun() -> Framing:
    framing = Framing()
    assert [one.data for one in framing.packets(CONNACK)] == [CONNACK]
    return framing


def cut(framing: Framing, data: bytes, pieces: int) -> list[bytes]:
    return [one.data for at in range(0, len(data), pieces) for one in framing.packets(data[at : at + pieces])]


@pytest.mark.parametrize("pieces", [1, 2, 7, 4096, 10**6])
def test_what_a_broker_may_send_goes_through_whole_however_it_is_cut(pieces):
    assert cut(begun(), b"".join(SOUND), pieces) == SOUND


BAD = {
    "packet above 64 KiB": [
        b"\x30" + number((256 << 20) - 1), b"\x30" + number(PACKET_MAX - 3), b"\x90" + number(10**6),
    ],
    "QoS 2": [b"\x34", b"\x3d"],
    "malformed packet": [
        b"\x36", b"\x41", b"\xd1", b"\x30\xff\xff\xff\xff", b"\x90" + number(OTHERS_MAX + 1),
        packet(0x30, b"\x00\x09abc"), packet(0x30, b"\x00\x01a"), packet(0x32, b"\x00\x01a\x00"),
        published("a", b"", qos=1, mid=0), packet(0x30, b"\x00\x01a\x05abc"),
        packet(0x30, b"\x00\x01a\xff\xff\xff\xff\x01"),
    ],
    "invalid topic": [
        packet(0x30, b""), published("", b""), published("a/+/b", b""), published("#", b""), published("a\0b", b""),
        published(b"\xff\xfe", b""), published(b"\xed\xa0\x80", b""),
    ],
    "unexpected packet": [
        CONNACK, b"\x00", b"\x10", b"\x50", b"\x62", b"\x70", b"\x82", b"\xa2", b"\xb0", b"\xc0", b"\xf0",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("reason", "data"), [(reason, one) for reason, those in BAD.items() for one in those])
def test_what_it_must_not_send_is_refused_as_soon_as_it_shows(reason, data):
    for pieces in (1, len(data)):
        with pytest.raises(BrokenError) as refused:
            cut(begun(), data, pieces)
        assert refused.value.reason == reason
    assert reason in REASONS


@pytest.mark.parametrize("data", [one for one in SOUND if one[0] >> 4 != 2])
def test_nothing_comes_before_the_connack(data):
    with pytest.raises(BrokenError, match="unexpected packet"):
        list(Framing().packets(data))


@pytest.mark.parametrize(("qos", "answer"), [(0, b""), (1, b"\x40\x02\x01\x02")])
def test_a_message_with_many_properties_is_passed_over_and_confirmed(qos, answer):
    """Whoever may publish can give it as many as the broker takes: that is no reason to leave the broker."""
    many = published(TOPIC, b"{}", qos=qos, mid=0x0102, properties=b"\x26\0\0\0\0" * (PROPERTIES_MAX // 5 + 1))
    few = published(TOPIC, b"{}", qos=qos, mid=0x0102, properties=b"\x26\0\0\0\0" * (PROPERTIES_MAX // 5))
    first, second = begun().packets(many + few)
    assert (first.passed_over, first.answer) == (True, answer)
    assert not second.passed_over


@given(st.data())
def test_whatever_comes_the_same_is_said_of_it_however_it_is_cut(data):
    stream = bytearray(b"".join(data.draw(st.lists(st.sampled_from([one for one in SOUND if len(one) < 999])))))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(stream)))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    def outcome(pieces: int) -> tuple[list[bytes], str]:
        framing, through = begun(), []
        try:
            for at in range(0, len(stream), pieces):
                for one in framing.packets(bytes(stream[at : at + pieces])):
                    through.append(one.data)  # noqa: PERF401 (what came before a bad one counts)
        except BrokenError as broken:
            return through, broken.reason
        return through, ""

    whole = outcome(len(stream) + 1)
    assert outcome(data.draw(st.integers(1, 9))) == whole
    assert bytes(stream).startswith(b"".join(whole[0]))
