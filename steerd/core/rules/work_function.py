"""Regret, capped at one price: the work function of metrical task systems on a uniform space.

Borodin, Linial, Saks, "An optimal on-line algorithm for metrical task system", J. ACM 39(4), 1992. Each path keeps what
having been on it would have cost beyond the best, at most one price; the path that sits at the cap is left for the one
that is least to be regretted. Whatever happens, that costs no more than a fixed multiple of the best in hindsight.
"""

from collections.abc import Sequence

from steerd.core.effects import Terms
from steerd.core.rules.rule import Candidate, Places, Round, Sample, kept


class WorkFunction:
    """``price`` of a switch in ms*s."""

    name = "work-function"

    def __init__(self, price: float) -> None:
        self._price = price
        self._regret: list[float] = []
        self._best: int | None = None  # all others are at the cap: while it costs least, nothing changes

    def take(self, places: Places, costs: Sequence[float], shifts: Sequence[float]) -> None:  # noqa: ARG002
        """Other candidates than before. One that is new does not win by being new, unless all are: they start level."""
        new = self._price if any(place is not None for place in places) else 0.0
        self._regret = kept(places, self._regret, [new] * len(places))
        self._best = None

    def learn(self, rounds: Sequence[Round], samples: Sequence[Sequence[Sample]]) -> None:  # noqa: ARG002
        """Rounds ended. A path pays for all of a round what its newest sample says, new or not."""
        regret, cap = self._regret, self._price
        for costs, low, dt in rounds:
            if self._best is None or costs[self._best] != low:
                for place, cost in enumerate(costs):
                    regret[place] += (cost - low) * dt
                least = min(regret)
                for place, one in enumerate(regret):
                    regret[place] = cap if one - least > cap else one - least
                self._best = regret.index(0.0) if regret.count(cap) == len(regret) - 1 else None

    def choose(self, here: int, candidates: Sequence[Candidate]) -> int:
        """Where to be, from ``here``."""
        regret = self._regret
        if regret[here] < self._price:
            return here
        best = here
        for place, one in enumerate(regret):
            if one < regret[best] and candidates[place].ready:
                best = place
        return best

    def margin(self, here: int, there: int) -> Terms:
        """What `choose` compared, in ms*s."""
        return {"regret": self._regret[here], "regret_there": self._regret[there]}

    def outlook(self, here: int, there: int) -> str:  # noqa: ARG002
        """What keeps the choice from moving to a rival, in words."""
        return f"it is taken once staying costs a switch more, {self._price:.0f} ms*s; so far {self._regret[here]:.0f}"
