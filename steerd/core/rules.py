"""Costs over time to the path to use: the switch rules.

A rule is shown, at the end of each round, what every path of a policy costs, and says whether to move.
It is asked only while the current path is usable: leaving a dead, drained or forbidden path is no matter
of price. Costs in ms, time in seconds, prices and regrets in ms*s.
"""

from collections.abc import Sequence
from math import exp2, inf, sqrt
from typing import Final, Protocol

from steerd.core.estimate import HELD
from steerd.core.excursions import SHORT, Excursions
from steerd.core.model import Terms
from steerd.core.settings import RegretSettings, Settings
from steerd.core.standing import SAMPLES_MIN, Belief, Standing, Verdict
from steerd.core.threshold import Threshold

__all__ = ["Belief", "Regret", "Rule", "Standing", "Threshold", "Verdict", "make"]

CAP: Final = 1.0
"""Regrets are capped at so many prices above the least one."""

ONE_ALONE: Final = 0.99
"""An excursion that is not expected to last counts for less than this share of a price in its first `SHORT`
seconds: no single sample moves anything."""

HIGH: Final = 0.5
"""An excursion stands as long as it costs more than this share of a price in `SHORT` seconds."""

THERE_AND_BACK: Final = 2.0
"""An excursion counts in full at once if it is expected to cost so many prices: one to leave, and half the time
another to come back."""

CORROBORATION: Final = 0.25
"""The confident test wants this share of a price to have been paid beyond what would pay it within the horizon."""

CORROBORATING: Final = 3
"""In at least so many samples."""

LITTLE_FOR: Final = 400.0
"""Seconds: what is better by no more than `ignore_below` is left alone until it has cost what that much would in this
time."""

OWED: Final = 5.0
"""No path owes more than so many prices for excursions."""

NOT_BY_CHANCE: Final = 3.0
BY_FAR_NOT: Final = 4.0
CONFIDENT: Final = 3.4
"""Standard errors. Regret must be this far from chance against the rival's level, or so far against what the rival
cost meanwhile; the confident test, which sees less, asks for more."""

RECURRENCE: Final = 60.0
"""Seconds: the half-life with which the rest of an excursion is counted. One alone is made up for meanwhile by what the
path is better otherwise; those that come again and again add up, as random loss does."""

COMMON: Final = 2.0
"""Standard deviations of single samples: a rival whose last probe was so far above is on the rise itself."""

OUTLIER: Final = 3.5
"""Standard deviations of single samples: in the confident test what is beyond them counts no more."""


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
    cap, and noise alone would not have brought it there. An excursion counts in full only if such excursions last
    (`steerd.core.excursions`). *Confidence* leaves earlier: a path that for some samples costs more than a rival is
    used to, by so much that staying for the horizon would cost a price, and surely so.
    """

    __slots__ = (
        "_began",
        "_cap",
        "_drift",
        "_excursions",
        "_field",
        "_for",
        "_horizon",
        "_ignore",
        "_plain",
        "_price",
        "_seen",
        "_waited",
    )

    def __init__(self, settings: RegretSettings, ignore_below: float) -> None:
        self._price = settings.price
        self._horizon = settings.horizon
        self._ignore = ignore_below
        self._plain = settings.plain
        self._cap = CAP * settings.price
        self._drift = settings.price / settings.horizon
        self._field: Sequence[Standing] = ()
        self._seen = 0  # the answers of all in it that were counted last
        self._waited = 0.0  # for how many seconds there was nothing new to count
        self._excursions = Excursions()
        self._began: int | None = None  # samples that the current path had when it ceased to be the best
        self._for = 0.0  # for how many seconds it has not been

    def observe(self, field: Sequence[Standing], current: Standing, dt: float, now: float) -> Verdict | None:  # noqa: ARG002
        if len(field) == 1:  # nobody to compare with
            current.regret = 0.0
            return None
        if dt <= 0.0:
            return None
        if dt < HELD and not self._plain and not (dt := self._since_news(field, dt)):
            return None
        paid = self._account(field, current, dt)
        if not current.regret:
            if self._began is not None:
                self._end_window(field)
            if self._plain:
                return None
        else:
            self._watch(field, current, paid, dt)
            if current.regret >= self._cap:
                verdict = self._regret(field, current)
                if verdict is not None:
                    return verdict
        return None if self._plain else self._confident(field, current)

    def moved(self, field: Sequence[Standing]) -> None:
        self._end_window(field)
        for one in field:
            one.begin()

    def outlook(self, field: Sequence[Standing], current: Standing) -> str:
        rivals = [one for one in field if one is not current and one.open]
        if not rivals:
            return "no rival may be used now"
        rival = min(rivals, key=lambda one: one.belief.cost)
        gain = current.belief.cost - rival.belief.cost
        if gain <= 0.0:
            return f"{rival.path}, the cheapest rival, would have to become {self._ignore - gain:.1f} ms cheaper"
        regret = current.regret or 0.0
        left = self._cap - regret + (rival.regret or 0.0)
        if gain <= self._ignore:
            left = max(left, LITTLE_FOR * self._ignore - rival.beyond)
        return (
            f"{rival.path} is {gain:.1f} ms cheaper: at this difference {current.path} is left within "
            f"{left / gain:.0f} s (regret {regret:.0f} of {self._cap:.0f} ms*s)"
        )

    def _since_news(self, field: Sequence[Standing], dt: float) -> float:
        """For how many seconds the last probes stand; 0: they were counted already, and are merely held. What is
        missing stands for its own time alone: it is no measurement."""
        if field is not self._field:
            self._field, self._seen, self._waited = field, -1, 0.0
        seen = 0
        missing = False
        for one in field:
            belief = one.belief
            seen += belief.samples
            if belief.missing:
                missing = True
        if missing:
            self._waited = 0.0
        elif seen == self._seen:
            self._waited += dt
            return 0.0
        self._seen = seen
        waited, self._waited = self._waited, 0.0
        return dt + waited

    def _account(self, field: Sequence[Standing], current: Standing, dt: float) -> float:
        """Add this round to every path's regret, and to what the current path costs beyond each rival's level.
        Returns what the current path counts for, in ms."""
        here = current.belief.spot
        cheapest = here
        for one in field:
            spot = one.belief.spot
            if spot < cheapest:
                cheapest = spot
        ceiling = inf if self._plain else cheapest + ONE_ALONE * self._price / (dt if dt > SHORT else SHORT)
        paid = here
        low = inf
        beyond = here - self._drift
        for one in field:
            belief = one.belief
            spot = belief.spot
            if spot > ceiling or one.out or one.kind is not None:
                spot = self._counted(one, spot, cheapest, dt)
            if one.owed > 0.0:
                spot += self._settle(one, dt)
            if one.regret is not None:
                one.regret = regret = one.regret + spot * dt
                if regret < low:
                    low = regret
            if one is current:
                paid = spot
            elif one.excess > 0.0 or beyond > belief.level:
                self._exceed(one, current, beyond - _used_to(belief), dt)
        cap = self._cap
        for one in field:
            if one.regret is not None:
                regret = one.regret - low
                one.regret = regret if regret < cap else cap
            else:
                # A path that is new or back does not win by being new, unless all are: then they start level.
                one.regret = cap if low < inf else 0.0
        return paid

    def _counted(self, one: Standing, spot: float, cheapest: float, dt: float) -> float:
        """What counts of a path that is on an excursion, or just was."""
        span = dt if dt > SHORT else SHORT
        costs = (spot - cheapest) * span
        high = costs > HIGH * self._price
        if one.kind is not None:
            one.age += dt
            if one.age >= span * (1.0 - 1e-9):
                self._excursions.saw(one.kind, lasted=high)
                one.kind = None
        elif costs >= self._price and not one.out:
            one.kind, one.age = int(one.belief.missing), 0.0
        first, one.out = not one.out, high
        if costs < self._price:
            return spot
        missing = one.belief.missing
        # That one probe is missing is for health to judge, however slowly it is probed.
        if not (missing and first) and costs * self._excursions.ahead(int(missing)) >= THERE_AND_BACK * self._price:
            return spot
        counted = cheapest + ONE_ALONE * self._price / span
        one.owed = min(one.owed + (spot - counted) * dt, OWED * self._price)
        return counted

    def _settle(self, one: Standing, dt: float) -> float:
        """What counts now of excursions that did not count in full, in ms."""
        paid = one.owed * (1.0 - exp2(-dt / RECURRENCE))
        one.owed = one.owed - paid if one.owed > paid + 1e-3 else 0.0
        return paid / dt

    def _exceed(self, rival: Standing, current: Standing, more: float, dt: float) -> None:
        """The current path cost ``more`` ms beyond the rival's level than what would not pay the price in time."""
        most = CORROBORATION * self._price / (dt if dt > SHORT else SHORT)
        if more + self._drift > most:
            most = max(most, OUTLIER * current.belief.scatter)
            more = min(more, most - self._drift)
        if rival.excess <= 0.0:
            rival.excess_for, rival.excess_from = 0.0, current.belief.samples - 1
        rival.excess_for += dt
        rival.excess = max(0.0, rival.excess + more * dt)

    def _watch(self, field: Sequence[Standing], current: Standing, paid: float, dt: float) -> None:
        """Since the current path was last the best: what it cost beyond the others."""
        here = current.belief
        if self._began is None:
            self._began = here.samples - 1
        self._for += dt
        for one in field:
            one.above += (paid - one.belief.level) * dt
            one.beyond += (here.spot - one.belief.spot) * dt

    def _end_window(self, field: Sequence[Standing]) -> None:
        self._began, self._for = None, 0.0
        for one in field:
            one.above = one.beyond = 0.0

    def _regret(self, field: Sequence[Standing], current: Standing) -> Verdict | None:
        """The current path sits at the cap: the move to the path that is least to be regretted."""
        best: Standing | None = None
        least = inf
        for one in field:
            if not self._eligible(one, current) or one.regret is None or one.regret > self._cap / 2.0:
                continue
            # A hold-down ranks, it does not forbid: what is worth so many prices more is worth the doubt.
            if one.beyond < one.doubt * self._price:
                continue
            # What it costs now tells, too, of the time ahead; but the proof is of regret alone.
            promise = one.regret + (0.0 if self._plain else self._horizon * _present(one.belief))
            if best is None or (promise, one.belief.spot) < (least, best.belief.spot):
                best, least = one, promise
        if best is None:
            return None
        gain = best.beyond / self._for
        here, there = current.belief, best.belief
        n = max(1, here.samples - (self._began or 0))
        single2 = here.scatter**2 / n
        error = sqrt(single2 + there.level_error2)
        if self._plain:
            return Verdict(best.path, "regret", self._margin(current, best, gain, error))
        if gain <= self._ignore and best.beyond < LITTLE_FOR * self._ignore:
            return None
        if best.above / self._for < NOT_BY_CHANCE * error:
            error = sqrt(single2 + there.scatter**2 / n)
            if gain < BY_FAR_NOT * error:
                return None
        return Verdict(best.path, "regret", self._margin(current, best, gain, error))

    def _confident(self, field: Sequence[Standing], current: Standing) -> Verdict | None:
        """The move to the path of the lowest level of those that the current one surely costs more than."""
        best: Verdict | None = None
        here = current.belief
        lowest = here.spot - self._ignore
        for one in field:
            if one.excess < CORROBORATION * self._price:
                continue
            there = one.belief
            level = _used_to(there)
            if level >= lowest or there.missing or one.doubt or not self._eligible(one, current):
                continue
            n = here.samples - one.excess_from
            if n < CORROBORATING:
                continue
            gain = one.excess / one.excess_for + self._drift
            error = sqrt(here.scatter**2 / n + there.level_error2)
            if gain >= CONFIDENT * error:
                lowest = level
                best = Verdict(one.path, "confident", self._margin(current, one, gain, error))
        return best

    def _eligible(self, one: Standing, current: Standing) -> bool:
        belief = one.belief
        return one is not current and one.open and belief.up and belief.samples >= SAMPLES_MIN

    def _margin(self, current: Standing, rival: Standing, gain: float, error: float) -> Terms:
        return {
            "gain": gain,
            "stderr": error,
            "regret": current.regret or 0.0,
            "excess": rival.excess,
            "price": self._price,
            "cap": self._cap,
            "horizon": self._horizon,
        }


def _used_to(rival: Belief) -> float:
    """What a rival may be expected to cost, in ms. Its level, but that is slow to rise: so not less than its present
    mean, nor than its last probe if that is far above both, as when all paths of an uplink become slow at once."""
    expected = rival.level
    cost = rival.cost
    if cost > expected:
        expected = cost
    spot = rival.spot
    return spot if spot > expected + COMMON * rival.scatter else expected


def _present(rival: Belief) -> float:
    """What a rival costs now, in ms: its mean, or its last probe if that is far from it, as after a step."""
    cost, spot = rival.cost, rival.spot
    return spot if abs(spot - cost) > COMMON * rival.scatter else cost
