"""What a switch rule is shown, written by hand. Not tests: theirs.

At a price of 100 ms*s and a horizon of 20 s what costs up to 5 ms more is not added up by the confident test.
"""

from dataclasses import dataclass

from steerd.core.rules import Regret, Standing
from steerd.core.settings import RegretSettings

IGNORE = 2.0


@dataclass
class Belief:
    """A path that costs ``cost``, and whose last probe paid ``paid`` and level is ``used_to``, if those differ."""

    id: str
    cost: float
    scatter: float = 0.0
    samples: int = 100
    up: bool = True
    missing: bool = False
    paid: float | None = None
    used_to: float | None = None
    level_error2: float = 0.0

    @property
    def spot(self):
        return self.cost if self.paid is None else self.paid

    @property
    def level(self):
        return self.cost if self.used_to is None else self.used_to


def rule(*, plain=False, price=100.0, horizon=20.0):
    return Regret(RegretSettings(price, horizon, plain), IGNORE)


def field(regrets=None, **costs):
    """Standings of paths that cost so much, with the regrets that they have by now."""
    standings = {name: Standing(Belief(name, cost)) for name, cost in costs.items()}
    for name, regret in (regrets or {}).items():
        standings[name].regret = regret
    return standings


def look(rule, standings, current="a", dt=1.0, **paid):
    """One round, in which the last probe of each path paid so much."""
    for name, one in standings.items():
        one.belief.samples += 1
        one.belief.paid = paid.get(name)
    return rule.observe(list(standings.values()), standings[current], dt, 0.0)


def regrets(standings):
    return [one.regret for one in standings.values()]
