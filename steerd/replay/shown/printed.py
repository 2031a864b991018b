"""Times of traces as they are printed."""

from datetime import UTC, datetime
from typing import Final

SHORT: Final = 3600.0  # seconds up to which times are told in seconds, as the trace has them
WALL: Final = (1e9, 1e10)  # times between these are seconds since 1970: from 2001 to 2286


def elapsed(seconds: float, of: float) -> str:
    """A time since the start of a trace that takes ``of`` seconds: ``122 s``, or ``1:02:02`` in a long one."""
    if of <= SHORT:
        return f"{round(seconds, 3):.12g} s"
    whole = round(max(0.0, seconds), 1)
    minutes, rest = divmod(whole, 60.0)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:02.0f}" if rest == int(rest) else f"{hours}:{minutes:02}:{rest:04.1f}"


def wall(time: float) -> str:
    """The date and time in UTC, or nothing when ``time`` is not in seconds since 1970."""
    if not WALL[0] <= time <= WALL[1]:
        return ""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """How long something takes: ``90 s``, ``10 min``, ``2 h 3 min``, ``54 years``."""
    if seconds < 120.0:
        return f"{seconds:.3g} s" if seconds != int(seconds) else f"{seconds:g} s"
    minutes = round(seconds / 60.0)
    if minutes < 120:
        return f"{minutes} min"
    hours, days = minutes // 60, seconds / 86_400.0
    if days < 14.0:
        return f"{hours} h {minutes % 60} min"
    return f"{days:.0f} days" if days < 730.0 else f"{days / 365.25:.0f} years"
