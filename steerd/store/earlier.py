"""What an earlier run left in the store, and what is still true of it."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from steerd.core.memory import Memory
from steerd.store.database import Database
from steerd.store.records import RecordError, from_json

Addresses = Mapping[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class StoredState:
    """What an earlier run left. `epoch` is this run's: greater than any before it. `addresses` are those of targets
    that are host names, by name and family; `orders` what was signed, by topic."""

    epoch: int
    memory: Memory
    addresses: Addresses = field(default_factory=dict)
    orders: Mapping[str, str] = field(default_factory=dict)


def read(database: Database, wall: float, failed: Callable[[Exception], None]) -> StoredState:
    """What is there at this wall clock, in seconds, as far as it can be read; this run's epoch is kept."""
    found = StoredState(int(wall), Memory())
    try:
        stored = database.get("epoch")
        found = replace(found, epoch=max(stored + 1 if isinstance(stored, int) else 0, found.epoch))
        database.put("epoch", found.epoch)
        found = replace(found, memory=_aged(database.get("memory"), wall))
        found = replace(found, addresses=_addresses(database.get("addresses")))
        found = replace(found, orders=_orders(database.get("orders")))
        database.prune(int(wall * 1000))
        database.commit()
    except sqlite3.Error as error:
        failed(error)
    return found


def _addresses(stored: Any) -> Addresses:
    """The targets' addresses, if what was stored is such."""
    try:
        return {(str(name), int(family)): str(address) for name, family, address in stored}
    except (TypeError, ValueError):
        return {}


def _orders(stored: Any) -> Mapping[str, str]:
    """The signed orders by topic, if what was stored is such."""
    if not isinstance(stored, dict):
        return {}
    return {topic: payload for topic, payload in stored.items() if isinstance(payload, str)}


def _aged(stored: Any, wall: float) -> Memory:
    """The memory as it is now: what runs out went on running out while steerd was down. A clock that went
    backwards stops it for that time."""
    try:
        memory = from_json(stored["memory"])
        away = max(0.0, wall - stored["wall_ms"] / 1000)
    except (RecordError, KeyError, TypeError):
        return Memory()
    if not isinstance(memory, Memory):
        return Memory()
    return Memory(
        pins=tuple(replace(pin, left=_left(pin.left, away)) for pin in memory.pins if _stands(pin.left, away)),
        drains=tuple(replace(one, left=_left(one.left, away)) for one in memory.drains if _stands(one.left, away)),
        holds=tuple(replace(hold, age=hold.age + away, left=max(0.0, hold.left - away)) for hold in memory.holds),
        sizes=memory.sizes,
        rules=tuple(replace(one, leads_for=one.leads_for + away) for one in memory.rules),
        burdens=tuple(replace(one, age=one.age + away) for one in memory.burdens),
    )


def _stands(left: float | None, away: float) -> bool:
    return left is None or left > away


def _left(left: float | None, away: float) -> float | None:
    return None if left is None else left - away
