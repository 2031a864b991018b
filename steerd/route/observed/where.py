"""Where a policy's packets went, and whether they may go there."""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

OTHER: Final = "other"
"""In the place of a device that has no counter of its own."""


class Where(StrEnum):
    """CHOICE: by a device of the policy's choice; PATH: by that of another path of its, as pinned connections do;
    ASTRAY: by any other; GUARD: dropped by the leak guard; NOWHERE: came in, and neither left nor was for this machine.
    """

    CHOICE = "choice"
    PATH = "path"
    ASTRAY = "astray"
    GUARD = "guard"
    NOWHERE = "nowhere"


BAD: Final = (Where.ASTRAY, Where.GUARD, Where.NOWHERE)


class Ways(NamedTuple):
    """The devices that a policy's packets are to leave by, and those of all its paths."""

    chosen: AbstractSet[str] = frozenset()
    all: AbstractSet[str] = frozenset()


@dataclass(slots=True)
class Seen:
    """New packets of one policy and family: forwarded ones that came in, that were for this machine, that left by each
    device, that the guard dropped; what began on the gateway itself, by device; and what went ``nowhere``, if that is
    known already."""

    came: int = 0
    here: int = 0
    left: Counter[str] = field(default_factory=Counter)
    guard: int = 0
    own: Counter[str] = field(default_factory=Counter)
    nowhere: int = 0

    @property
    def missing(self) -> int:
        """Came in, and neither left nor was for this machine. Some are on their way, so it may be negative."""
        return self.came - self.here - self.left.total() - self.guard


Place = tuple[Where, str]
"""With the device, where there is one."""


def places(seen: Seen, ways: Ways) -> dict[Place, int]:
    """How many packets went where."""
    found: Counter[Place] = Counter()
    for by in (seen.left, seen.own):
        for device, count in by.items():
            found[_where(device, ways), device] += count
    found[Where.GUARD, ""] = seen.guard
    found[Where.NOWHERE, ""] = seen.nowhere
    return dict(+found)


def _where(device: str, ways: Ways) -> Where:
    if device in ways.chosen:
        return Where.CHOICE
    return Where.PATH if device in ways.all else Where.ASTRAY


def bad(seen: Seen, ways: Ways) -> Mapping[Place, int]:
    """The forwarded packets that went where they should not. What a program on the gateway binds to a device goes by
    that: no mistake of the routes."""
    forwarded = replace(seen, own=Counter())
    return {place: count for place, count in places(forwarded, ways).items() if place[0] in BAD}
