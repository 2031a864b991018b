"""What there is to know of an uplink: what it costs, when, and how much may go over it."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Every(Enum):
    """How often a count begins anew."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Resets(NamedTuple):
    """When it does, at local midnight: ``day`` of the month, from 1 (a month that is shorter: its last one), or of the
    week, from Monday, 0."""

    every: Every
    day: int = 0


FIRST = Resets(Every.MONTH, 1)
"""Unless the file says otherwise."""

METERED = 20.0
"""The price, in ms, of an uplink that is metered, unless the file has one."""


class Hours(NamedTuple):
    """From one minute of the day to another, both from 0 to 1439, local time; over midnight if the first is later."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """``name`` is its device. ``metered``: None: as NetworkManager says. ``price`` in ms (None: as `METERED` says), and
    ``bias`` on top of it within ``hours`` (None: never). ``cap`` in bytes, counted anew as ``resets`` says."""

    name: str
    metered: bool | None = None
    price: float | None = None
    cap: int | None = None
    resets: Resets = FIRST
    hours: Hours | None = None
    bias: float = 0.0
