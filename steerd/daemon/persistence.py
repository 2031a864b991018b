"""What survives a restart: kept when it changes, and every so often since hold-downs change by themselves."""

import time
from collections.abc import Callable, Mapping

from steerd.core.effects import Switched
from steerd.core.events import Order, PathMtu, PopState
from steerd.daemon.driver import Driver
from steerd.store.earlier import Addresses
from steerd.store.store import Store


class Persistence:
    """``addresses`` are those of targets that are names, ``orders`` the fleet's, when asked."""

    def __init__(
        self,
        store: Store,
        driver: Driver,
        addresses: Callable[[], Addresses],
        orders: Callable[[], Mapping[str, str]],
        *,
        observing: bool = False,
    ) -> None:
        self.store = store
        self._driver = driver
        self._addresses = addresses
        self._orders = orders
        driver.facts.listen(Switched, lambda fact: store.decided(fact, int(time.time() * 1000), paper=observing))
        driver.events.listen(Order | PopState | PathMtu, lambda _: self.remember())

    def remember(self) -> None:
        """Now: the engine's memory, addresses and orders."""
        self.store.remember(self._driver.memory(), self._addresses(), self._orders())
