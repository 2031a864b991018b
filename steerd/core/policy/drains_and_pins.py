"""Drains and pins: what operators, PoPs and signed messages want, with their expiry."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, NamedTuple

from steerd.core.events import Order, PopState, Verb
from steerd.core.memory import Memory

POP: Final = "pop"
"""The origin of a PoP's own word."""

SIGNED: Final = "signed by "
"""What the origin of a fleet's signed order begins with; the name of its key follows."""


AGAIN_WITHIN: Final = 3600.0
"""For so many seconds what a PoP said to an earlier run holds without being said again: its broker may be another."""


STANDS: Final = 1.0
"""Seconds for which a PoP that does not accept is left at least, whatever it says next."""
CHANGES: Final = 3
CALM: Final = 60.0
"""A PoP that says no so often within so many seconds, having said yes in between, is left until it has said yes, and
nothing else, for as long."""


def remote(origin: str) -> bool:
    """Whether this came over the network. Then it ranks a PoP last, so that neither a rumour nor a stolen key can take
    the last usable one away; an order given on this gateway forbids."""
    return origin == POP or origin.startswith(SIGNED)


class Pin(NamedTuple):
    """Use ``pop``. A soft pin is left when its paths are down; a hard one stays."""

    pop: str
    hard: bool
    until: float | None
    origin: str


@dataclass(slots=True)
class Word:
    """What a PoP says of itself: when it said last that it does not accept, and when it came to say so."""

    no_at: float
    changes: deque[float] = field(default_factory=lambda: deque(maxlen=CHANGES))
    restless: bool = False

    def says_no(self, now: float, *, before: bool) -> bool:
        """It does not accept; ``before``: as it said before. True if it begins to change its word too often."""
        self.no_at = now
        if before:
            return False
        restless = self.restless
        self.changes.append(now)
        self.restless = len(self.changes) == CHANGES and now - self.changes[0] < CALM
        return self.restless and not restless

    def ends(self, now: float) -> float:
        """It says yes: when it is believed."""
        return now + CALM if self.restless else max(now, self.no_at + STANDS)


class Drains:
    """Which PoPs are not to be used, by whose order and until when (None: until told otherwise)."""

    def __init__(self) -> None:
        self._orders: dict[str, dict[str, float | None]] = {}
        self._words: dict[str, Word] = {}
        self.overruled: set[str] = set()
        """PoPs that do not accept and are used all the same: an operator wants it so, until they say that they do."""

    def __bool__(self) -> bool:
        return bool(self._orders)

    def add(self, pop: str, origin: str, until: float | None) -> None:
        """Do not use the PoP, by the word of ``origin``; ``until`` on the engine's clock, None: until it says so."""
        self._orders.setdefault(pop, {})[origin] = until

    def remove(self, pop: str, origin: str) -> bool:
        """True if there was such an order."""
        orders = self._orders.get(pop)
        if orders is None or origin not in orders:
            return False
        del orders[origin]
        if not orders:
            del self._orders[pop]
        return True

    def undrain(self, pop: str, origin: str) -> bool:
        """``origin`` takes its order back; an operator's word ends the PoP's, too. In the PoP's name: nobody is
        left to speak for it. True if there was such an order."""
        ended = self.remove(pop, origin)
        if origin == POP:
            self._words.pop(pop, None)
            ended |= pop in self.overruled
            self.overruled.discard(pop)
        elif not remote(origin) and self.remove(pop, POP):
            self.overruled.add(pop)
            return True
        return ended

    def accepts(self, event: PopState, now: float, decline: Callable[[PopState, str], None]) -> bool:
        """The PoP's own word. True if it changes something at once. A word that changes too often is declined."""
        pop, known = event.pop, POP in self._orders.get(event.pop, {})
        if event.accepting:
            self.overruled.discard(pop)
            return known and self._released(pop, now)
        if pop in self.overruled:
            return False
        word = self._words.setdefault(pop, Word(now))
        if word.says_no(now, before=known and self._orders[pop][POP] is None):
            decline(event, "the PoP keeps changing its word")
        self.add(pop, POP, None)
        return not known

    def _released(self, pop: str, now: float) -> bool:
        word = self._words.get(pop)
        ends = now if word is None else word.ends(now)
        if ends <= now:
            return self.remove(pop, POP)
        if self._orders[pop][POP] is None:  # else it has said so before
            self.add(pop, POP, ends)
        return False

    def forbids(self, pop: str) -> bool:
        """An order that holds whatever else there is."""
        return pop in self._orders and not all(map(remote, self._orders[pop]))

    def discourages(self, pop: str) -> bool:
        """Any order: not to be used while there is another."""
        return pop in self._orders

    def origin(self, pop: str) -> str:
        """Who wants the PoP drained, by name."""
        return ", ".join(sorted(self.name(pop, origin) for origin in self._orders.get(pop, ())))

    def name(self, pop: str, origin: str) -> str:
        """Who ``origin`` is, and what is to be known of its word."""
        word = self._words.get(pop) if origin == POP else None
        return f"{origin}, which keeps changing its word" if word is not None and word.restless else origin

    def next_expiry(self) -> float:
        """When the next order ends, on the engine's clock; inf: none does by itself."""
        times = (until for orders in self._orders.values() for until in orders.values() if until is not None)
        return min(times, default=inf)

    def expire(self, now: float) -> bool:
        """Drop what has run out. True if anything did."""
        ended = [
            (pop, origin)
            for pop, orders in self._orders.items()
            for origin, until in orders.items()
            if until is not None and until <= now
        ]
        for pop, origin in ended:
            self.remove(pop, origin)
        return bool(ended)

    def all(self) -> list[tuple[str, str, float | None]]:
        """Every order: PoP, origin, until."""
        return [(pop, origin, until) for pop, orders in self._orders.items() for origin, until in orders.items()]


def spoken(memory: Memory) -> set[str]:
    """The PoPs whose own word is remembered."""
    return {one.pop for one in memory.drains if one.origin == POP} | set(memory.overruled)


def unconfirmed(memory: Memory) -> Memory:
    """What is remembered, of which what PoPs said is to be said again within `AGAIN_WITHIN`."""
    drains = (
        replace(one, left=AGAIN_WITHIN) if one.origin == POP and one.left is None else one for one in memory.drains
    )
    return replace(memory, drains=tuple(drains))


def local(memory: Memory) -> Memory:
    """What is remembered, without what came over the network."""
    return replace(
        memory,
        pins=tuple(one for one in memory.pins if not remote(one.origin)),
        drains=tuple(one for one in memory.drains if not remote(one.origin)),
        overruled=(),
    )


def withdrawal(memory: Memory) -> list[Order]:
    """What ends every signed order that is remembered: nobody's signature is trusted any more."""
    return [
        *(Order(Verb.UNDRAIN, one.pop, origin=one.origin) for one in memory.drains if one.origin.startswith(SIGNED)),
        *(Order(Verb.UNPIN, one.policy, origin=one.origin) for one in memory.pins if one.origin.startswith(SIGNED)),
    ]
