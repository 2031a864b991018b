"""Durations as people write them: `250ms`, `2s`, `5m`, `1h`, `1d`, or a number of seconds."""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(ms|s|m|h|d)", re.ASCII)
HOW = '"250ms", "2s", "5m", "1h" or a number of seconds'


def parse(value: object) -> float:
    """The seconds that `value` means. ValueError: it is no duration."""
    if isinstance(value, str) and (match := _TEXT.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    raise ValueError(f"must be a duration: {HOW}")


def show(seconds: float) -> str:
    """The shortest exact way to write `seconds` down: 0.25 is `250ms`, 3600 is `1h`."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    if seconds >= 1:
        return f"{seconds:.9g}s"
    return "0s" if seconds == 0 else f"{seconds * 1000:.9g}ms"
