"""Figures as every answer has them."""

from collections.abc import Mapping, Sequence
from typing import Any

from steerd.core.effects import Terms
from steerd.text.times import utc


def at(wall_ms: int) -> dict[str, Any]:
    """A Unix time in ms, and in words."""
    return {"at": utc(wall_ms), "wall_ms": wall_ms}


def gain(evidence: Mapping[Any, Terms], old: str | None, new: str | None) -> float | None:
    """By how much the new choice was cheaper, in ms; None when one of them was not known."""
    costs: Sequence[float | None] = [evidence.get(path, {}).get("total") for path in (old, new)]
    return None if costs[0] is None or costs[1] is None else rounded(costs[0] - costs[1])


def rounded(value: float | None, digits: int = 3) -> float | None:
    """None as well for what JSON cannot say."""
    if value is None or value - value != 0:  # JSON has no infinity
        return None
    return round(value, digits)
