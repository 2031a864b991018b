"""The fleet's signed orders: which are taken, which are in force, and what the engine has to be told for that.

An order is the wanted state of one PoP or policy. Of several for the same one (to all, to a region, to this gateway)
the one signed last is in force until it expires, then the one before it. Orders are kept without the broker, and
verified anew after a restart. What is well signed and comes at a wrong time waits: it may be our clock that is wrong.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from steerd.core.events import Order, Verb
from steerd.core.memory import Memory
from steerd.core.policy.drains_and_pins import SIGNED
from steerd.core.settings import PolicyId
from steerd.share.messages import JSON, RefusedError, media_type
from steerd.share.signing import LASTS_MAX, Signer, WantedState, claimed, verified
from steerd.share.topics import Topics

AHEAD: Final = 300.0
"""Seconds that the signer's clock may be ahead of ours."""
BURST: Final = 256
RATE: Final = 10.0
"""How many messages of one key may be verified at once, and in the long run per second: 67 us each."""
CHANGES: Final = 6
CHANGES_WITHIN: Final = 60.0
"""So many orders of one topic are taken in so many seconds: whoever sends more moves traffic to and fro."""
SHARE_OF_POPS: Final = 3
"""Orders may drain one of so many PoPs (one at least)."""
DRIFT: Final = 5.0
"""Seconds that the wall clock may move against the monotonic one before an order's end is set again."""

REASONS: Final = (
    "content type", "expired", "lasts too long", "malformed", "not yet valid", "replayed", "signature", "too large",
    "too many", "too many drained", "unknown PoP", "unknown key", "unknown policy", "wrong audience", "wrong subject",
    "wrong tenant", "wrong topic",
)  # fmt: skip
"""All that an order is refused for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The latest order of one topic."""

    payload: bytes
    order: WantedState
    signer: Signer

    @property
    def origin(self) -> str:
        """Who gave it, as `Order.origin`."""
        return f"{SIGNED}{self.signer.name}"


class Orders:
    """Takes messages of the control topics.

    `wall` is the time since 1970 and `clock` a monotonic one, which limits the rate; both in seconds. `refuse` gets
    a source, `order`, with a reason and what it was. `kept` is what an earlier run left, as `keep` gives it.
    ``missed``: there was too much to look at all of it, so what is retained is to be fetched again.
    """

    def __init__(
        self,
        topics: Topics,
        trusted: Mapping[str, Signer],
        *,
        pops: Collection[str],
        policies: Collection[str],
        refuse: Callable[[str, str, str], None],
        kept: Mapping[str, str] | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pops, self.policies = frozenset(pops), frozenset(policies)
        self._topics = topics
        self._trusted = trusted
        self._refuse = refuse
        self._wall = wall
        self._clock = clock
        self.missed = False
        self._allowances: dict[str, tuple[float, float]] = {}
        self._changed_at: dict[str, deque[float]] = {}
        self._kept: dict[str, Kept] = {}
        self._counters: dict[str, int] = {}
        self._waiting: dict[str, Kept] = {}
        self._held_back: frozenset[str] = frozenset()
        for topic, text in (kept or {}).items():
            counter, brace, rest = text.partition("{")
            if counter.isdecimal():
                self._counters[topic] = int(counter)
            # The trusted keys, and this gateway's names, may have changed since.
            try:
                if brace:
                    self._keep(topic, self._checked(topic, (brace + rest).encode()))
            except RefusedError as refused:
                self._refuse("order", refused.reason, topic)

    def take(self, topic: str, payload: bytes, content_type: str | None) -> bool:
        """One message: whether it is a new order. An empty one changes nothing: an order lasts until it expires."""
        there = (self._kept.get(topic), self._waiting.get(topic))
        if not payload or any(one is not None and one.payload == payload for one in there):
            return False  # delivered again after a reconnect
        try:
            self._judge(topic, self._signed(topic, payload, content_type))
        except RefusedError as refused:
            self._refuse("order", refused.reason, topic)
            return False
        return True

    def look(self) -> bool:
        """Time went by, or the clock was set: judge again what came at a wrong time. Whether any of it is taken."""
        waiting, self._waiting = self._waiting, {}
        taken = False
        for topic, kept in waiting.items():
            with suppress(RefusedError):
                self._judge(topic, kept)
                taken = True
        return taken

    def keep(self) -> Mapping[str, str]:
        """For the next run, by topic: the highest counter, and the signed payload if it still is one. No counter is
        forgotten: whether it is old enough only the clock could tell, and that may be wrong."""
        payloads = {topic: kept.payload.decode() for topic, kept in self._kept.items()}
        return {topic: f"{counter}{payloads.get(topic, '')}" for topic, counter in self._counters.items()}

    def due(self, memory: Memory, now: float) -> list[Order]:
        """What the engine, which remembers `memory`, lacks at `now` (its clock) of exactly the orders in force."""
        drains, pins = self._in_force()
        return [*self._drains(drains, memory, now), *self._pins(pins, memory, now)]

    def _drains(self, wanted: Mapping[str, Kept], memory: Memory, now: float) -> Iterator[Order]:
        there = {(one.pop, one.origin): one.left for one in memory.drains if one.origin.startswith(SIGNED)}
        asked = {(pop, kept.origin): self._left(kept) for pop, kept in wanted.items()}
        for (pop, origin), left in asked.items():
            if _differs(there.get((pop, origin)), left):
                yield Order(Verb.DRAIN, pop, until=now + left, origin=origin)
        for pop, origin in there:
            if (pop, origin) not in asked and not self._clock_is_behind(pop, origin):
                yield Order(Verb.UNDRAIN, pop, origin=origin)

    def _pins(self, wanted: Mapping[str, Kept], memory: Memory, now: float) -> Iterator[Order]:
        there = {one.policy: one for one in memory.pins}
        for pin in there.values():
            ours = pin.policy not in wanted and pin.origin.startswith(SIGNED)
            if ours and not self._clock_is_behind(pin.policy, pin.origin):
                yield Order(Verb.UNPIN, pin.policy, origin=pin.origin)
        for policy, kept in wanted.items():
            before, left = there.get(PolicyId(policy)), self._left(kept)
            if before is not None and not before.origin.startswith(SIGNED):
                continue  # an operator of this gateway has pinned it
            same = before is not None and (before.pop, before.origin) == (kept.order.pin, kept.origin)
            if not same or before is None or _differs(before.left, left):
                yield Order(Verb.PIN, policy, kept.order.pin, now + left, kept.origin)

    def _clock_is_behind(self, subject: str, origin: str) -> bool:
        """Whether our clock is before the time of an order that had begun already: what the engine has of it stays."""
        now = self._wall() * 1000
        return any(
            kept.order.nbf_ms > now and kept.origin == origin and subject in (kept.order.pop, kept.order.policy)
            for kept in self._kept.values()
        )

    def _in_force(self) -> tuple[Mapping[str, Kept], Mapping[str, Kept]]:
        """The drains by PoP and the pins by policy."""
        now = self._wall() * 1000
        latest: dict[tuple[str, str], Kept] = {}
        for kept in sorted(self._kept.values(), key=lambda one: one.order.counter):
            order = kept.order
            if order.nbf_ms <= now < order.exp_ms:
                latest["pop" if order.pop is not None else "policy", order.pop or order.policy or ""] = kept
        pins, drains = {}, {}
        for (kind, name), kept in latest.items():
            if kind == "policy" and kept.order.pin in self.pops and name in self.policies:
                pins[name] = kept
            elif kind == "pop" and kept.order.drained and name in self.pops:
                drains[name] = kept
        wanted = sorted(drains.items(), key=lambda one: one[1].order.counter)
        most = max(1, len(self.pops) // SHARE_OF_POPS)
        held_back = frozenset(name for name, _ in wanted[most:])
        for name in sorted(held_back - self._held_back):
            self._refuse("order", "too many drained", name)
        self._held_back = held_back
        return dict(wanted[:most]), pins

    def _signed(self, topic: str, payload: bytes, content_type: str | None) -> Kept:
        """What somebody whom we trust has signed, as far as there is time to look."""
        place = self._topics.order(topic)
        if place is None:
            raise RefusedError("wrong topic")
        _, kind, name = place
        known, reason = (self.pops, "unknown PoP") if kind == "pop" else (self.policies, "unknown policy")
        if name not in known:
            raise RefusedError(reason)
        if media_type(content_type) != JSON:
            raise RefusedError("content type")
        self._limit(claimed(payload, self._trusted).signer)
        return self._checked(topic, payload)

    def _judge(self, topic: str, kept: Kept) -> None:
        """Keep it, if it is the latest and its time is now."""
        order, now, clock = kept.order, self._wall() * 1000, self._clock()
        if order.counter <= self._counters.get(topic, -1):
            raise RefusedError("replayed")
        if not order.nbf_ms <= now < order.exp_ms or order.counter > now + AHEAD * 1000:
            before = self._waiting.get(topic)
            if before is None or before.order.counter < order.counter:
                self._waiting[topic] = kept
            raise RefusedError("expired" if order.exp_ms <= now else "not yet valid")
        changed_at = self._changed_at.setdefault(topic, deque(maxlen=CHANGES))
        if len(changed_at) == CHANGES and clock - changed_at[0] < CHANGES_WITHIN:
            self.missed = True
            raise RefusedError("too many")
        changed_at.append(clock)
        self._keep(topic, kept)

    def _keep(self, topic: str, kept: Kept) -> None:
        self._kept[topic] = kept
        self._counters[topic] = max(kept.order.counter, self._counters.get(topic, -1))

    def _checked(self, topic: str, payload: bytes) -> Kept:
        """The checks that do not depend on the time."""
        claim = claimed(payload, self._trusted)
        order, signer = verified(claim), claim.signer
        if order.tenant != self._topics.tenant:
            raise RefusedError("wrong tenant")
        place = self._topics.order(topic)
        if place is None or order.to != place[0]:
            raise RefusedError("wrong audience")
        if order.topic != f"ctl/{'/'.join(place)}":
            raise RefusedError("wrong subject")
        if order.exp_ms - order.counter > LASTS_MAX * 1000:
            raise RefusedError("lasts too long")
        return Kept(payload, order, signer)

    def _limit(self, signer: Signer) -> None:
        now = self._clock()
        left, at = self._allowances.get(signer.id, (float(BURST), now))
        left = min(float(BURST), left + (now - at) * RATE)
        self._allowances[signer.id] = left - (left >= 1.0), now
        if left < 1.0:
            self.missed = True
            raise RefusedError("too many")

    def _left(self, kept: Kept) -> float:
        return max(0.001, kept.order.exp_ms / 1000 - self._wall())


def _differs(before: float | None, wanted: float) -> bool:
    return before is None or abs(before - wanted) > DRIFT
