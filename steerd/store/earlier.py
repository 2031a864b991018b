"""What an earlier run left in the store, and what of it still holds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from steerd.core.memory import DrainMemory, Memory, PinMemory
from steerd.store.database import Database
from steerd.store.records import RecordError, from_json
from steerd.store.sober import SoberClock

BELIEVED: Final = "believed"
"""Under which key the sober clock's time is kept, in seconds."""

Addresses = Mapping[tuple[str, int], str]

_Order = TypeVar("_Order", PinMemory, DrainMemory)


@dataclass(frozen=True, slots=True)
class StoredState:
    """What an earlier run left. `epoch` is this run's: greater than any before it. `addresses` are those of targets
    that are names, by name and family; `orders` the signed ones, by topic; `counts` those of uplinks, by name, as they
    were given."""

    epoch: int
    memory: Memory
    addresses: Addresses = field(default_factory=dict)
    orders: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)


def read(database: Database, wall: float, sober: SoberClock, failed: Callable[[Exception], None]) -> StoredState:
    """The stored state, as far as it can be read; stores this run's epoch, from this Unix time in seconds. What runs
    out does so by the sober clock."""
    found = StoredState(int(wall), Memory())
    try:
        stored = database.get("epoch")
        found = replace(found, epoch=max(stored + 1 if isinstance(stored, int) else 0, found.epoch))
        database.put("epoch", found.epoch)
        believed = database.get(BELIEVED)
        if isinstance(believed, int | float):
            sober.resume(believed)
        found = replace(found, memory=_aged(database.get("memory"), sober()))
        found = replace(found, addresses=_addresses(database.get("addresses")))
        found = replace(found, orders=_orders(database.get("orders")))
        counts = database.get("counts")
        found = replace(found, counts=counts if isinstance(counts, dict) else {})
        database.prune()
        database.commit()
    except Exception as error:  # noqa: BLE001 (whatever was on the disk: what was read until then counts)
        failed(error)
    return found


def _addresses(stored: Any) -> Addresses:
    try:
        return {(str(name), int(family)): str(address) for name, family, address in stored}
    except (TypeError, ValueError):
        return {}


def _orders(stored: Any) -> Mapping[str, str]:
    kept = stored if isinstance(stored, dict) else {}
    return {topic: payload for topic, payload in kept.items() if isinstance(payload, str)}


def _aged(stored: Any, wall: float) -> Memory:
    """The memory as it is now: what expires went on expiring while steerd was down, unless the clock went backwards."""
    try:
        memory = from_json(stored["memory"])
        away = max(0.0, wall - stored["wall_ms"] / 1000)
    except (RecordError, KeyError, TypeError, ValueError, OverflowError):
        return Memory()
    if not isinstance(memory, Memory):
        return Memory()
    return Memory(
        pins=_still_valid(memory.pins, away),
        drains=_still_valid(memory.drains, away),
        holds=tuple(replace(hold, age=hold.age + away, left=max(0.0, hold.left - away)) for hold in memory.holds),
        sizes=memory.sizes,
        overruled=memory.overruled,
        rules=tuple(replace(one, leads_for=one.leads_for + away) for one in memory.rules),
        burdens=tuple(replace(one, age=one.age + away) for one in memory.burdens),
    )


def _still_valid(orders: Iterable[_Order], away: float) -> tuple[_Order, ...]:
    """Those that did not expire meanwhile; None is left of one that never does."""
    left = ((one, None if one.left is None else one.left - away) for one in orders)
    return tuple(replace(one, left=now) for one, now in left if now is None or now > 0.0)
