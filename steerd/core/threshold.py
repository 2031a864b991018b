"""Better by a margin, for a time: the rule that most peers have."""

from collections.abc import Sequence

from steerd.core.settings import ThresholdSettings
from steerd.core.standing import SAMPLES_MIN, Standing, Verdict


class Threshold:
    """Moves to a path that has been better by the margin for the whole hold time."""

    __slots__ = ("_ignore", "_settings")

    def __init__(self, settings: ThresholdSettings, ignore_below: float) -> None:
        self._settings = settings
        self._ignore = ignore_below

    def observe(self, field: Sequence[Standing], current: Standing, dt: float, now: float) -> Verdict | None:
        needed = self._needed(current)
        limit = current.belief.cost - needed
        best: Standing | None = None
        for rival in field:
            belief = rival.belief
            if belief.cost >= limit or rival.doubt or not (rival.open and belief.up) or belief.samples < SAMPLES_MIN:
                rival.better_since = None
                continue
            if rival.better_since is None:
                rival.better_since = now - dt
            held = now - rival.better_since >= self._settings.hold
            if held and (best is None or belief.cost < best.belief.cost):
                best = rival
        if best is None or best.better_since is None:
            return None
        margin = {
            "gain": current.belief.cost - best.belief.cost,
            "needed": needed,
            "held": now - best.better_since,
            "hold": self._settings.hold,
        }
        return Verdict(best.path, "threshold", margin)

    def moved(self, field: Sequence[Standing]) -> None:
        for one in field:
            one.better_since = None

    def outlook(self, field: Sequence[Standing], current: Standing) -> str:
        rivals = [one for one in field if one is not current and one.open]
        if not rivals:
            return "no rival may be used now"
        rival = min(rivals, key=lambda one: one.belief.cost)
        gain = current.belief.cost - rival.belief.cost
        needed = self._needed(current)
        if gain > needed:
            return f"{rival.path} is {gain:.1f} ms cheaper: it has to stay so for {self._settings.hold:g} s"
        return f"{rival.path}, the cheapest rival, would have to become {needed - gain:.1f} ms cheaper"

    def _needed(self, current: Standing) -> float:
        return max(self._settings.margin * current.belief.cost, self._settings.margin_ms, self._ignore)
