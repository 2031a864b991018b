"""Times, rates, ratios and whole numbers."""

import re
from typing import Annotated

from pydantic import BeforeValidator

from steerd.config.methods import MAX_PAYLOAD
from steerd.text import rates, sizes
from steerd.text.durations import HOW, parse, show

_PRICE = re.compile(r"(\S+) +for +(\S+)")
_LEAST_RATE, _MOST_RATE = 1.0, 1.25e11
_LEAST_AMOUNT, _MOST_AMOUNT = 10**6, 10**15


def _seconds(value: object, low: float, high: float) -> float:
    try:
        seconds = parse(value)
    except ValueError:
        seconds = -1.0
    if not low <= seconds <= high:
        raise ValueError(f"must be a duration from {show(low)} to {show(high)}: {HOW}")
    return seconds


def duration(low: float, high: float) -> BeforeValidator:
    """Between `low` and `high` seconds, from a duration."""
    return BeforeValidator(lambda value: _seconds(value, low, high))


def duration_or_never(low: float, high: float) -> BeforeValidator:
    """As `duration`; 0 is never."""

    def check(value: object) -> float:
        try:
            return parse(value) and _seconds(value, low, high)
        except ValueError:
            raise ValueError(f'must be "0s" (never) or a duration from {show(low)} to {show(high)}: {HOW}') from None

    return BeforeValidator(check)


def milliseconds(low: float, high: float) -> BeforeValidator:
    """As `duration` (the bounds in seconds), in ms."""
    return BeforeValidator(lambda value: round(_seconds(value, low, high) * 1000.0, 9))


def _bounded(kind: type[int] | type[float], allowed: str, low: float, high: float) -> BeforeValidator:
    def check(value: object) -> float:
        if not isinstance(value, int | kind) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be {allowed}")
        return kind(value)

    return BeforeValidator(check)


def integer(low: int, high: int) -> BeforeValidator:
    """A whole number between `low` and `high`."""
    return _bounded(int, f"a whole number from {low} to {high}", low, high)


def number(low: float, high: float) -> BeforeValidator:
    """A number between `low` and `high`."""
    return _bounded(float, f"a number from {low:g} to {high:g}", low, high)


def rate(value: object) -> float:
    """Bytes a second."""
    try:
        found = rates.parse(value)
    except ValueError:
        found = -1.0
    if not _LEAST_RATE <= found <= _MOST_RATE:
        span = f"from {rates.show(_LEAST_RATE)} to {rates.show(_MOST_RATE)}"
        raise ValueError(f"must be a rate {span}: {rates.HOW}")
    return found


def amount(value: object) -> int:
    """Bytes."""
    try:
        found = sizes.parse(value)
    except ValueError:
        found = -1
    if not _LEAST_AMOUNT <= found <= _MOST_AMOUNT:
        raise ValueError(f'must be an amount of data from "1MB" to "1000TB": {sizes.HOW}')
    return found


def percent(value: object) -> float:
    """A ratio, from `10%`."""
    text = value.strip().removesuffix("%") if isinstance(value, str) and value.strip().endswith("%") else ""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text, re.ASCII) or float(text) > 100:
        raise ValueError('must be a percentage from "0%" to "100%"')
    return float(text) / 100


def switch_price(value: object) -> float:
    """The price of a switch in ms*s, from `10ms for 10s`."""
    try:
        match = _PRICE.fullmatch(value.strip()) if isinstance(value, str) else None
        better, for_long = map(parse, match.groups()) if match else (0.0, 0.0)
    except ValueError:
        better, for_long = 0.0, 0.0
    if not (0.0001 <= better <= 10 and 0.01 <= for_long <= 86400):
        raise ValueError('must be a gain in delay and how long it takes to pay, such as "10ms for 10s"')
    return round(better * 1000 * for_long, 9)


Interval = Annotated[float, duration(0.01, 3600)]
Timeout = Annotated[float, duration(0.01, 60)]
Patience = Annotated[float, duration(0, 3600)]
Port = Annotated[int, integer(1, 65535)]
PayloadSize = Annotated[int, integer(28, MAX_PAYLOAD)]
Rate = Annotated[float, BeforeValidator(rate)]
Amount = Annotated[int, BeforeValidator(amount)]
Weight = Annotated[float, number(0, 100)]
