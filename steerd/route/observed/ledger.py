"""What was counted so far, and what the last packets say of each policy."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Final, NamedTuple

from steerd.core.settings import PolicyId
from steerd.route.observed.where import OTHER, Place, Seen, Ways, Where, bad, places

ENOUGH: Final = 20
"""Packets that came in, or met the guard, of which a span is made: fewer tell nothing of a share."""
SHARE: Final = 0.01
"""Of a span's packets may go wrong before it is a mistake: a packet too large for the path, the last answers of a
connection that conntrack has forgotten. A route or rule that leads elsewhere leads all that it is about."""
LEAST: Final = 10
"""Packets that must have gone wrong, too."""
RECENT: Final = 60.0
"""Seconds after which what was seen tells nothing of now."""
_DEVIATIONS: Final = 4.0
"""Standard deviations within which what went nowhere may be chance, where not every packet is counted."""
_SPANS: Final = 2
"""That must be wrong, one after the other: one is what a switch, a reload or a new route of main's falls into."""

Key = tuple[PolicyId, int]


@dataclass(slots=True)
class Span:
    """Some of the last packets. ``places``: where they went, as it was judged then; ``wrong``: those forwarded ones
    that should have gone elsewhere; ``every``: how many packets each that was counted stands for."""

    began: float
    ended: float
    every: int = 1
    packets: int = 0
    places: Counter[Place] = field(default_factory=Counter)
    wrong: Counter[Place] = field(default_factory=Counter)

    @property
    def certain(self) -> Counter[Place]:
        """What went wrong beyond chance: of samples, as many come in as leave only on average."""
        chance = 0 if self.every == 1 else int(_DEVIATIONS * sqrt(2.0 * self.every * self.packets))
        return self.wrong - Counter({(Where.NOWHERE, ""): chance})

    @property
    def is_wrong(self) -> bool:
        """Whether more of it went wrong than may."""
        return self.certain.total() > SHARE * self.packets


class Wrong(NamedTuple):
    """``place`` has the most of the packets that go wrong; ``share`` is that of all of them."""

    family: int
    place: Place
    share: float


class Ledger:
    """``total`` is since the daemon began, by policy, family, where, and device. Times in seconds of one clock."""

    def __init__(self) -> None:
        self.total: Counter[tuple[PolicyId, int, Where, str]] = Counter()
        self._spans: dict[Key, deque[Span]] = {}
        self._open: dict[Key, Span] = {}
        self._missing: Counter[Key] = Counter()
        self._dropped: deque[tuple[float, PolicyId, int]] = deque()

    def look(
        self,
        news: Mapping[Key, Seen],
        ways: Mapping[Key, Ways],
        since: float,
        now: float,
        *,
        every: int = 1,
        judge: bool = True,
    ) -> None:
        """What came between ``since`` and ``now``. ``every``: how many packets each that was counted stands for. Not to
        ``judge``: what belongs to whom may have changed meanwhile."""
        for key, seen in news.items():
            way = ways.get(key, Ways())
            # Counters are read one after the other: what one has not seen yet is missing now, and too much later.
            self._missing[key] += seen.missing
            seen.nowhere = max(0, self._missing[key])
            self._missing[key] -= seen.nowhere
            went = places(seen, way)
            for (where, device), count in went.items():
                self.total[(*key, where, device)] += count
            if seen.guard:
                self._dropped.append((now, key[0], seen.guard))
            if judge:
                self._judge(key, seen, way, since, now, every)
        while self._dropped and self._dropped[0][0] <= now - RECENT:
            self._dropped.popleft()
        for key, spans in list(self._spans.items()):
            while spans and spans[0].ended <= now - RECENT:
                spans.popleft()
            if not spans or key not in ways:
                del self._spans[key]

    def _judge(self, key: Key, seen: Seen, way: Ways, since: float, now: float, every: int) -> None:
        span = self._open.get(key)
        if span is None or span.began <= now - RECENT:
            span = self._open[key] = Span(since, now, every)
        span.ended = now
        span.packets += max(seen.came - seen.here, seen.guard) + seen.own.total()
        span.places.update(places(seen, way))
        if way.chosen:  # else it is to go nowhere
            span.wrong.update(bad(seen, way))
        if span.packets >= ENOUGH * every:
            self._spans.setdefault(key, deque(maxlen=_SPANS)).append(self._open.pop(key))

    def wrong(self, policy: PolicyId) -> list[Wrong]:
        """What is wrong with each family of the policy's packets, now."""
        found = []
        for (one, family), spans in sorted(self._spans.items()):
            wrong = sum((span.certain for span in spans), Counter[Place]())
            if one != policy or len(spans) < _SPANS or not all(span.is_wrong for span in spans):
                continue
            if wrong.total() >= LEAST * spans[-1].every:
                packets = sum(span.packets for span in spans)
                found.append(Wrong(family, wrong.most_common(1)[0][0], min(1.0, wrong.total() / packets)))
        return found

    def recent(self, policy: PolicyId) -> tuple[float, dict[int, dict[Place, int]]]:
        """Where the last packets went, by family, and over how many seconds they came. None came lately: nothing."""
        found: dict[int, dict[Place, int]] = {}
        began, ended = [0.0], [0.0]
        for (one, family), spans in sorted(self._spans.items()):
            if one == policy:
                found[family] = dict(sum((span.places for span in spans), Counter[Place]()))
                began, ended = [*began, spans[0].began], [*ended, spans[-1].ended]
        return max(ended) - min(began[1:] or [0.0]), found

    def forget(self) -> None:
        """What the last packets did tells nothing any more: they are not counted."""
        self._spans.clear()
        self._open.clear()

    def dropped(self) -> Counter[PolicyId]:
        """Packets of each policy that the leak guard has dropped since the daemon began."""
        found: Counter[PolicyId] = Counter()
        for (policy, _family, where, _device), count in self.total.items():
            if where is Where.GUARD:
                found[policy] += count
        return found

    def dropped_lately(self) -> Counter[PolicyId]:
        """As `dropped`, of the last minute."""
        found: Counter[PolicyId] = Counter()
        for _, policy, count in self._dropped:
            found[policy] += count
        return found


def words(wrong: Wrong) -> str:
    """``most of its IPv4 packets leave by wan, which is no path of the policy's``: no figures, which always change."""
    return f"{_much(wrong.share)} of its IPv{wrong.family} packets {_goes(wrong.place)}"


def _much(share: float) -> str:
    return "most" if share > 0.5 else "some"


def _goes(place: Place) -> str:
    where, device = place
    if where is Where.ASTRAY:
        by = "another device" if device == OTHER else device
        return f"leave by {by}, which is no path of the policy's"
    if where is Where.GUARD:
        return "are dropped by the leak guard: they would leave by no path of the policy's"
    return "go nowhere: they come in, and do not leave"
