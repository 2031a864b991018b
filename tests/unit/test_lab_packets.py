"""The lab's answers are packets that a kernel takes: a wrong sum would be counted as a packet that was lost."""

import ipaddress
import struct

from steerd.lab.world.packets import TRAFFIC_PORT, answer, datagram, read, too_big

USER = ipaddress.IPv6Address("fd00:1::2").packed
STEERED = ipaddress.IPv6Address("fd00:2::2").packed
NEXT_HEADER_UDP = 17
CARRIER = 3


def request(number: int) -> bytes:
    payload = datagram(number, 1234.5)
    length = 8 + len(payload)
    header = struct.pack("!4H", TRAFFIC_PORT, TRAFFIC_PORT, length, 0)
    checksum = _folded(STEERED, USER, struct.pack("!2I", length, NEXT_HEADER_UDP), header, payload) ^ 0xFFFF
    udp = header[:6] + struct.pack("!H", checksum or 0xFFFF) + payload
    return struct.pack("!IHBB", 6 << 28, length, NEXT_HEADER_UDP, 64) + USER + STEERED + udp


def _folded(*parts: bytes) -> int:
    data = b"".join(parts)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_every_answer_has_a_sum_that_ipv6_accepts() -> None:
    other_zero = 0
    for number in range(1 << 16):  # each gives another sum: one of them is the zero
        packet = request(number)
        seen = read(packet)
        assert seen
        back = answer(packet, seen, CARRIER)
        pseudo = back[8:40] + struct.pack("!2I", len(back) - 40, NEXT_HEADER_UDP)
        assert back[46:48] != b"\0\0"
        assert _folded(pseudo, back[40:]) == 0xFFFF
        other_zero += back[46:48] == b"\xff\xff"
    assert other_zero


def test_an_error_that_names_the_greatest_size_is_one_that_a_kernel_takes() -> None:
    four = struct.pack("!BBHHHBBH", 0x45, 0, 1500, 0, 0x4000, 64, 1, 0) + USER[:4] + STEERED[:4]
    four += struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(1472)
    seen = read(four)
    assert seen
    back = too_big(four, seen, 1400)
    assert (back[9], back[12:16], back[16:20]) == (1, STEERED[:4], USER[:4])
    assert (back[20:22], back[26:28], back[28:56]) == (b"\x03\x04", struct.pack("!H", 1400), four[:28])
    assert len(back) == struct.unpack("!H", back[2:4])[0]
    assert _folded(back[:20]) == _folded(back[20:]) == 0xFFFF
    six = request(1) + bytes(1400)
    seen = read(six)
    assert seen
    back = too_big(six, seen, 1300)
    assert (back[6], back[8:24], back[24:40], back[40:42]) == (58, STEERED, USER, b"\x02\x00")
    assert (back[44:48], back[48:]) == (struct.pack("!I", 1300), six[: 1280 - 48])
    assert _folded(back[8:40], struct.pack("!2I", len(back) - 40, 58), back[40:]) == 0xFFFF
