"""Costs over time to the path to use: the switch rules.

A rule is shown, at the end of each round, what every path of a policy costs, and says whether to move.
It is asked only while the current path is usable: leaving a dead, drained or forbidden path is no matter
of price. Costs in ms, time in seconds, prices and regrets in ms*s.
"""

from collections.abc import Sequence
from math import inf, sqrt
from typing import Final, NamedTuple, Protocol

from steerd.core.model import Terms
from steerd.core.settings import PathId, RegretSettings, Settings, ThresholdSettings

SAMPLES_MIN: Final = 5
"""Never move to a path that answered less often."""

Z: Final = 1.64
"""One-sided 95 %."""

CAP: Final = 1.5
"""Regrets are capped at this many prices above the least one."""

CONFIDENT_MIN: Final = 2.0
"""Independent samples that a mean needs before it is trusted: one is never confident."""

CORROBORATION: Final = 0.5
"""The confident test also wants so many prices of excess *paid*, sample by sample: a burst that costs less
than that moves nothing, however sure its mean is."""


class Belief(Protocol):
    """What a rule reads of a path. ``cost`` in ms, and ``spot``: the same with the last RTT in place of the mean;
    ``error2``: the squared standard error of the mean, in ms^2; ``n``: the independent samples behind that;
    ``samples``: all answers since it was last new; ``up``: nothing speaks against it at the moment."""

    @property
    def id(self) -> PathId: ...
    @property
    def cost(self) -> float: ...
    @property
    def spot(self) -> float: ...
    @property
    def error2(self) -> float: ...
    @property
    def n(self) -> float: ...
    @property
    def samples(self) -> int: ...
    @property
    def up(self) -> bool: ...


class Standing:
    """A path as one policy's rule sees it: the belief, and what the rule itself remembers. ``open``: the policy
    may move there while it is up. ``regret``: None for a path that is new to the rule, or back."""

    __slots__ = ("belief", "better_since", "excess", "open", "path", "regret")

    def __init__(self, belief: Belief) -> None:
        self.path = belief.id
        self.belief = belief
        self.open = True
        self.forget()

    def forget(self) -> None:
        self.regret: float | None = None
        self.excess = 0.0
        self.better_since: float | None = None


class Verdict(NamedTuple):
    to: PathId
    rule: str
    margin: Terms


class Rule(Protocol):
    """What decides when nothing forces a choice. Shown are only paths whose cost is known."""

    def observe(self, field: Sequence[Standing], current: Standing, dt: float, now: float) -> Verdict | None:
        """The round that ended covered ``dt`` seconds. Where to move, or None."""
        ...

    def moved(self, field: Sequence[Standing]) -> None:
        """The choice changed, for whatever reason."""
        ...

    def outlook(self, field: Sequence[Standing], current: Standing) -> str:
        """What would have to change for the choice to change."""
        ...


def make(settings: Settings) -> Rule:
    """The rule that the settings ask for."""
    if isinstance(settings.rule, RegretSettings):
        return Regret(settings.rule, settings.ignore_below)
    return Threshold(settings.rule, settings.ignore_below)


class Regret:
    """Regret and confidence against one price.

    *Regret* is the capped work function of metrical task systems on a uniform space (Borodin, Linial, Saks,
    "An optimal on-line algorithm for metrical task system", J. ACM 39(4), 1992): each path keeps what
    having been on it would have cost beyond the best, capped; the current path is left when it sits at the
    cap. What was paid is counted sample by sample; that there is something to gain is asked of the means.
    *Confidence* leaves earlier, when the means differ beyond their error by enough to pay the price within
    the horizon, and part of the price was already paid.
    """

    __slots__ = ("_cap", "_horizon", "_ignore", "_price")

    def __init__(self, settings: RegretSettings, ignore_below: float) -> None:
        self._price = settings.price
        self._horizon = settings.horizon
        self._ignore = ignore_below
        self._cap = CAP * settings.price

    def observe(self, field: Sequence[Standing], current: Standing, dt: float, now: float) -> Verdict | None:  # noqa: ARG002
        if len(field) == 1:  # nobody to compare with
            current.regret = current.excess = 0.0
            return None
        if not self._account(field, current, dt):
            return None
        best: Verdict | None = None
        here = current.belief.cost
        lowest = here - self._ignore
        for rival in field:
            belief = rival.belief
            cost = belief.cost
            if cost >= lowest or not (rival.open and belief.up) or belief.samples < SAMPLES_MIN:
                continue
            rule = self._test(current, rival)
            if rule is not None:
                best, lowest = Verdict(rival.path, rule, self._margin(current, rival)), cost
        return best

    def moved(self, field: Sequence[Standing]) -> None:
        for one in field:
            one.excess = 0.0

    def outlook(self, field: Sequence[Standing], current: Standing) -> str:
        rivals = [one for one in field if one is not current and one.open]
        if not rivals:
            return "no rival may be used now"
        rival = min(rivals, key=lambda one: one.belief.cost)
        gain = current.belief.cost - rival.belief.cost
        if gain <= self._ignore:
            return f"{rival.path}, the cheapest rival, would have to become {self._ignore - gain:.1f} ms cheaper"
        regret = current.regret or 0.0
        return (
            f"{rival.path} is {gain:.1f} ms cheaper: at this difference {current.path} is left within "
            f"{(self._cap - regret) / gain:.0f} s (regret {regret:.0f} of {self._cap:.0f} ms*s)"
        )

    def _account(self, field: Sequence[Standing], current: Standing, dt: float) -> bool:
        """Add this round to every path's regret, and to what staying has cost against each rival. True if some
        rival is cheaper by enough to matter."""
        here = current.belief
        paid = here.spot - self._ignore  # what was really paid: means only learn of it later
        low = cheapest = inf
        for one in field:
            belief = one.belief
            if belief.cost < cheapest:
                cheapest = belief.cost
            spot = belief.spot
            if one.regret is not None:
                one.regret = regret = one.regret + spot * dt
                if regret < low:
                    low = regret
            more = paid - spot
            if more > 0.0 or one.excess > 0.0:
                excess = one.excess + more * dt
                one.excess = excess if excess > 0.0 else 0.0
        cap = self._cap
        for one in field:
            if one.regret is not None:
                regret = one.regret - low
                one.regret = regret if regret < cap else cap
            else:
                # A path that is new or back does not win by being new, unless all are: then they start level.
                one.regret = cap if low < inf else 0.0
        return cheapest < here.cost - self._ignore

    def _test(self, current: Standing, rival: Standing) -> str | None:
        """Which of the two tests says to move from ``current`` to ``rival``."""
        if current.regret is None or rival.regret is None:
            return None
        if current.regret >= self._cap and rival.regret <= self._cap - self._price:
            return "regret"
        here, there = current.belief, rival.belief
        gain = here.cost - there.cost
        if gain * self._horizon <= self._price or rival.excess < CORROBORATION * self._price:
            return None
        if here.n < CONFIDENT_MIN or there.n < CONFIDENT_MIN:
            return None
        if (gain - Z * sqrt(here.error2 + there.error2)) * self._horizon > self._price:
            return "confident"
        return None

    def _margin(self, current: Standing, rival: Standing) -> Terms:
        here, there = current.belief, rival.belief
        return {
            "gain": here.cost - there.cost,
            "stderr": sqrt(here.error2 + there.error2),
            "regret": current.regret or 0.0,
            "excess": rival.excess,
            "price": self._price,
            "cap": self._cap,
            "horizon": self._horizon,
        }


class Threshold:
    """Better by a margin, for a time: what most peers do."""

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
            if belief.cost >= limit or not (rival.open and belief.up) or belief.samples < SAMPLES_MIN:
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
