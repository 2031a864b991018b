"""Drains and pins: what operators, PoPs and signed messages want, with their expiry."""

from dataclasses import replace
from math import inf
from typing import Final, NamedTuple

from steerd.core.events import Order, Verb
from steerd.core.memory import Memory

POP: Final = "pop"
"""The origin of a PoP's own word."""

SIGNED: Final = "signed by "
"""What the origin of a fleet's signed order begins with; the name of its key follows."""


AGAIN_WITHIN: Final = 3600.0
"""For so many seconds what a PoP said to an earlier run holds without being said again: its broker may be another."""


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


class Drains:
    """Which PoPs are not to be used, by whose order and until when (None: until told otherwise)."""

    def __init__(self) -> None:
        self._orders: dict[str, dict[str, float | None]] = {}
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
        """``origin`` takes its order back; an operator's word ends the PoP's, too. True if there was such an order."""
        ended = self.remove(pop, origin)
        if not remote(origin) and self.remove(pop, POP):
            self.overruled.add(pop)
            return True
        return ended

    def accepts(self, pop: str, *, accepting: bool) -> bool:
        """The PoP's own word. True if it is news."""
        if accepting:
            self.overruled.discard(pop)
            return self.remove(pop, POP)
        if pop in self.overruled:
            return False
        known = POP in self._orders.get(pop, {})
        self.add(pop, POP, None)
        return not known

    def forbids(self, pop: str) -> bool:
        """An order that holds whatever else there is."""
        return pop in self._orders and not all(map(remote, self._orders[pop]))

    def discourages(self, pop: str) -> bool:
        """Any order: not to be used while there is another."""
        return pop in self._orders

    def origin(self, pop: str) -> str:
        """Who wants the PoP drained, by name."""
        return ", ".join(sorted(self._orders.get(pop, ())))

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
