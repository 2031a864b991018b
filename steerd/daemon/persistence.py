"""What survives a restart: kept when it changes, and every so often since hold-downs change by themselves."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from steerd.core.effects import Switched
from steerd.core.events import Installed, Order, PathMtu, PopState
from steerd.core.settings import PolicyId
from steerd.daemon.driver import Driver
from steerd.store.earlier import Addresses
from steerd.store.store import Store


class Persistence:
    """``addresses`` are those of targets that are names, ``orders`` the fleet's, ``counts`` those of uplinks, when
    asked."""

    def __init__(
        self,
        store: Store,
        driver: Driver,
        addresses: Callable[[], Addresses],
        orders: Callable[[], Mapping[str, str]],
        counts: Callable[[], Mapping[str, Any]] = dict,
        *,
        observing: bool = False,
    ) -> None:
        self.store = store
        self._driver = driver
        self._addresses = addresses
        self._orders = orders
        self._counts = counts
        driver.facts.listen(Switched, lambda fact: store.decided(fact, int(time.time() * 1000), paper=observing))
        driver.events.listen(Order | PathMtu, lambda _: self.remember())
        driver.events.listen(PopState, self._reported)
        driver.events.listen(Installed, self._installed)
        self._words: tuple[object, ...] = (set(), ())  # what PoPs and others want drained, or not
        self._wrong: dict[PolicyId, tuple[float, str]] = {}  # whose packets go wrong: since when, and why

    def remember(self) -> None:
        """Now: the engine's memory, addresses, orders and counts."""
        self.store.remember(self._driver.memory(), self._addresses(), self._orders(), self._counts())

    def _reported(self, _: PopState) -> None:
        """A PoP said something of itself: mostly that its load is another, each some seconds, which is not kept."""
        memory = self._driver.memory()
        words = {(one.pop, one.origin, one.left is None) for one in memory.drains}, memory.overruled
        if words != self._words:
            self._words = words
            self.remember()

    def _installed(self, one: Installed) -> None:
        """Keep when a policy's packets begin to go wrong, and when they are right again."""
        if one.error is not None:
            return  # where they go is not told
        wall_ms, now = int(time.time() * 1000), time.monotonic()
        since, why = self._wrong.get(one.policy, (now, ""))
        if one.mismatch is None:
            if self._wrong.pop(one.policy, None):
                self.store.packets(wall_ms, one.policy, why, now - since)
            return
        self._wrong[one.policy] = since, one.mismatch
        if not why:
            self.store.packets(wall_ms, one.policy, one.mismatch)
