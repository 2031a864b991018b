"""Better by a margin, for a time: the rule that most peers have."""

from collections.abc import Sequence

from steerd.core.rules.rule import Candidate, Verdict
from steerd.core.settings import PathId, ThresholdSettings


class Threshold:
    """Moves to a path that has been better by the margin for the whole hold time."""

    def __init__(self, settings: ThresholdSettings, ignore_below: float) -> None:
        self._settings = settings
        self._ignore = ignore_below
        self._better_since: dict[PathId, float] = {}
        self._on: PathId | None = None

    def observe(self, candidates: Sequence[Candidate], here: int, dt: float, now: float) -> Verdict | None:
        """As `Panel.observe`."""
        if candidates[here].path != self._on:
            self._on, self._better_since = candidates[here].path, {}
        cost = candidates[here].belief.cost
        needed = self._needed(cost)
        better = [one for one in candidates if one.ready and not one.relapses and one.belief.cost < cost - needed]
        self._better_since = {one.path: self._better_since.get(one.path, now - dt) for one in better}
        held = [one for one in better if now - self._better_since[one.path] >= self._settings.hold]
        if not held:
            return None
        best = min(held, key=lambda one: one.belief.cost)
        margin = {"gain": cost - best.belief.cost, "needed": needed, "held": now - self._better_since[best.path]}
        return Verdict(best.path, "threshold", {**margin, "hold": self._settings.hold})

    def outlook(self, candidates: Sequence[Candidate], here: int) -> str:
        """What would have to change for the choice to change."""
        rivals = [one for place, one in enumerate(candidates) if place != here and one.open and one.belief.path.up]
        if not rivals:
            return "no rival may be used now"
        rival, cost = min(rivals, key=lambda one: one.belief.cost), candidates[here].belief.cost
        gain, needed = cost - rival.belief.cost, self._needed(cost)
        if gain > needed:
            return f"{rival.path} is {gain:.1f} ms cheaper: it has to stay so for {self._settings.hold:g} s"
        return f"{rival.path}, the cheapest rival, would have to become {needed - gain:.1f} ms cheaper"

    def _needed(self, cost: float) -> float:
        return max(self._settings.margin * cost, self._settings.margin_ms, self._ignore)
