"""A clock that is wrong deletes nothing: neither at a start nor while the daemon runs."""

import asyncio
import os
import time

from steerd.core.settings import Settings
from steerd.store.database import Limits
from steerd.store.recording import AGE_MAX
from steerd.store.sober import BELIEVED_AFTER, LEAP, SoberClock
from steerd.store.store import Store
from tests.unit.test_store import MEMORY, Clock, kept, reopened, switched

YEAR = 365 * 86_400.0
DAY = 86_400.0


def history(store: Store) -> int:
    return len(asyncio.run(store.history(100 * YEAR, 1000)))


def test_a_start_a_year_ahead_deletes_nothing_neither_at_once_nor_when_it_is_repeated(tmp_path):
    clock = Clock(at=time.time())
    old = tmp_path / "recording-1.jsonl.gz"
    old.write_bytes(b"of an earlier run")
    store = Store(tmp_path, wall=clock)
    store.open()
    store.decided(switched(1), int(clock.at * 1000))
    store.remember(MEMORY)
    store.close()
    clock.at += YEAR
    for run in range(3):
        store = Store(tmp_path, record=True, wall=clock)
        found = store.open().memory
        assert found.pins == MEMORY.pins
        assert [(one.pop, round(one.left or 0.0)) for one in found.drains] == [("ams1", 3600), ("nyc1", 60)]
        store.begin(settings=Settings(), memory=found, seed=1, epoch=10 + run, now=0.0)
        for n in range(250):  # more than make it prune
            store.decided(switched(n), int(clock.at * 1000))
        store.remember(found)
        assert history(store) > 250
        store.close()
        clock.at += 60.0
    clock.at -= YEAR
    assert len(reopened(tmp_path, clock)[1].drains) == 2
    store.open()
    assert history(store) == 751
    store.close()
    assert old.exists()


def test_after_a_day_with_a_clock_that_leapt_it_is_believed():
    wall, monotonic = Clock(), Clock(0.0)
    sober = SoberClock(wall, monotonic)
    assert sober() == wall.at
    for clock in (wall, monotonic):
        clock.at += 10 * DAY  # it was not asked for long
    assert sober() == wall.at
    wall.at += LEAP + 1.0
    assert sober() == wall.at - LEAP - 1.0
    for clock in (wall, monotonic):
        clock.at += BELIEVED_AFTER - 1.0
    assert sober() == wall.at - LEAP - 1.0
    monotonic.at += 1.0
    assert sober() == wall.at
    wall.at -= YEAR
    assert sober() == wall.at


def test_who_was_away_for_some_days_deletes_what_is_too_old(tmp_path):
    clock = Clock()
    store = Store(tmp_path, wall=clock, limits=Limits(days=1.0))
    store.open()
    store.decided(switched(1), int(clock.at * 1000))
    store.remember(MEMORY)
    store.close()
    clock.at += 2 * DAY
    found = store.open().memory
    assert found.drains == ()
    assert history(store) == 0
    store.close()


def test_recordings_go_at_their_age_though_the_clock_was_ahead_when_the_daemon_began(tmp_path):
    clock = Clock(at=time.time() + YEAR)
    store = Store(tmp_path, record=True, wall=clock)
    store.open()
    store.begin(settings=Settings(), memory=MEMORY, seed=1, epoch=1, now=0.0)
    store.decided(switched(1), int(clock.at * 1000))
    for _ in range(2):  # the second answer comes after the thread has begun its recording
        assert history(store) == 1
    old = tmp_path / "recording-0.jsonl.gz"
    old.write_bytes(b"of an earlier run")
    os.utime(old, (clock.at - YEAR - 2 * AGE_MAX,) * 2)
    clock.at -= YEAR
    for n in range(2, 5):
        store.decided(switched(n), int(clock.at * 1000))
        history(store)
    store.close()
    assert not old.exists()


def test_traces_from_when_the_clock_was_ahead_keep_no_later_one_out(tmp_path):
    clock = Clock(at=time.time())
    store = Store(tmp_path, wall=clock, limits=Limits(traces=5))
    store.open()
    for n in range(10):
        if n == 5:
            clock.at -= YEAR
        store.decided(switched(n), int(clock.at * 1000))
        store.traced(f"7-{n}", int(clock.at * 1000), {"verdict": "fine"})
    assert sorted(kept(store, tmp_path)) == [f"7-{n}" for n in range(5, 10)]
    store.close()
