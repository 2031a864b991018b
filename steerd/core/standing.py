"""A path as a rule sees it: what is believed of it, and what the rule itself remembers."""

from typing import Final, NamedTuple, Protocol

from steerd.core.model import Terms
from steerd.core.settings import PathId

SAMPLES_MIN: Final = 5
"""Never move to a path that answered less often."""


class Belief(Protocol):
    """What a rule reads of a path. All in ms: ``cost``, of the present mean; ``level``, of what the path is used to;
    ``spot``, of the last probe alone; ``scatter``, the standard deviation of single probes. ``level_error2`` is the
    squared standard error of the level, in ms^2. ``samples``: all answers since the path was last new. ``missing``:
    its newest probe is overdue. ``up``: nothing speaks against it at the moment."""

    @property
    def id(self) -> PathId: ...
    @property
    def cost(self) -> float: ...
    @property
    def level(self) -> float: ...
    @property
    def spot(self) -> float: ...
    @property
    def scatter(self) -> float: ...
    @property
    def level_error2(self) -> float: ...
    @property
    def samples(self) -> int: ...
    @property
    def missing(self) -> bool: ...
    @property
    def up(self) -> bool: ...


class Standing:
    """``open``: the policy may move there while it is up. ``doubt``: not 0 for a path that was down lately and ranks
    behind others for it; 1 after the first time, one more with each relapse.

    ``regret``, in ms*s: None for a path that is new to the rule, or back. Of the current path against this one, in
    ms*s: ``excess``, what it cost lately beyond this one's level; ``above`` and ``beyond``, what it has cost since it
    was last the best, beyond this one's level and beyond what this one cost. ``kind`` and ``age``: of the excursion
    that this path began, as long as it is not known whether it lasts; ``out``: it is on one; ``owed``: what of such
    excursions is still to be counted.
    """

    __slots__ = (
        "above",
        "age",
        "belief",
        "better_since",
        "beyond",
        "doubt",
        "excess",
        "excess_for",
        "excess_from",
        "kind",
        "open",
        "out",
        "owed",
        "path",
        "regret",
    )

    def __init__(self, belief: Belief) -> None:
        self.path = belief.id
        self.belief = belief
        self.open = True
        self.doubt = 0.0
        self.forget()

    def forget(self) -> None:
        self.regret: float | None = None
        self.kind: int | None = None
        self.age = 0.0
        self.out = False
        self.owed = 0.0
        self.begin()

    def begin(self) -> None:
        """The choice changed: what was seen of the current path was seen of another."""
        self.excess = self.excess_for = 0.0
        self.excess_from = 0
        self.above = self.beyond = 0.0
        self.better_since: float | None = None


class Verdict(NamedTuple):
    to: PathId
    rule: str
    margin: Terms
