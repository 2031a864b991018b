"""What a switch rule is shown, written by hand. Not tests: theirs."""

from dataclasses import dataclass, field
from math import inf

from steerd.core.belief.estimate import Estimate
from steerd.core.rules.rule import Candidate


class Told(Estimate):
    """A leg whose loss is as it is written."""

    loss = 0.0


LONG_KNOWN = 100
"""So many news a path has from the start, unless said otherwise."""


@dataclass
class Evidence:
    news: int = LONG_KNOWN
    news_after: float = 1.0
    up: bool = True


@dataclass
class Belief:
    """A path that is believed to cost ``cost``; its last probe alone paid ``last``, None: the same."""

    cost: float
    last: float | None = None
    fixed: float = 0.0
    path: Evidence = field(default_factory=Evidence)
    leg: None = None  # so that `last_cost` is asked

    @property
    def last_cost(self):
        return self.cost if self.last is None else self.last


class World:
    """A rule, the candidates it is shown, and a policy that follows it. A candidate's path is named by one letter."""

    def __init__(self, rule, here="a", **costs):
        self.rule = rule
        self.here = here
        self.now = 0.0
        self.heard_at = {}
        self.known = {name: {"path": name, "belief": Belief(cost)} for name, cost in costs.items()}
        self.show()

    def show(self, **changed):
        """Show the candidates anew, with what has changed of them: ``b={"open": False}``."""
        for name, fields in changed.items():
            self.known[name].update(fields)
        self.shown = tuple(Candidate(**one) for one in self.known.values())

    def add(self, name, cost, **fields):
        belief = Belief(cost)
        self.known[name] = {"path": name, "belief": belief, "since": belief.path.news, **fields}
        self.show()

    def remove(self, name):
        del self.known[name]
        self.show()

    def belief(self, name):
        return self.known[name]["belief"]

    def place(self, name):
        return list(self.known).index(name)

    def hear(self, **costs):
        """A probe of each of these paths was answered now, and paid so much."""
        for name, cost in costs.items():
            belief = self.belief(name)
            belief.cost = belief.last = cost
            belief.path.news += 1
            belief.path.news_after = self.now - self.heard_at.get(name, -inf)
            self.heard_at[name] = self.now

    def look(self, dt=1.0, **costs):
        """A round in which these paths were heard. Where to move, or None; the policy does not."""
        self.now += dt
        self.hear(**costs)
        return self.rule.observe(self.shown, self.place(self.here), dt, self.now)

    def rounds(self, count, dt=1.0, *, follow=False, **costs):
        """So many rounds of the same, all heard in each, or as ``costs`` say. The round, from 1 on, and verdict of each
        move."""
        moves = []
        for number in range(1, count + 1):
            heard = costs or {name: self.belief(name).last_cost for name in self.known}
            verdict = self.look(dt, **heard)
            if verdict is not None:
                moves.append((number, verdict))
                if not follow:
                    return moves
                self.here = verdict.to
        return moves

    def costs(self):
        return dict(self.rule.standing(self.now).costs)

    def leader(self):
        return self.rule.standing(self.now).leader


def candidates(*beliefs):
    return tuple(Candidate(name, belief) for name, belief in zip("abcdefgh", beliefs, strict=False))


class Member:
    """A member of the panel by itself: what it learned of paths that cost so much, and where it would be."""

    def __init__(self, member, *costs):
        self.member = member
        self.costs = list(costs)
        self.shown = candidates(*map(Belief, costs))
        member.take([None] * len(costs), self.costs, [0.0] * len(costs))

    def observe(self, *costs, since=None, dt=1.0):
        """A round in which all were heard, ``since`` seconds after the time before; None: no news of that one."""
        self.costs = [old if new is None else new for old, new in zip(self.costs, costs, strict=True)]
        samples = [[] if cost is None else [(cost, since or dt)] for cost in costs]
        self.member.learn([(self.costs, min(self.costs), dt)], samples)
        return self

    def take(self, places, costs, shifts=None):
        """Other candidates: of each its former place."""
        self.costs = list(costs)
        self.shown = candidates(*map(Belief, costs))
        self.member.take(places, self.costs, shifts or [0.0] * len(costs))

    def choose(self, here=0):
        return self.member.choose(here, self.shown)
