"""Times and numbers for people."""

from datetime import UTC, datetime


def span(seconds: float | None) -> str:
    """`0.3s`, `42s`, `3m12s`, `2h05m`, `3d4h`: at most two units; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def milliseconds(value: float | None) -> str:
    """`0.42 ms`, `12.3 ms`, `345 ms`: three digits; `-` for None."""
    if value is None:
        return "-"
    return f"{value:.2f} ms" if abs(value) < 1 else f"{value:.1f} ms" if abs(value) < 100 else f"{value:.0f} ms"


def utc(wall_ms: int) -> str:
    """Unix time in milliseconds as `2026-11-30T16:08:21.123Z`."""
    at = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
