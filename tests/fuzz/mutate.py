"""Inputs that are nearly right: drawn from a seed, the same ones each time."""

from collections.abc import Iterator, Sequence
from random import Random

ODD = (
    *(b"", b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80"),
    *(b"-1", b"0", b"9" * 30, b"9" * 5000, b"1e999", b"NaN"),
    *(b"null", b"[]", b"{}", b'"', b"[" * 900, b"\n", b"\r\n", b","),
    *(b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\x1b[2J"),
)
"""What parsers stumble over."""


def mutations(known: Sequence[bytes], count: int, seed: str) -> Iterator[bytes]:
    """``count`` of them, each made of one or two of the ``known`` ones."""
    draw = Random(seed)
    for _ in range(count):
        data = bytearray(draw.choice(known))
        for _ in range(draw.choice((1, 1, 2, 5))):
            at = draw.randrange(len(data) + 1)
            until = min(len(data), at + draw.choice((0, 1, 1, 2, 4, 16)))
            match draw.randrange(5):
                case 0:
                    data[at:until] = draw.randbytes(until - at)
                case 1:
                    data[at:until] = draw.choice(ODD)
                case 2:
                    other = draw.choice(known)
                    begin = draw.randrange(len(other) + 1)
                    data[at:until] = other[begin : begin + draw.randrange(40)]
                case 3:
                    data[at:at] = data[at:until]
                case _:
                    if at < len(data):
                        data[at] ^= 1 << draw.randrange(8)
        yield bytes(data)
