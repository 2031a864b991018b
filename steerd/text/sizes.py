"""Amounts of data as people write them: `500MB`, `50GB`, `1.5TB`, `64MiB`, `1GiB`."""

import re

_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_TEXT = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(B|[kMGT]B|[KMGT]iB)", re.ASCII)
HOW = '"500MB", "50GB", "1.5TB" or "64GiB"'


def parse(value: object) -> int:
    """The bytes that `value` means. ValueError: it is no amount."""
    if isinstance(value, str) and (match := _TEXT.fullmatch(value.strip())):
        return round(float(match[1]) * _BYTES[match[2]])
    raise ValueError(f"must be an amount of data: {HOW}")


def show(count: float) -> str:
    """So many bytes for people, to three digits: `46.2 GB`, `980 kB`, `12 B`."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if count < 999.5:
            break
        count, unit = count / 1000.0, larger
    return f"{count:.{0 if unit == 'B' or count >= 99.95 else 1}f} {unit}"
