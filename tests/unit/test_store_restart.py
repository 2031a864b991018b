"""What rules have found out of a network, and what traffic adds to its own delay, survive a restart."""

import asyncio
import json
import sqlite3

from steerd.core.memory import BurdenMemory, Memory, RuleMemory
from steerd.core.settings import PolicyId
from steerd.store.database import NAME
from steerd.store.records import from_json, to_json
from steerd.store.store import Store
from tests.unit.driven import Driven, steady, stepped
from tests.unit.test_store import Clock, reopened, switched

DEFAULT = PolicyId("default")
RULES = (
    RuleMemory(
        DEFAULT, "last-sample", 125.5, {"quick": 240.1, "work-function": 1e-9, "last-sample": 0.0, "patient": 1 / 3}
    ),
    RuleMemory(PolicyId("voice"), "quick", 0.0, {"quick": 0.0}),
)
BURDENS = (BurdenMemory(DEFAULT, 58.25, 1.5e6, 600.0),)


def kept(path, memory, clock):
    store = Store(path, wall=clock)
    store.open()
    store.remember(memory)
    store.close()


def test_what_rules_and_traffic_have_taught_is_kept_exactly(tmp_path):
    clock = Clock()
    kept(tmp_path, Memory(rules=RULES, burdens=BURDENS), clock)
    assert reopened(tmp_path, clock)[1] == Memory(rules=RULES, burdens=BURDENS)


def test_while_steerd_is_down_the_leader_goes_on_leading_and_a_burden_grows_old(tmp_path):
    clock = Clock()
    kept(tmp_path, Memory(rules=RULES, burdens=BURDENS), clock)
    clock.at += 90.0
    memory = reopened(tmp_path, clock)[1]
    assert [one.leads_for for one in memory.rules] == [215.5, 90.0]
    assert [dict(one.costs) for one in memory.rules] == [dict(one.costs) for one in RULES]
    assert memory.burdens == (BurdenMemory(DEFAULT, 58.25, 1.5e6, 690.0),)


def test_an_engine_goes_on_with_what_the_one_before_it_had_found_out(tmp_path):
    before = Driven({"fra1/wg0": stepped(30.0, 60.0, 55.0), "ams1/wg0": steady(32.0)}).run(120.0)
    clock = Clock()
    memory = before.engine.memory(before.now)
    kept(tmp_path, memory, clock)
    again = reopened(tmp_path, clock)[1]
    assert again == memory
    rule = Driven(before.delays, memory=again).policy().rule
    assert rule == before.policy().rule
    assert rule.costs["patient"] > rule.costs["quick"]


def test_a_memory_of_version_0_1_loads(tmp_path):
    clock = Clock()
    kept(tmp_path, Memory(), clock)
    old = {"kind": "Memory", "pins": [], "drains": [{"kind": "DrainMemory", "pop": "ams1", "left": None,
           "origin": "operator"}], "holds": [], "sizes": []}  # fmt: skip
    with sqlite3.connect(tmp_path / NAME) as db:
        row = json.dumps({"wall_ms": int(clock.at * 1000), "memory": old})
        db.execute("UPDATE meta SET value = ? WHERE key = 'memory'", (row,))
    db.close()
    memory = reopened(tmp_path, clock)[1]
    assert [one.pop for one in memory.drains] == ["ams1"]
    assert memory.rules == memory.burdens == ()
    assert from_json(to_json(memory)) == memory


def test_a_decision_is_found_by_its_id(tmp_path):
    clock = Clock()
    store = Store(tmp_path, wall=clock)
    store.open()
    for n in (1, 2, 21):
        store.decided(switched(n), int(clock.at * 1000) + n)
    store.traced("7-2", int(clock.at * 1000) + 2, {"verdict": "v"})

    async def ask(*ids):
        return [await store.decision(id_) for id_ in ids]

    one, two, none, odd = asyncio.run(ask("7-1", "7-2", "7-3", '"%_'))
    assert (one["event_id"], one["trace"], one["wall_ms"]) == ("7-1", None, 1_000_000_001)
    assert (two["event_id"], two["trace"]) == ("7-2", {"verdict": "v"})
    assert none is odd is None
    store.close()
    assert asyncio.run(ask("7-1")) == [None]
