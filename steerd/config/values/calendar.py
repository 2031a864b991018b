"""Days and hours, as a calendar and a clock on the wall have them."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

from steerd.config.uplink import Every, Hours, Resets

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d) ?- ?([01]\d|2[0-3]|24):([0-5]\d)", re.ASCII)
_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY: Final = 24 * 60


def _ordinal(day: int) -> str:
    return f"{day}{'th' if day in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


_RESETS: Final = {
    "daily": Resets(Every.DAY),
    **{day: Resets(Every.WEEK, place) for place, day in enumerate(_WEEK)},
    **{_ordinal(day): Resets(Every.MONTH, day) for day in range(1, 32)},
}


def resets(value: object) -> Resets:
    """When a count begins anew."""
    found = _RESETS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a day of the month, "1st" to "31st", a day of the week, such as "monday", or "daily"')
    return found


def hours(value: object) -> Hours:
    """A part of the day, over midnight too."""
    match = _HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    begin, end = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
    if begin == end % _DAY or end > _DAY:
        raise ValueError('must be two different times of the day, such as "08:00-18:00" or "22:00-06:00"')
    return Hours(begin, end % _DAY)


ResetDay = Annotated[Resets, BeforeValidator(resets)]
PartOfDay = Annotated[Hours, BeforeValidator(hours)]
