"""The lab's answers are packets that a kernel takes: a wrong sum would be counted as a packet that was lost."""

import ipaddress
import struct

from steerd.lab.packets import TRAFFIC_PORT, answer, datagram, read

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
