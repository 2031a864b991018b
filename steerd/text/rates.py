"""Rates as people write them: `500B/s`, `10kB/s`, `1.5MB/s`, `64KiB/s`, `1MiB/s`, `100Mbit/s`."""

import re

_BYTES = {"B": 1, "kB": 1000, "MB": 1_000_000, "KiB": 1 << 10, "MiB": 1 << 20}
_BYTES |= {"kbit": 125, "Mbit": 125_000, "Gbit": 125_000_000}
_TEXT = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(B|kB|MB|KiB|MiB|kbit|Mbit|Gbit)/s", re.ASCII)
HOW = '"500B/s", "10kB/s", "1.5MB/s", "64KiB/s" or "100Mbit/s"'


def parse(value: object) -> float:
    """The bytes a second that `value` means. ValueError: it is no rate."""
    if isinstance(value, str) and (match := _TEXT.fullmatch(value.strip())):
        return float(match[1]) * _BYTES[match[2]]
    raise ValueError(f"must be a rate: {HOW}")


def show(rate: float) -> str:
    """`rate` bytes a second, written to nine digits: 4200 is `4.2kB/s`."""
    for unit in ("MB", "kB"):
        if rate >= _BYTES[unit]:
            return f"{rate / _BYTES[unit]:.9g}{unit}/s"
    return f"{rate:.9g}B/s"
