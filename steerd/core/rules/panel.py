"""A panel of textbook rules: each runs on paper, on the same evidence; the policy follows the one that cost least.

Every path of a policy is measured, so what a rule *would have cost* here is known exactly, switches included. Which one
is right differs from network to network, and is found out where it is used: nothing is tuned. Following the cheapest
expert: N. Cesa-Bianchi and G. Lugosi, *Prediction, Learning, and Games*, 2006; for rules that pay for switching:
A. Blum and C. Burch, "On-line learning and the metrical task system problem", Machine Learning 39, 2000.
"""

from collections.abc import Sequence
from math import exp2, inf
from operator import add, sub
from typing import Any, Final

from steerd.core.belief.path import Path
from steerd.core.cost.price import Price, last_costs
from steerd.core.memory import Standing
from steerd.core.rules.confidence import Confidence
from steerd.core.rules.rule import Candidate, Round, Sample, Verdict, kept
from steerd.core.rules.work_function import WorkFunction

LEAD: Final = 2.0
"""Another member leads once it has cost so many prices less: one switch there, one back. Mean gap left of five sets at
1, 2 and 4: .168, .166, .169 (docs/development/decisions/core-rule.md has the experiments)."""

MEMORY: Final = 3600.0
"""Seconds: half-life of what members have cost. At half of it noise of 10 ms makes 3.5 switches an hour, else 2.5."""

TESTS: Final = {"quick": (2.0, 2.0, 33.0), "last-sample": (0.0, 0.0, 20.0), "patient": (6.6, 3.0, 100.0)}
"""Half-life in seconds, standard errors, and over how many seconds a gain must pay for a switch: the margin. At half
and at twice the mean gap is .164 to .177, but .19 with quick's first two at half; with patient's errors at half noise
of 10 ms makes 21 switches an hour."""

ROUNDS_MAX: Final = 64
"""So many rounds are learned from whether anybody asks or not."""

HOLD: Final = 33.0
"""A path that was down lately costs a price over so many seconds more, for each relapse, fading to nothing until its
hold-down ends: as much as quick asks for anyway. On traces half and twice are the same; it keeps from flapping."""

Member = Confidence | WorkFunction
"""A rule on paper. It keeps what it learned of the candidates, and no place: `choose` says where to be from any."""


def members(price: float, ignore_below: float) -> list[Member]:
    """The panel's, for a switch that costs ``price`` ms*s; the one that leads first at its head. None moves for
    ``ignore_below`` ms or less."""
    quick, *others = [
        Confidence(name, half_life=half_life, errors=errors, margin=max(ignore_below, price / pays_within))
        for name, (half_life, errors, pays_within) in TESTS.items()
    ]
    return [quick, WorkFunction(price), *others]


class Panel:
    """``price`` of a switch in ms*s. For ``ignore_below`` ms or less nothing moves: by so much the last samples must
    differ too when a member's test says that it should (as babeld asks of a route's raw and smoothed metric)."""

    def __init__(self, members: Sequence[Member], price: float, ignore_below: float) -> None:
        self._members = members
        self._price = price
        self._ignore = ignore_below
        self._costs = [0.0] * len(members)
        self._leader = 0
        self._leads_since = inf
        self._candidates: Sequence[Candidate] = ()
        self._prices: Sequence[Price] = ()
        self._paths: Sequence[Path] = ()
        self._at: list[Any] = [None] * len(members)
        self._together = True
        self._news: list[float] = []
        self._rounds: list[Round] = []  # that members have still to learn from
        self._samples: list[list[Sample]] = []
        self._doubts: list[float] = []
        self._fixed: list[float] = []
        self._fade_dt, self._fade, self._faded = 0.0, 1.0, 1.0

    def observe(self, candidates: Sequence[Candidate], here: int, dt: float, now: float) -> Verdict | None:
        """A round of ``dt`` seconds ended; the policy is on ``candidates[here]``. Where to move, or None."""
        self._leads_since = min(self._leads_since, now)
        if candidates is not self._candidates:
            self._take(candidates, here)
        if dt <= 0.0 or len(candidates) == 1:
            return None
        costs = last_costs(self._prices)
        if self._doubts:
            costs = list(map(add, costs, self._doubts))
        low = min(costs)
        self._rounds.append((costs, low, dt))
        seen, samples = self._news, self._samples
        for place, path in enumerate(self._paths):
            news = path.news
            if news != seen[place]:
                seen[place], since = news, path.news_after
                samples[place].append((costs[place], since if dt < since < inf else dt))
        if len(self._rounds) >= ROUNDS_MAX:
            self._learn()
        self._account(costs, low, dt, now)
        if costs[here] - low <= self._ignore:
            return None
        leader = self._members[self._leader]
        self._learn()
        to = leader.choose(here, candidates)  # from where the policy is: that it leads is no reason to move
        if to == here or costs[here] - costs[to] <= self._ignore:
            return None
        gain = candidates[here].belief.cost - candidates[to].belief.cost
        margin = {"gain": gain, "price": self._price, **leader.margin(here, to)}
        return Verdict(candidates[to].path, leader.name, margin)

    def moved(self, path: Path, by: float, lasted: float) -> None:
        """The path has cost ``by`` ms more than its samples said, and is to be charged for ``lasted`` seconds of it."""
        self._learn()
        costs = last_costs(self._prices)
        shifts = [by * (one is path) for one in self._paths]
        for member in self._members:
            member.take(range(len(costs)), costs, shifts)
        if max(shifts, default=0.0) > 0.0:
            self._rounds.append((costs, min(costs), lasted))

    def outlook(self, candidates: Sequence[Candidate], here: int) -> str:
        """What would have to change for the choice to change."""
        rivals = [place for place, one in enumerate(candidates) if place != here and one.open and one.belief.path.up]
        if not rivals or candidates is not self._candidates:
            return "no rival may be used now"
        self._learn()
        place = min(rivals, key=lambda one: candidates[one].belief.cost)
        return f"{candidates[place].path} is the cheapest rival; {self._members[self._leader].outlook(here, place)}"

    def standing(self, now: float) -> Standing:
        """For views, and for a restart."""
        least = min(self._costs)
        costs = {one.name: (self._costs[place] - least) * self._faded for place, one in enumerate(self._members)}
        return Standing(self._members[self._leader].name, max(0.0, now - self._leads_since), costs)

    def restore(self, standing: Standing, now: float) -> None:
        """Take up what an earlier run made of it."""
        names = [one.name for one in self._members]
        if {*standing.costs, standing.leader} == set(names):
            self._costs = [standing.costs[name] for name in names]
            self._leader, self._leads_since = names.index(standing.leader), now - standing.leads_for

    def _take(self, candidates: Sequence[Candidate], here: int) -> None:
        """Other candidates than before, or other things to know of them."""
        self._learn()
        before = {one.path: place for place, one in enumerate(self._candidates)}
        places = [before.get(one.path) for one in candidates]
        # Off a path that may not be used any more a member is moved like the policy, at no price.
        still = {one.path: place for place, one in enumerate(candidates) if one.open}
        self._at = [here if at is None else still.get(self._candidates[at].path, here) for at in self._at]
        self._together = len(set(self._at)) == 1
        self._candidates = candidates
        self._prices = [one.belief for one in candidates]
        self._paths = [price.path for price in self._prices]
        self._samples = [[] for _ in candidates]
        self._news = kept(places, self._news, [-1] * len(places))
        doubts = [self._price / HOLD * one.relapses for one in candidates]
        self._doubts = doubts if any(doubts) else []
        costs = list(map(add, last_costs(self._prices), doubts))
        fixed = list(map(add, [price.fixed for price in self._prices], doubts))
        # What does not depend on samples is no evidence: what was learned moves with it.
        shifts = list(map(sub, fixed, kept(places, self._fixed, fixed)))
        self._fixed = fixed
        for member in self._members:
            member.take(places, costs, shifts)

    def _learn(self) -> None:
        """From all rounds at once, when a member is asked: that is much less work than from each by itself."""
        if self._rounds:
            for member in self._members:
                member.learn(self._rounds, self._samples)
            self._rounds.clear()
            for samples in self._samples:
                samples.clear()

    def _account(self, costs: Sequence[float], low: float, dt: float, now: float) -> None:
        """What each member paid on paper in this round, and who leads."""
        if dt != self._fade_dt:
            self._fade_dt, self._fade = dt, exp2(-dt / MEMORY)
        places, ignore, total = self._at, self._ignore, self._costs
        if self._together and costs[places[0]] - low <= ignore:
            self._faded *= self._fade  # all pay the same, and nobody moves: only time goes by
            return
        fade, self._faded = self._fade * self._faded, 1.0
        for number, member in enumerate(self._members):
            at = places[number]
            more = costs[at] - low
            total[number] = total[number] * fade + more * dt
            if more > ignore:
                self._learn()
                to = member.choose(at, self._candidates)
                if to != at and costs[at] - costs[to] > ignore:
                    places[number] = to
                    total[number] += self._price
                    self._together = len(set(places)) == 1
        best = min(total)
        if total[self._leader] - best > LEAD * self._price:
            self._leader, self._leads_since = total.index(best), now
