"""What packets carry for others to see: marks within this machine, code points beyond it."""

from typing import Annotated

from pydantic import BeforeValidator

_MAX_MARK = 0xFFFFFFFF
_MARK_BITS = range(2, 17)
_DSCP = {
    **{f"CS{n}": 8 * n for n in range(8)},
    **{f"AF{n}{drop}": 8 * n + 2 * drop for n in range(1, 5) for drop in range(1, 4)},
    "VA": 44,
    "EF": 46,
}


def dscp(value: object) -> int:
    """A code point of 6 bits, from its number or its name."""
    known = _DSCP.get(value.upper()) if isinstance(value, str) else value
    if not isinstance(known, int) or isinstance(known, bool) or not 0 <= known <= 63:
        raise ValueError('must be a number from 0 to 63, or one of "EF", "VA", "CS0" to "CS7", "AF11" to "AF43"')
    return known


def mark(value: object) -> int:
    """32 bits of a packet mark, from a number or text such as `0xff000000`."""
    try:
        bits = int(value, 0) if isinstance(value, str) and len(value) <= 34 else value
    except ValueError:
        bits = None
    if not isinstance(bits, int) or isinstance(bits, bool) or not 0 <= bits <= _MAX_MARK:
        raise ValueError('must be 32 bits, such as "0xff000000"')
    return bits


def mark_mask(value: object) -> int:
    """A mark with one run of 2 to 16 bits set."""
    mask = mark(value)
    run = mask >> ((mask & -mask).bit_length() - 1) if mask else 0
    if run & (run + 1) or run.bit_length() not in _MARK_BITS:
        raise ValueError('must be one run of 2 to 16 bits, such as "0xff000000" (8 bits: at most 255 paths)')
    return mask


def marked(value: object) -> tuple[int, int]:
    """A packet mark and the bits of it that count, from `0x10/0xff`, as `ip rule` takes it."""
    words = value.split("/") if isinstance(value, str) else []
    try:
        wanted, counts = map(mark, words)
    except ValueError:
        wanted, counts = 1, 0
    if wanted & ~counts or not counts:
        raise ValueError(
            'must be a mark and its mask, such as "0x10/0xff", with no bit of the mark outside of the mask'
        )
    return wanted, counts


CodePoint = Annotated[int, BeforeValidator(dscp)]
