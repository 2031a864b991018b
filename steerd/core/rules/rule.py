"""What rules are shown at the end of each round, and what they say: what every candidate costs, and whether to move.

They are asked only while the current path is usable: leaving a dead, drained or forbidden path is no matter of price.
Costs in ms, time in seconds, prices and regrets in ms*s. Is the sequence of candidates the same, only beliefs changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from steerd.core.cost.price import Price
from steerd.core.effects import Terms
from steerd.core.settings import PathId

SAMPLES_MIN: Final = 5
"""Never move to a path of which less was learned since it became a candidate: with one sample the best of 20 equal
paths is the one that was lucky (`bench.rule --only scouts`)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path that a rule is shown. ``open``: the policy may move there while it is up. ``since``: the news there were
    when it became a candidate. ``relapses``: how far it is doubted for having been down (see `Health.relapses`)."""

    path: PathId
    belief: Price
    open: bool = True
    since: int = 0
    relapses: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether it may be moved to now."""
        path = self.belief.path
        return self.open and path.up and path.news - self.since >= SAMPLES_MIN


Places = Sequence[int | None]
"""Of each candidate the place that it had among those before; None: it is new, or back."""

Round = tuple[list[float], float, float]
"""What each candidate cost by its newest sample, new or not; the lowest of that; and the round's seconds."""

Sample = tuple[float, float]
"""What a candidate cost when something was learned of it, and the seconds since the time before: a round's at least."""


class Verdict(NamedTuple):
    """Move to ``to``. ``rule``: which one says so; ``margin``: what its test compared."""

    to: PathId
    rule: str
    margin: Terms


def kept(places: Places, old: Sequence[float], new: Sequence[float]) -> list[float]:
    """What was known of those that were there before, and ``new`` for the others."""
    return [one if place is None else old[place] for place, one in zip(places, new, strict=True)]
