"""Surely cheaper: a path is left for one whose mean cost is lower by a margin, beyond what noise explains.

The textbook test of two means. Mean and variance are exponentially weighted by time (RFC 6298 has the same by count);
the variance of a mean is that of single samples over the number of independent ones in memory, (2 - w) / w.
"""

from collections.abc import Sequence
from math import exp2, sqrt
from operator import add
from typing import Final

from steerd.core.effects import Terms
from steerd.core.rules.rule import Candidate, Places, Round, Sample, kept

FIRST_SD: Final = 1.0 / 8.0
"""Before there is anything to compare, the standard deviation of single samples is so much of the first. At half and at
twice the mean gap left of five sets is .167 and .168, not .166."""

VARIANCE_WEIGHT_MAX: Final = 0.1
"""Variance is remembered for at least so many samples. At half and at twice: .192, and .163 with 3.2 instead of 2.5
switches an hour on noise of 10 ms."""


class Confidence:
    """``half_life`` of the mean in seconds, 0: the last sample alone. ``errors``: by how many standard errors of the
    difference the other mean must be lower, beyond ``margin`` ms."""

    def __init__(self, name: str, *, half_life: float, errors: float, margin: float) -> None:
        self.name = name
        self._half_life = half_life
        self._errors = errors
        self._margin = margin
        self._mean: list[float] = []
        self._variance: list[float] = []
        self._error2: list[float] = []
        self._dt = -1.0
        self._weights = (1.0, VARIANCE_WEIGHT_MAX, 1.0)  # of the mean, of the variance, 1 / independent samples

    def take(self, places: Places, costs: Sequence[float], shifts: Sequence[float]) -> None:
        """Other candidates than before; and by how much what does not depend on samples has changed of each."""
        first = [(cost * FIRST_SD) ** 2 for cost in costs]
        self._mean = list(map(add, kept(places, self._mean, costs), shifts))
        self._variance = kept(places, self._variance, first)
        self._error2 = kept(places, self._error2, first)

    def learn(self, rounds: Sequence[Round], samples: Sequence[Sequence[Sample]]) -> None:
        """Rounds ended: learn from the new samples alone."""
        if not self._half_life:
            self._mean, _, _ = rounds[-1]
            return
        known, (weight, spread, share) = self._dt, self._weights
        for place, new in enumerate(samples):
            if new:
                mean, variance = self._mean[place], self._variance[place]
                for cost, since in new:
                    if since != known:
                        known, (weight, spread, share) = since, self._weigh(since)
                    d = cost - mean
                    mean += weight * d
                    variance += spread * (d * d - variance)
                self._mean[place], self._variance[place], self._error2[place] = mean, variance, variance * share

    def choose(self, here: int, candidates: Sequence[Candidate]) -> int:
        """Where to be, from ``here``."""
        mean = self._mean
        most = mean[here] - self._margin
        if min(mean) >= most:
            return here
        best, lowest = here, most
        for place, one in enumerate(mean):
            if one < lowest and most - one >= self._noise(here, place) and candidates[place].ready:
                best, lowest = place, one
        return best

    def margin(self, here: int, there: int) -> Terms:
        """What `choose` compared, in ms."""
        return {"gain": self._mean[here] - self._mean[there], "needed": self._margin + self._noise(here, there)}

    def outlook(self, here: int, there: int) -> str:
        """What keeps the choice from moving to a rival, in words."""
        gain, needed = self._mean[here] - self._mean[there], self._margin + self._noise(here, there)
        now = f"{abs(gain):.1f} ms {'cheaper' if gain > 0 else 'dearer'}{', to be confirmed' * (gain >= needed)}"
        return f"it would have to be {needed:.1f} ms cheaper{', noise considered' * bool(self._errors)}; it is {now}"

    def _noise(self, here: int, there: int) -> float:
        return self._errors * sqrt(self._error2[here] + self._error2[there])

    def _weigh(self, dt: float) -> tuple[float, float, float]:
        weight = 1.0 - exp2(-dt / self._half_life)
        self._dt, self._weights = dt, (weight, min(weight, VARIANCE_WEIGHT_MAX), weight / (2.0 - weight))
        return self._weights
