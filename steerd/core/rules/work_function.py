"""Regret, capped at one price: the work function of metrical task systems on a uniform space.

Borodin, Linial, Saks, "An optimal on-line algorithm for metrical task system", J. ACM 39(4), 1992. Each path keeps what
having been on it would have cost beyond the best, at most one price; the path that sits at the cap is left for the one
that is least to be regretted. Whatever happens, that costs no more than a fixed multiple of the best in hindsight.
"""

from collections.abc import Sequence

from steerd.core.effects import Terms
from steerd.core.rules.rule import Candidate


class WorkFunction:
    """``price`` of a switch in ms*s."""

    name = "work-function"

    __slots__ = ("_price", "_regret")

    def __init__(self, price: float) -> None:
        self._price = price
        self._regret: list[float] = []

    def take(
        self,
        places: Sequence[int | None],
        costs: Sequence[float],  # noqa: ARG002
        shifts: Sequence[float],  # noqa: ARG002 (what was paid was paid)
    ) -> None:
        """Other candidates than before: of each its former place, None for one that is new, or back."""
        kept = [None if place is None else self._regret[place] for place in places]
        # A path that is new does not win by being new, unless all are: then they start level.
        new = self._price if any(one is not None for one in kept) else 0.0
        self._regret = [new if one is None else one for one in kept]

    def observe(
        self,
        costs: Sequence[float],
        low: float,
        fresh: Sequence[tuple[int, float]],  # noqa: ARG002
        dt: float,
    ) -> None:
        """A round of ``dt`` seconds: a path pays what its newest sample says for all of it, new or not."""
        regret = [old + (cost - low) * dt for old, cost in zip(self._regret, costs, strict=True)]
        least, cap = min(regret), self._price
        self._regret = [one - least if one - least < cap else cap for one in regret]

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

    def outlook(self, here: int, there: int) -> str:
        """What keeps the choice from moving to a rival, in words."""
        regret = self._regret[here]
        return f"it has cost {regret:.0f} of the {self._price:.0f} ms*s at which it is left"
