"""Regret, capped at one price: the work function of metrical task systems on a uniform space.

Borodin, Linial, Saks, "An optimal on-line algorithm for metrical task system", J. ACM 39(4), 1992. Each path keeps what
having been on it would have cost beyond the best, at most one price; the path that sits at the cap is left for the one
that is least to be regretted. Whatever happens, that costs no more than a fixed multiple of the best in hindsight.
"""

from collections.abc import Sequence
from math import inf

from steerd.core.effects import Terms
from steerd.core.rules.rule import Candidate, Fresh, Places, kept


class WorkFunction:
    """``price`` of a switch in ms*s."""

    name = "work-function"

    def __init__(self, price: float) -> None:
        self._price = price
        self._regret: list[float] = []

    def take(self, places: Places, costs: Sequence[float], shifts: Sequence[float]) -> None:  # noqa: ARG002
        """Other candidates than before."""
        # A path that is new does not win by being new, unless all are: then they start level.
        new = self._price if any(place is not None for place in places) else 0.0
        self._regret = kept(places, self._regret, [new] * len(places))

    def observe(self, costs: list[float], low: float, fresh: Fresh, dt: float) -> None:  # noqa: ARG002
        """A round of ``dt`` seconds: a path pays what its newest sample says for all of it, new or not."""
        regret, cap, least = self._regret, self._price, inf
        for place, cost in enumerate(costs):
            regret[place] = one = regret[place] + (cost - low) * dt
            if one < least:
                least = one
        for place, one in enumerate(regret):
            if one - least > cap:
                regret[place] = cap
            elif least:
                regret[place] = one - least

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
