"""What is written for a restart: what PoPs say of their load, each some seconds, wears out no disk."""

import asyncio
import time
from pathlib import Path

from steerd.core.engine import Engine
from steerd.core.events import Event, Order, PathMtu, PopState, Verb
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, Settings
from steerd.daemon.driver import Driver
from steerd.daemon.persistence import Persistence
from steerd.store.store import Store

PATHS = tuple(PathSettings(PathId(f"pop{n}/wg"), f"pop{n}", "lte") for n in range(3))


class Counted(Store):
    """A store that counts how often something was to be kept."""

    times = 0

    def remember(self, *kept: object) -> None:
        self.times += 1
        super().remember(*kept)  # type: ignore[arg-type]


async def times(folder: Path, *events: Event) -> list[int]:
    """After each event, how often something was kept."""
    store = Counted(folder)
    store.open()
    driver = Driver(Engine(Settings(PATHS), Memory(), now=time.monotonic(), epoch=1, draw=lambda: 0.0))
    Persistence(store, driver, dict, dict)
    counted = []
    for event in events:
        driver.feed(event)
        counted.append(store.times)
    driver.stop()
    store.close()
    return counted


def test_what_a_pop_says_is_kept_when_it_says_something_else(tmp_path: Path) -> None:
    loads = [PopState(f"pop{n % 3}", True, n / 100) for n in range(60)]
    says = [PopState("pop1", False, 0.1), PopState("pop1", False, 0.2), PopState("pop2", False), PopState("pop1", True)]
    counted = asyncio.run(times(tmp_path, *loads, *says))
    assert counted[59] == 0
    assert counted[60:] == [1, 1, 2, 3]


def test_orders_and_sizes_are_kept_at_once(tmp_path: Path) -> None:
    orders = Order(Verb.DRAIN, "pop1"), Order(Verb.DRAIN, "pop1", until=time.monotonic() + 9.0)
    assert asyncio.run(times(tmp_path, *orders, PathMtu(PATHS[0].path, 1380, 1420))) == [1, 2, 3]
