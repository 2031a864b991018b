"""A panel of textbook rules: each runs on paper, on the same evidence; the policy follows the one that cost least.

Every path of a policy is measured, so what a rule *would have cost* here is known exactly, switches included. Which one
is right differs from network to network, and is found out where it is used: nothing is tuned. Following the cheapest
expert: N. Cesa-Bianchi and G. Lugosi, *Prediction, Learning, and Games*, 2006; for rules that pay for switching:
A. Blum and C. Burch, "On-line learning and the metrical task system problem", Machine Learning 39, 2000.

The leader's rule is asked from where the policy is, not from where that member is on paper: that another leads is no
reason to move, only its own test is.
"""

from collections.abc import Sequence
from math import exp2, inf
from operator import add
from typing import Any, Final, Protocol

from steerd.core.effects import Terms
from steerd.core.rules.confidence import Confidence
from steerd.core.rules.rule import Belief, Candidate, Evidence, Standing, Verdict
from steerd.core.rules.work_function import WorkFunction

LEAD: Final = 2.0
"""Another member leads once it has cost so many prices less: one switch there, one back. 1 and 4 are no better (mean of
five sets .185 and .186, 2: .184)."""

MEMORY: Final = 3600.0
"""Seconds: the half-life of what members have cost."""

QUICK, PATIENT = (2.0, 2.0, 33.0), (6.6, 3.0, 100.0)
"""Half-life in seconds, standard errors, and over how many seconds a gain must pay for a switch: the margin is the price
over that. They are two points of one textbook test; the panel finds out which is right, so that neither
needs to be exact: all six at half and twice their value, one by one, leave the mean gap of five sets within .01."""

LAST_SAMPLE: Final = (0.0, 0.0, 20.0)
"""The same, of the last sample alone."""

HOLD: Final = 33.0
"""A path that was down lately costs a price over so many seconds more, for each relapse, fading to nothing until its
hold-down ends: as much as the quick member wants to see anyway."""


class Member(Protocol):
    """A rule on paper. It keeps what it learned of the candidates, and no place: `choose` says where to be from any."""

    @property
    def name(self) -> str: ...

    def take(
        self, places: Sequence[int | None], costs: Sequence[float], shifts: Sequence[float]
    ) -> None: ...
    def observe(self, costs: Sequence[float], low: float, fresh: Sequence[tuple[int, float]], dt: float) -> None: ...
    def choose(self, here: int, candidates: Sequence[Candidate]) -> int: ...
    def margin(self, here: int, there: int) -> Terms: ...
    def outlook(self, here: int, there: int) -> str: ...


def members(price: float, ignore_below: float) -> list[Member]:
    """The panel's, for a switch that costs ``price`` ms*s; the one that leads first at its head. None moves for
    ``ignore_below`` ms or less."""

    def sure(name: str, half_life: float, errors: float, pays_within: float) -> Confidence:
        return Confidence(name, half_life=half_life, errors=errors, margin=max(ignore_below, price / pays_within))

    return [
        sure("quick", *QUICK),
        WorkFunction(price),
        sure("last-sample", *LAST_SAMPLE),
        sure("patient", *PATIENT),
    ]


class Panel:
    """``price`` of a switch in ms*s. For ``ignore_below`` ms or less nothing moves: by so much the last samples must
    differ too when a member's test says that it should (as babeld asks of a route's raw and smoothed metric)."""

    __slots__ = (
        "_at",
        "_beliefs",
        "_candidates",
        "_costs",
        "_doubts",
        "_evidence",
        "_fade",
        "_fade_dt",
        "_fixed",
        "_ignore",
        "_leader",
        "_leads_since",
        "_members",
        "_news",
        "_price",
    )

    def __init__(self, members: Sequence[Member], price: float, ignore_below: float) -> None:
        self._members = members
        self._price = price
        self._ignore = ignore_below
        self._costs = [0.0] * len(members)
        self._leader = 0
        self._leads_since: float | None = None
        self._candidates: Sequence[Candidate] = ()
        self._beliefs: Sequence[Belief] = ()
        self._evidence: Sequence[Evidence] = ()
        self._at: list[Any] = [None] * len(members)
        self._news: list[int] = []
        self._doubts: list[float] = []
        self._fixed: list[float] = []
        self._fade_dt, self._fade = 0.0, 1.0

    def observe(self, candidates: Sequence[Candidate], here: int, dt: float, now: float) -> Verdict | None:
        if self._leads_since is None:
            self._leads_since = now
        if candidates is not self._candidates:
            self._take(candidates, here)
        if dt <= 0.0 or len(candidates) == 1:
            return None
        costs = [belief.last_cost for belief in self._beliefs]
        if self._doubts:
            costs = list(map(add, costs, self._doubts))
        low = min(costs)
        fresh = self._fresh(dt)
        for member in self._members:
            member.observe(costs, low, fresh, dt)
        self._account(costs, low, dt, now)
        if costs[here] - low <= self._ignore:
            return None
        leader = self._members[self._leader]
        to = leader.choose(here, candidates)
        if to == here or costs[here] - costs[to] <= self._ignore:
            return None
        margin = {
            "gain": candidates[here].belief.cost - candidates[to].belief.cost,
            "price": self._price,
            **leader.margin(here, to),
        }
        return Verdict(candidates[to].path, leader.name, margin)

    def moved(self) -> None:
        """Members keep their places: on paper nobody moved."""

    def outlook(self, candidates: Sequence[Candidate], here: int) -> str:
        rivals = [place for place, one in enumerate(candidates) if place != here and one.open and one.belief.path.up]
        if not rivals or candidates is not self._candidates:
            return "no rival may be used now"
        place = min(rivals, key=lambda one: candidates[one].belief.cost)
        leader = self._members[self._leader]
        return f"{candidates[place].path} is the cheapest rival; {leader.outlook(here, place)}"

    def standing(self, now: float) -> Standing:
        least = min(self._costs)
        costs = {one.name: cost - least for one, cost in zip(self._members, self._costs, strict=True)}
        since = now if self._leads_since is None else self._leads_since
        return Standing(self._members[self._leader].name, now - since, costs)

    def restore(self, standing: Standing, now: float) -> None:
        names = [one.name for one in self._members]
        if set(standing.costs) == set(names) and standing.leader in names:
            self._costs = [standing.costs[name] for name in names]
            self._leader = names.index(standing.leader)
            self._leads_since = now - standing.leads_for

    def _take(self, candidates: Sequence[Candidate], here: int) -> None:
        """Other candidates than before, or other things to know of them."""
        before = {one.path: place for place, one in enumerate(self._candidates)}
        places = [before.get(one.path) for one in candidates]
        self._at = [self._still(at, candidates, here) for at in self._at]
        self._candidates = candidates
        self._beliefs = [one.belief for one in candidates]
        self._evidence = [belief.path for belief in self._beliefs]
        self._news = [-1 if at is None else self._news[at] for at in places]
        doubted = any(one.relapses for one in candidates)
        self._doubts = [self._price / HOLD * one.relapses for one in candidates] if doubted else []
        costs = [belief.last_cost for belief in self._beliefs]
        fixed = [belief.fixed for belief in self._beliefs]
        if doubted:
            costs, fixed = list(map(add, costs, self._doubts)), list(map(add, fixed, self._doubts))
        # What does not depend on samples is no evidence: what was learned moves with it.
        shifts = [0.0 if at is None else new - self._fixed[at] for at, new in zip(places, fixed, strict=True)]
        self._fixed = fixed
        for member in self._members:
            member.take(places, costs, shifts)

    def _still(self, at: int | None, candidates: Sequence[Candidate], here: int) -> int:
        """Where a member is now. Off a path that may not be used any more it is moved like the policy, at no price."""
        if at is None:
            return here
        path = self._candidates[at].path
        return next((place for place, one in enumerate(candidates) if one.path == path and one.open), here)

    def _fresh(self, dt: float) -> list[tuple[int, float]]:
        """Of each candidate of which something was learned in this round: its place, and how many seconds that is after
        what was learned before, one round at least."""
        fresh = []
        seen = self._news
        for place, path in enumerate(self._evidence):
            news = path.news
            if news != seen[place]:
                seen[place] = news
                since = path.news_after
                fresh.append((place, since if dt < since < inf else dt))
        return fresh

    def _account(self, costs: Sequence[float], low: float, dt: float, now: float) -> None:
        """What each member paid on paper in this round, and who leads."""
        if dt != self._fade_dt:
            self._fade_dt, self._fade = dt, exp2(-dt / MEMORY)
        places, total, fade, candidates = self._at, self._costs, self._fade, self._candidates
        ignore = self._ignore
        for number, member in enumerate(self._members):
            at = places[number]
            more = costs[at] - low
            total[number] = total[number] * fade + more * dt
            if more > ignore:
                to = member.choose(at, candidates)
                if to != at and costs[at] - costs[to] > ignore:
                    places[number] = to
                    total[number] += self._price
        best = min(total)
        if total[self._leader] - best > LEAD * self._price:
            self._leader, self._leads_since = total.index(best), now
