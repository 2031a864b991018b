"""What a rule is: shown at the end of each round what every candidate of a policy costs, it says whether to move.

It is asked only while the current path is usable: leaving a dead, drained or forbidden path is no matter of price.
Costs in ms, time in seconds, prices and regrets in ms*s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from steerd.core.effects import Terms
from steerd.core.settings import PathId

SAMPLES_MIN: Final = 5
"""Never move to a path of which less was learned since it became a candidate: with one sample the best of 20 equal
paths is the one that was lucky (`bench.rule --only scouts`)."""


class Evidence(Protocol):
    """What was learned of a path, by whatever policy it is priced. ``news``: how much so far, a count; ``news_after``:
    how many seconds after what was learned before the newest of it was sent. ``up``: nothing speaks against the path at
    the moment."""

    @property
    def news(self) -> int: ...
    @property
    def news_after(self) -> float: ...
    @property
    def up(self) -> bool: ...


class Belief(Protocol):
    """What a path costs a policy, in ms: ``cost``, of what is believed; ``last_cost``, of the last probe alone;
    ``fixed``, what of both does not depend on probes. ``path``: what that rests on."""

    @property
    def path(self) -> Evidence: ...
    @property
    def cost(self) -> float: ...
    @property
    def last_cost(self) -> float: ...
    @property
    def fixed(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path that a rule is shown. ``open``: the policy may move there while it is up. ``since``: the news there were
    when it became a candidate. ``relapses``: how far it is doubted for having been down (see `Health.relapses`)."""

    path: PathId
    belief: Belief
    open: bool = True
    since: int = 0
    relapses: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether it may be moved to now."""
        path = self.belief.path
        return self.open and path.up and path.news - self.since >= SAMPLES_MIN


class Verdict(NamedTuple):
    """Move to ``to``. ``rule``: which one says so; ``margin``: what its test compared."""

    to: PathId
    rule: str
    margin: Terms


class Standing(NamedTuple):
    """What a rule has made of itself so far: ``leader``, the member that is followed, for how many seconds, and what
    each would have cost lately beyond the one that cost least, in ms*s."""

    leader: str
    leads_for: float
    costs: Mapping[str, float]


class Rule(Protocol):
    """What decides when nothing forces a choice. Shown are only paths of which something is known. The very same
    sequence of candidates means that nothing has changed but what is believed of them."""

    def observe(self, candidates: Sequence[Candidate], here: int, dt: float, now: float) -> Verdict | None:
        """The round that ended covered ``dt`` seconds; the policy is on ``candidates[here]``. Where to move, or None."""
        ...

    def moved(self) -> None:
        """The choice changed, for whatever reason."""
        ...

    def outlook(self, candidates: Sequence[Candidate], here: int) -> str:
        """What would have to change for the choice to change."""
        ...

    def standing(self, now: float) -> Standing | None:
        """For views and for a restart; None: it keeps nothing that outlives a round."""
        ...

    def restore(self, standing: Standing, now: float) -> None:
        """Take up what an earlier run made of it."""
        ...
