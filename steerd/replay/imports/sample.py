"""What every parser yields, and how it says that it cannot."""

from math import isfinite
from typing import Any, Final, NamedTuple

from steerd.text.lines import printable

TIME_MAX: Final = 1e11  # seconds since 1970 that no clock shows: what is above is milliseconds, or no time at all
RTT_MAX: Final = 1e9  # milliseconds: as for a CSV trace
NAME_MAX: Final = 200

BACK_MAX: Final = 60.0  # seconds that a clock may be set back within a run


class Sample(NamedTuple):
    """One probe: its path's name, when it was sent (seconds since 1970), and its RTT in ms; None: lost."""

    path: str
    sent_at: float
    rtt: float | None


class Malformed(Exception):  # noqa: N818 (it becomes a TraceError where the file's name is known)
    """What was read is not of the format. ``line``: where, from 1; 0: nowhere in particular."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def moment(value: Any, line: int) -> float:
    """Seconds since 1970. Raises `Malformed`: it is no number, or no time that a clock shows."""
    seconds = number(value)
    if seconds is None or not 0.0 <= seconds < TIME_MAX:
        raise Malformed(line, f"{brief(value)} is not a time in seconds since 1970")
    return seconds


def forward(at: float, last: float, line: int) -> float:
    """A time that follows the one before of its run, but for `BACK_MAX`. Raises `Malformed`: it goes back."""
    if at < last - BACK_MAX:
        raise Malformed(line, f"the time goes back by {last - at:.0f} s")
    return at


def milliseconds(value: Any, line: int, *, unit: float = 1.0) -> float:
    """An RTT in ms; ``unit``: ms that the number counts in. Raises `Malformed`: no number, negative, or absurd."""
    found = number(value)
    if found is None or not 0.0 <= found * unit < RTT_MAX:
        raise Malformed(line, f"{brief(value)} is not an RTT")
    return found * unit


def number(value: Any) -> float | None:
    """The finite number that a JSON value or a text is, if it is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def brief(value: Any) -> str:
    """A value as a message can show it: short, and harmless to a terminal."""
    text = printable(value if isinstance(value, str) else str(type(value).__name__ if _long(value) else value))
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _long(value: Any) -> bool:
    # The text of a large integer is not made: Python refuses those beyond 4300 digits.
    return isinstance(value, (list, dict)) or (isinstance(value, int) and abs(value) > 1 << 200)


def named(value: Any, line: int) -> str:
    """The name of a path or target in a file. Raises `Malformed`: it is no text, empty, or too long to be a name."""
    if not isinstance(value, str) or not value.strip() or len(value) > NAME_MAX:
        raise Malformed(line, f"{brief(value)} is not the name of a host")
    return printable(value.strip())


def inside(value: Any, *keys: str) -> Any:
    """What a JSON value has there, object in object; None: nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
