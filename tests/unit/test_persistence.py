"""What is written for a restart: what PoPs say of their load, each some seconds, wears out no disk."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from steerd.core.engine import Engine
from steerd.core.events import Event, Order, PathMtu, PopState, Verb
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, Settings
from steerd.daemon.driver import Driver
from steerd.daemon.persistence import Persistence
from steerd.store.database import NAME
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


def test_what_was_counted_of_uplinks_is_kept_and_survives_a_broken_file(tmp_path: Path) -> None:
    counts = {"wwan0": {"bytes": 123, "began": "2026-11-01"}}
    store = Store(tmp_path)
    assert store.open().counts == {}
    store.remember(Memory(), counts=counts)
    store.close()
    for spoiled in (None, b"", b"cut"):
        if spoiled is not None:
            (tmp_path / NAME).write_bytes(spoiled)
        store = Store(tmp_path)
        assert store.open().counts == counts
        store.remember(Memory(), counts=counts)
        store.close()


def test_counts_that_are_none_are_not_taken_up(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open()
    store.close()
    with closing(sqlite3.connect(tmp_path / NAME)) as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('counts', '[1, 2]')")
        db.commit()
    store = Store(tmp_path)
    assert store.open().counts == {}
    store.close()


def test_how_uplinks_stood_to_their_caps_is_kept_apart_from_packets(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open()
    now = int(time.time() * 1000)
    store.uplink(now, "wwan0", "reached", "wwan0 has reached its cap")
    store.packets(now, "users", "astray")
    (noted,) = asyncio.run(store.notes("uplinks", 60.0, 10))
    assert noted == {"wall_ms": now, "uplink": "wwan0", "state": "reached", "why": "wwan0 has reached its cap"}
    assert [one["why"] for one in asyncio.run(store.notes("packets", 60.0, 10))] == ["astray"]
    store.close()
