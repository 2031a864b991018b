"""What PoPs say of their links to each other and to services, and the cheapest way from each PoP to a service.

It is hearsay, so it is bounded: a way costs from 0 to `Settings.backbone_max`, which is what it costs too while nothing
is known of it. So a PoP gains nothing by saying nothing, and by lying at most that bound. What was said counts in full
for a while, and then for less and less, until nothing is known again.
"""

from collections.abc import Mapping
from math import inf
from typing import Final, NamedTuple

from steerd.core.events import BackboneLinks
from steerd.core.settings import PolicySettings, Settings

FULL: Final = 3.0
"""So many publishing intervals old, what was said of a link counts in full."""

GONE: Final = 30.0
"""So old, it counts for nothing. In between it fades evenly: so slowly that PoPs that fall silent together, and were
heard an interval apart, fade nearly together: they differ by 1/27 of the bound at most."""

HOPS: Final = 4
"""Links of a way, at most."""

LINKS_MAX: Final = 1024
"""Links of a PoP, at most."""

SAME: Final = (1.0, 0.03, 0.005)
"""A link that differs by no more than so many ms, or such a part of its RTT, and in loss by no more than the last of
them, is as before: a cost that stands still disturbs no rule."""

NEAR: Final = (10.0, 0.3, 0.05)
"""One that differs by no more than this is taken for a third of the way from what it was: what a PoP says holds for ten
rounds of a rule, so its noise weighs more than that of probes. Between two PoPs that cost the same, noise of 1.5 ms in
what they say makes half a switch an hour, and 3.5 without this."""

PACE: Final = 1.0
"""Seconds between two looks at what is new, at least."""

AGAIN: Final = 10.0
"""Seconds between two looks at what has faded."""


class Heard(NamedTuple):
    """A link as it was heard of last: RTT in ms, loss from 0 to 1, and when; it is said every ``interval`` seconds."""

    rtt: float
    loss: float
    at: float
    interval: float

    def faded(self, now: float) -> float:
        """How far it has faded at ``now``, from 0 to 1."""
        age = (now - self.at) / self.interval
        return max(0.0, min(1.0, (age - FULL) / (GONE - FULL)))


class Way(NamedTuple):
    """The cheapest way from a PoP to a service: the PoPs that it crosses, in order, RTT in ms and loss of all of it,
    how far what is known of it has faded, from 0 to 1, and what it costs, in ms."""

    by: tuple[str, ...]
    rtt: float
    loss: float
    faded: float
    cost: float


class Backbone:
    """The latest word of each PoP on its links. A link that it no longer speaks of fades, as if the PoP were silent."""

    def __init__(self) -> None:
        self._links: dict[str, dict[str, Heard]] = {}
        self._news = False
        self._looked_at = -inf

    def __bool__(self) -> bool:
        return bool(self._links)

    def told(self, pop: str, said: BackboneLinks, now: float) -> None:
        """A PoP speaks of its links. What cannot be is passed over."""
        if not (0.0 < said.interval < inf and 0.0 <= said.age < inf):
            return
        at, before = now - said.age, self._links.get(pop, {})
        links: dict[str, Heard] = {}
        for link in said.links[:LINKS_MAX]:
            if link.to != pop and 0.0 <= link.rtt < inf and 0.0 <= link.loss <= 1.0:
                heard, old = Heard(link.rtt, link.loss, at, said.interval), before.get(link.to)
                links[link.to] = taken = heard if old is None else _after(old, heard)
                self._news |= old is None or taken[:2] != old[:2] or old.faded(now) > heard.faded(now)
        # Those said last come first: what a PoP makes up anew each time pushes out its own.
        merged = links | {to: old for to, old in before.items() if to not in links and old.faded(now) < 1.0}
        kept = dict(list(merged.items())[:LINKS_MAX])
        if kept:
            self._links[pop] = kept

    def look(self, now: float) -> bool:
        """Whether ways may have changed since that was asked last. Each second at most, or each ten of them while all
        that changes is the time."""
        since = now - self._looked_at
        if not (since >= AGAIN and self._links) and not (since >= PACE and self._news):
            return False
        self._looked_at, self._news = now, False
        for pop, links in list(self._links.items()):
            left = {to: heard for to, heard in links.items() if heard.faded(now) < 1.0}
            self._links[pop] = left
            if not left:
                del self._links[pop]
        return True

    def ways(self, policy: PolicySettings, settings: Settings, now: float) -> Mapping[str, Way]:
        """By PoP, the cheapest way to the policy's service of at most `HOPS` links, over PoPs that it may cross. RTT
        and loss count as the policy weighs those of probes; where none is known, there is none.

        Bellman and Ford's, in rounds of one more link each: Dijkstra's does not count them. Costs are never negative,
        so no way goes round.
        """
        most, price = settings.backbone_max, policy.loss_weight * settings.loss_penalty
        through = frozenset(policy.through)
        into: dict[str, list[tuple[str, Heard, float]]] = {}
        for pop in through & self._links.keys():
            for to, heard in self._links[pop].items():
                if (faded := heard.faded(now)) < 1.0 and (to == policy.service or to in through):
                    # A link that fades comes to cost as much as one of which nothing is known.
                    cost = policy.rtt_weight * heard.rtt + price * heard.loss + most * faded
                    into.setdefault(to, []).append((pop, heard, cost))
        best: dict[str, Way] = {}
        reached = {policy.service: Way((), 0.0, 0.0, 0.0, 0.0)}
        for _ in range(HOPS):
            further: dict[str, Way] = {}
            for to, way in reached.items():
                for pop, heard, cost in into.get(to, ()):
                    known = further.get(pop) or best.get(pop)
                    if known is None or way.cost + cost < known.cost:
                        crossed = () if to == policy.service else (to, *way.by)
                        loss = 1.0 - (1.0 - way.loss) * (1.0 - heard.loss)
                        faded = max(way.faded, heard.faded(now))
                        further[pop] = Way(crossed, way.rtt + heard.rtt, loss, faded, way.cost + cost)
            best |= further
            reached = further
        return {pop: way._replace(cost=min(way.cost, most)) for pop, way in best.items()}


def _after(old: Heard, new: Heard) -> Heard:
    """What is taken of what is said of a link now, after what was taken before."""
    if _within(old, new, SAME):
        return new._replace(rtt=old.rtt, loss=old.loss)
    if _within(old, new, NEAR):
        return new._replace(rtt=old.rtt + (new.rtt - old.rtt) / 3.0, loss=old.loss + (new.loss - old.loss) / 3.0)
    return new


def _within(old: Heard, new: Heard, bounds: tuple[float, float, float]) -> bool:
    least, part, loss = bounds
    return abs(new.rtt - old.rtt) <= max(least, part * old.rtt) and abs(new.loss - old.loss) <= loss
