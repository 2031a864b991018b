"""What goes wrong at a boundary ends there, is counted, and is said now and then."""

import asyncio
import logging
import socket
import time
from itertools import pairwise

import pytest

from steerd import faults
from steerd.core.effects import Fact, Switched
from steerd.core.engine import Engine
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import Reason
from steerd.daemon.driver import Driver
from steerd.daemon.tasks import Tasks
from steerd.faults import Boundary, Reader, watch_over
from steerd.status.stream import Stream
from steerd.text.seldom import Seldom
from steerd.web.metrics import Metrics

SWITCHED = Switched("1-1", PolicyId("p"), None, PathId("a"), Reason.START, 0.0, "first", {}, {}, {})


def fail(*_):
    raise KeyError("nobody expected this")


def test_the_same_is_said_once_in_a_while_and_then_with_how_often_it_was():
    times = iter((100.0, 101.0, 159.0, 160.0, 161.0, 161.0))
    seldom = Seldom(60.0, lambda: next(times))
    assert [seldom.said("kind") for _ in range(5)] == [0, None, None, 2, None]
    assert seldom.said("another kind") == 0


def test_an_exception_ends_at_a_boundary_is_counted_and_logged_once(caplog):
    boundary, before = Boundary("kettle"), faults.counts["kettle"]
    for _ in range(1000):
        with boundary:
            fail()
    assert faults.counts["kettle"] == before + 1000
    assert len(caplog.records) == 1
    assert "kettle" in caplog.text
    assert "nobody expected this" in caplog.text


def test_what_cannot_even_be_said_is_no_fault_of_its_own(monkeypatch):
    def no_memory(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(logging.getLogger("steerd"), "error", no_memory)
    with Boundary("kettle"):
        fail()


def test_a_reader_that_cannot_even_say_so_rests(monkeypatch):
    calls = []

    def no_memory(*_args, **_kwargs):
        calls.append(1)
        raise MemoryError

    async def main():
        loop = asyncio.get_running_loop()
        watch_over(loop)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            monkeypatch.setattr(logging.getLogger("steerd"), "error", no_memory)
            monkeypatch.setattr(Seldom, "said", no_memory)
            reader = Reader(Boundary("kettle"), loop, ours.fileno(), no_memory)
            theirs.send(b"x")
            await asyncio.sleep(0.3)
            reader.close()

    asyncio.run(main())
    assert len(calls) == 2  # it read once, and tried to say so once


def test_what_ends_a_program_or_a_task_passes_every_boundary():
    for one in (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
        with pytest.raises(one), Boundary("kettle"):
            raise one


def test_a_listener_that_always_fails_does_not_fill_the_log(caplog):
    facts, heard = Stream(), []
    facts.listen(Switched, fail)
    facts.listen(Fact, heard.append)
    for _ in range(500):
        facts.tell(SWITCHED)
    assert len(heard) == 500
    assert len(caplog.records) == 1


def test_a_task_that_fails_begins_again_after_a_pause_that_grows(caplog):
    began = []

    async def work():
        began.append(time.monotonic())
        if len(began) < 5:
            fail()

    asyncio.run(Boundary("kettle").keep(work, pause=0.02))
    pauses = [after - before for before, after in pairwise(began)]
    assert len(began) == 5  # it came to its end, which is the end of it
    assert all(pause >= 0.02 * 2**n * 0.9 for n, pause in enumerate(pauses))
    assert len(caplog.records) == 1


def test_the_daemon_outlives_a_task_of_its_that_fails():
    async def run():
        tasks, goes_on = Tasks(), asyncio.Event()

        async def other():
            goes_on.set()

        async def broken():
            fail()

        tasks.keep("broken", broken)
        tasks.spawn(broken())
        await asyncio.sleep(0)
        tasks.keep("other", other)
        await asyncio.wait_for(goes_on.wait(), 5.0)
        assert not tasks.ending.is_set()
        await tasks.cancel()
        return tasks.failure

    assert asyncio.run(run()) is None


def driver(tasks):
    settings = Settings(paths=(PathSettings(PathId("a/w"), "a", "a"),), policies=(PolicySettings(PolicyId("p")),))
    return Driver(Engine(settings, Memory(), now=time.monotonic(), epoch=1, draw=lambda: 0.0), failed=tasks.failed)


def test_a_fault_of_the_engine_stops_the_daemon(monkeypatch):
    async def run():
        tasks = Tasks()
        broken = driver(tasks)
        monkeypatch.setattr(broken.engine, "feed", fail)
        with pytest.raises(KeyError):
            broken.feed(None)
        assert tasks.ending.is_set()
        return tasks.failure

    assert isinstance(asyncio.run(run()), KeyError)


def test_a_fault_of_the_stage_that_a_cadence_is_for_is_none_of_the_engine():
    async def run():
        tasks = Tasks()
        one = driver(tasks)
        one.on_cadence = fail
        one.feed(None)
        timed = one.engine.next_deadline()
        one.stop()
        assert not tasks.ending.is_set()
        return timed

    assert asyncio.run(run()) < float("inf")


def test_a_reader_that_fails_is_left_alone_for_a_moment_and_the_loop_does_not_spin(caplog):
    async def run():
        mine, theirs = socket.socketpair()
        tries = []

        def read():
            tries.append(1)
            fail()

        with mine, theirs:
            reader = Reader(Boundary("kettle"), asyncio.get_running_loop(), mine.fileno(), read)
            theirs.send(b"x")
            used = time.process_time()
            await asyncio.sleep(1.5)
            used = time.process_time() - used
            reader.close()
        return len(tries), used

    tries, used = asyncio.run(run())
    assert tries == 2
    assert used < 0.5
    assert len(caplog.records) == 1


def test_what_fails_in_the_loop_itself_is_logged_once(caplog):
    async def run():
        loop = asyncio.get_running_loop()
        watch_over(loop)
        for _ in range(50):
            loop.call_soon(fail)
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert len(caplog.records) == 1


def test_faults_are_counted_in_a_metric():
    with Boundary("kettle"):
        fail()
    from steerd.core.views import View
    from steerd.status.snapshot import Snapshot

    page = Metrics().render(Snapshot(View(0.0, 1, (), (), (), {}), gateway="gw1")).decode()
    assert f'steerd_faults_total{{part="kettle"}} {float(faults.counts["kettle"])}' in page
    assert "# TYPE steerd_faults_total counter" in page
