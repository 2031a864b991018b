"""How one path is probed, for people and for metrics."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from steerd.probe.direction import Directions


class PathProbing(NamedTuple):
    """``targets``: the address of each leg, or its name as long as that is not resolved. ``every`` and ``local_queue``
    in seconds, the first as the device's budget allows it (None: at rest). ``findings`` with a sentence each.
    ``directions`` for each leg; None where the method can not tell."""

    method: str
    targets: tuple[str, ...]
    every: float | None
    local_queue: float
    findings: Mapping[str, str]
    directions: tuple["Directions | None", ...]
