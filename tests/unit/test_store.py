"""The store: what survives a restart, and that nothing it meets stops steering."""

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from random import Random

import pytest

from steerd.core.effects import Switched
from steerd.core.engine import Engine
from steerd.core.events import Outcome, Probed
from steerd.core.memory import DrainMemory, HoldMemory, Memory, PinMemory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import Reason
from steerd.store.database import NAME, Limits
from steerd.store.recording import AGE_MAX, Recording, read
from steerd.store.records import RecordError
from steerd.store.store import Store

P, Q = PathId("fra1/wg0"), PathId("ams1/wg0")
MEMORY = Memory(
    pins=(PinMemory(PolicyId("default"), "fra1", hard=True, left=None, origin="operator"),),
    drains=(DrainMemory("ams1", 3600.0, "operator"), DrainMemory("nyc1", 60.0, "operator")),
    holds=(HoldMemory(P, length=8.0, age=5.0, left=20.0),),
)


def switched(n: int) -> Switched:
    return Switched(
        f"7-{n}", PolicyId("default"), P, Q, Reason.BETTER, 12.5, "regret",
        {P: {"rtt": 30.0, "total": 31.0}}, {P: "drained"}, {"gain": 4.0},
    )  # fmt: skip


class Clock:
    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def reopened(path: Path, clock: Clock) -> tuple[int, Memory]:
    store = Store(path, wall=clock)
    state = store.open()
    store.close()
    return state.epoch, state.memory


def test_the_epoch_always_grows(tmp_path):
    clock = Clock()
    assert reopened(tmp_path, clock)[0] == 1_000_000
    assert reopened(tmp_path, clock)[0] == 1_000_001
    clock.at = 5.0  # the clock lost its battery
    assert reopened(tmp_path, clock)[0] == 1_000_002
    clock.at = 2_000_000.0
    assert reopened(tmp_path, clock)[0] == 2_000_000


def test_what_runs_out_goes_on_running_out_while_steerd_is_down(tmp_path):
    clock = Clock()
    store = Store(tmp_path, wall=clock)
    assert store.open().memory == Memory()
    store.remember(Memory())
    store.remember(MEMORY)
    store.close()
    clock.at += 90.0
    assert reopened(tmp_path, clock)[1] == Memory(
        pins=MEMORY.pins,
        drains=(DrainMemory("ams1", 3510.0, "operator"),),
        holds=(HoldMemory(P, length=8.0, age=95.0, left=0.0),),
    )
    clock.at -= 500.0
    assert reopened(tmp_path, clock)[1] == MEMORY


def test_decisions_come_back_newest_first(tmp_path):
    clock = Clock()
    store = Store(tmp_path, wall=clock)
    store.open()
    for n in range(10):
        store.decided(switched(n), int(clock.at * 1000) - (9 - n) * 60_000)

    async def ask(since: float, limit: int) -> list[str]:
        return [row["event_id"] for row in await store.history(since, limit)]

    assert asyncio.run(ask(3600, 3)) == ["7-9", "7-8", "7-7"]
    assert asyncio.run(ask(90, 100)) == ["7-9", "7-8"]
    row = asyncio.run(store.history(1, 1))[0]
    assert (row["wall_ms"], row["old"], row["evidence"]) == (1_000_000_000, P, {P: {"rtt": 30.0, "total": 31.0}})
    store.close()
    assert asyncio.run(ask(3600, 3)) == []


def test_decisions_are_bounded_by_number_and_age(tmp_path):
    clock = Clock()
    store = Store(tmp_path, wall=clock, limits=Limits(decisions=20, days=1.0))
    store.open()
    for n in range(100):
        store.decided(switched(n), int(clock.at * 1000))
    store.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        assert 20 <= db.execute("SELECT count(*) FROM decisions").fetchone()[0] <= 40
    db.close()
    clock.at += 100_000.0
    store.open()
    store.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        assert db.execute("SELECT count(*) FROM decisions").fetchone()[0] == 0
    db.close()


def test_when_packets_went_wrong_comes_back_newest_first_bounded_by_number_and_age(tmp_path):
    clock = Clock()
    store = Store(tmp_path, wall=clock, limits=Limits(notes=5, days=1.0))
    store.open()
    for n in range(20):
        store.packets(int(clock.at * 1000), "users", f"why {n}", None if n % 2 else 1.5)
    newest, before, *rest = asyncio.run(store.notes("packets", 60, 100))
    assert (newest["why"], newest["lasted"], before["lasted"], len(rest)) == ("why 19", None, 1.5, 3)
    assert newest["wall_ms"] == int(clock.at * 1000)
    clock.at += 100_000.0
    store.packets(int(clock.at * 1000), "users", "later")
    assert [one["why"] for one in asyncio.run(store.notes("packets", 1e9, 100))] == ["later"]
    store.close()


def test_traces_are_kept_with_their_decisions_and_go_with_them(tmp_path):
    clock = Clock()
    store = Store(tmp_path, wall=clock, limits=Limits(decisions=20, traces=5, days=1.0))
    store.open()
    for n in range(4):
        store.decided(switched(n), int(clock.at * 1000))
        if n % 2:
            store.traced(f"7-{n}", int(clock.at * 1000) + 2000, {"verdict": f"it was {n}"})

    async def ask() -> tuple[list, object, object]:
        rows = [(row["event_id"], (row["trace"] or {}).get("verdict")) for row in await store.history(60, 9)]
        return rows, await store.trace("7-1"), await store.trace("7-2")

    rows, one, two = asyncio.run(ask())
    assert rows == [("7-3", "it was 3"), ("7-2", None), ("7-1", "it was 1"), ("7-0", None)]
    assert (one, two) == ({"verdict": "it was 1"}, None)
    for n in range(10, 20):
        clock.at += 1
        store.decided(switched(n), int(clock.at * 1000))
        store.traced(f"7-{n}", int(clock.at * 1000), {"verdict": "later"})
    assert kept(store, tmp_path) == [f"7-{n}" for n in range(15, 20)]
    clock.at += 100
    for n in range(20, 60):
        store.decided(switched(n), int(clock.at * 1000))
    assert kept(store, tmp_path) == []
    store.traced("7-59", int(clock.at * 1000), {"verdict": "last"})
    assert kept(store, tmp_path) == ["7-59"]
    store.close()
    assert asyncio.run(store.trace("7-59")) is None
    clock.at += 100_000.0
    store.open()
    assert kept(store, tmp_path) == []
    store.close()


def kept(store: Store, folder: Path) -> list[str]:
    for _ in range(2):  # waits for the thread: the second answer comes after the first one's transaction has ended
        asyncio.run(store.history(1, 1))
    with sqlite3.connect(folder / NAME) as db:
        found = [row[0] for row in db.execute("SELECT event_id FROM traces ORDER BY wall_ms")]
    db.close()
    return found


def test_a_full_disk_is_survived_and_said_once(tmp_path, caplog):
    store = Store(tmp_path, wall=Clock(), limits=Limits(size=64 << 10))
    store.open()
    for n in range(2000):
        store.decided(switched(n), 1)
        if n % 200 == 0:
            asyncio.run(store.history(1e9, 1))  # waits for the thread
    store.remember(MEMORY)
    store.close()
    assert store.lost > 0
    assert len([one for one in caplog.records if "cannot write" in one.message]) == 1
    assert reopened(tmp_path, Clock())[0] == 1_000_001


@pytest.mark.parametrize("content", [b"not a database, this" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_broken_file_is_moved_aside(tmp_path, content, caplog):
    (tmp_path / NAME).write_bytes(content)
    store = Store(tmp_path, wall=Clock())
    assert store.open().epoch == 1_000_000
    store.decided(switched(1), 1_000_000_000)
    assert len(asyncio.run(store.history(10, 10))) == 1
    store.close()
    assert (tmp_path / f"{NAME}.broken").read_bytes() == content
    assert "broken" in caplog.text
    assert reopened(tmp_path, Clock())[0] == 1_000_001


def test_a_file_that_breaks_while_in_use_is_replaced(tmp_path, caplog):
    store = Store(tmp_path, wall=Clock())
    store.open()
    for n in range(300):
        store.decided(switched(n), 1_000_000_000)
    asyncio.run(store.history(10, 1))
    store.close()
    with (tmp_path / NAME).open("r+b") as file:  # the pages behind the first: opening still works
        file.seek(4096)
        file.write(os.urandom(file.seek(0, os.SEEK_END) - 4096))
    store = Store(tmp_path, wall=Clock())
    store.open()
    store.remember(MEMORY)
    store.close()
    assert reopened(tmp_path, Clock())[1] == MEMORY


def test_without_a_usable_folder_it_works_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "below", record=True, wall=Clock())
    assert store.open().epoch == 1_000_000
    store.begin(settings=Settings(), memory=Memory(), seed=1, epoch=1, now=0.0)
    store.record(Probed(P, Outcome.REPLY, 1.0), 1.0)
    store.remember(MEMORY)
    store.decided(switched(1), 1_000_000_000)
    assert len(asyncio.run(store.history(10, 10))) == 1
    store.close()
    assert "nothing will survive" in caplog.text


def test_memory_that_is_not_understood_is_left(tmp_path):
    reopened(tmp_path, Clock())
    for body in (
        '{"wall_ms": 1}',
        '{"wall_ms": "x", "memory": {"kind": "Memory"}}',
        "[]",
        '{"memory": 5, "wall_ms": 1}',
        "x",
    ):
        with sqlite3.connect(tmp_path / NAME) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('memory', ?)", (body,))
        db.close()
        assert reopened(tmp_path, Clock())[1] == Memory()


EVENTS = [(n / 100, Probed(P, Outcome.REPLY, n / 100 - 0.03, 0.03)) for n in range(5000)]


def recorded(path: Path, epoch: int = 7) -> Path:
    store = Store(path, record=True, wall=Clock())
    store.open()
    store.record(*EVENTS[0][::-1])  # before the header: not part of the run
    settings = Settings(paths=(PathSettings(P, "fra1", "u"),))
    store.begin(settings=settings, memory=MEMORY, seed=42, epoch=epoch, now=0.5)
    for now, event in EVENTS:
        store.record(event, now)
    store.close()
    return path / f"recording-{epoch}.jsonl.gz"


def test_a_recording_holds_all_events_and_what_the_engine_began_with(tmp_path):
    header, events = read(recorded(tmp_path))
    assert header.settings == Settings(paths=(PathSettings(P, "fra1", "u"),))
    assert (header.memory, header.seed, header.epoch, header.now) == (MEMORY, 42, 7, 0.5)
    assert list(events) == EVENTS


def test_a_recording_replays_exactly(tmp_path):
    settings = Settings(
        paths=tuple(PathSettings(path, path.partition("/")[0], path) for path in (P, Q)),
        policies=(PolicySettings(PolicyId("default")),),
    )
    store = Store(tmp_path, record=True, wall=Clock())
    memory = store.open().memory
    store.begin(settings=settings, memory=memory, seed=42, epoch=7, now=0.0)
    engine = Engine(settings, memory, now=0.0, epoch=7, draw=Random(42).random)
    world, effects = Random(1), []
    for n in range(1, 2000):
        now = n / 10
        path = P if n % 2 else Q
        good = world.random() < (0.3 if path == P and 600 < n < 900 else 0.99)
        outcome = Outcome.REPLY if good else Outcome.OVERDUE
        event = Probed(path, outcome, now - 0.04, 0.04 if (path == P) == (n < 1200) else 0.02)
        store.record(event, now)
        effects += engine.feed(event, now)
    store.close()
    header, events = read(tmp_path / "recording-7.jsonl.gz")
    again = Engine(header.settings, header.memory, now=header.now, epoch=header.epoch, draw=Random(header.seed).random)
    assert [effect for now, event in events for effect in again.feed(event, now)] == effects
    assert any(isinstance(effect, Switched) for effect in effects)


def test_a_recording_cut_off_by_a_crash_keeps_its_whole_batches(tmp_path):
    file = recorded(tmp_path)
    file.write_bytes(file.read_bytes()[:-10])
    kept = list(read(file)[1])
    assert kept == EVENTS[: len(kept)]
    assert len(kept) > 4900


def test_a_recording_is_bounded(tmp_path):
    header, _ = read(recorded(tmp_path))
    small = Recording(tmp_path, header, run_max=3000, total_max=6000)
    small.append(EVENTS[:10])
    with pytest.raises(OSError, match="greatest size"):
        small.append([(now * 1.1, event) for now, event in EVENTS])
    small.close()
    assert list(read(tmp_path / "recording-7.jsonl.gz")[1]) == EVENTS[:10]
    for epoch in range(10, 16):
        recorded(tmp_path, epoch)
    size = (tmp_path / "recording-15.jsonl.gz").stat().st_size
    Recording(tmp_path, header, run_max=size, total_max=3 * size + 9).close()
    assert len(list(tmp_path.glob("recording-*"))) == 3


def test_recordings_grow_old_while_the_daemon_runs(tmp_path):
    clock = Clock(at=time.time())
    store = Store(tmp_path, record=True, wall=clock)
    store.open()
    old = recorded(tmp_path, epoch=5)
    store.remember(MEMORY)
    kept(store, tmp_path)
    assert old.exists()
    for _ in range(3):
        clock.at += AGE_MAX / 3 + 60.0
        store.remember(MEMORY)
        kept(store, tmp_path)
    store.close()
    assert not old.exists()


@pytest.mark.parametrize("content", [b"", b"time_s,path,rtt_ms\n", b"\x1f\x8b\x08\x00"])
def test_what_is_no_recording(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises((RecordError, OSError)):
        read(tmp_path / "x")


def test_no_recording_unless_asked_for(tmp_path):
    store = Store(tmp_path, wall=Clock())
    store.open()
    store.begin(settings=Settings(), memory=Memory(), seed=1, epoch=1, now=0.0)
    store.record(EVENTS[0][1], 1.0)
    store.close()
    assert not list(tmp_path.glob("recording-*"))


def test_addresses_of_named_targets_survive_and_what_is_no_address_list_is_left(tmp_path):
    store = Store(tmp_path)
    assert store.open().addresses == {}
    store.remember(Memory(), {("fra1.example.net", 4): "192.0.2.1", ("fra1.example.net", 6): "2001:db8::1"})
    store.close()
    store = Store(tmp_path)
    assert store.open().addresses == {("fra1.example.net", 4): "192.0.2.1", ("fra1.example.net", 6): "2001:db8::1"}
    store.close()
    database = sqlite3.connect(tmp_path / "steerd.db")
    database.execute("UPDATE meta SET value = '[[1], 2]' WHERE key = 'addresses'")
    database.commit()
    database.close()
    store = Store(tmp_path)
    assert store.open().addresses == {}
    store.close()
