"""When a count begins anew, and which hours are meant: by local time, as far as the clock can be believed."""

from calendar import monthrange
from datetime import date, datetime, timedelta
from typing import Final

from steerd.config.uplink import Every, Hours, Resets

SET_SINCE: Final = 1_704_067_200.0
"""Unix time of the beginning of 2024: a clock from before was not set yet."""
LEAP: Final = 86_400.0
"""So many seconds ahead of what has passed, the clock is doubted."""
BELIEVED_AFTER: Final = 3600.0
"""Seconds after which a clock that leapt is believed all the same."""


def began(resets: Resets, today: date) -> date:
    """On which day the period began that ``today`` is in."""
    if resets.every is Every.DAY:
        return today
    if resets.every is Every.WEEK:
        return today - timedelta(days=(today.weekday() - resets.day) % 7)
    this = _in_month(today, resets.day)
    return this if this <= today else _in_month(today.replace(day=1) - timedelta(days=1), resets.day)


def ends(resets: Resets, today: date) -> date:
    """On which day the next one begins."""
    if resets.every is not Every.MONTH:
        return began(resets, today) + timedelta(days=1 if resets.every is Every.DAY else 7)
    this = _in_month(today, resets.day)
    return this if this > today else _in_month(today.replace(day=28) + timedelta(days=4), resets.day)


def within(hours: Hours | None, local: datetime) -> bool:
    """Whether it is one of these hours."""
    if hours is None:
        return False
    minute = local.hour * 60 + local.minute
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return minute >= hours.begin or minute < hours.end


def _in_month(day: date, number: int) -> date:
    return day.replace(day=min(number, monthrange(day.year, day.month)[1]))


class LocalTime:
    """A clock that is set back is followed: nothing is counted anew by it. One that leaps ahead, by more than what has
    passed, is not, until it has stood so for a while."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._doubted_at: float | None = None

    def look(self, wall: float, now: float) -> datetime | None:
        """The local time at this Unix time; None: it is not known. ``now`` goes on evenly. Both in seconds."""
        if wall < SET_SINCE:
            return None
        if self._last is not None and wall - self._last[0] > now - self._last[1] + LEAP:
            if self._doubted_at is None:
                self._doubted_at = now
            if now - self._doubted_at < BELIEVED_AFTER:
                return None
        self._last, self._doubted_at = (wall, now), None
        try:
            return datetime.fromtimestamp(wall)  # noqa: DTZ006 (the operator's midnight)
        except (OverflowError, OSError, ValueError):
            return None
