"""When traces are made, and what becomes of their processes: real ones, of a few lines."""

import asyncio
import json
import logging
import os
import sys
import time
from pathlib import Path

import pytest

from steerd.config.probe_settings import ProbePath, Target
from steerd.core.effects import Switched
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import Reason
from steerd.trace import tracer
from steerd.trace.request import Aim, Request, request
from steerd.trace.tracer import BusyError, TraceLimits, Tracer
from tests.lab.waiting import until_async

P, Q = PathId("fra1/wg0"), PathId("ams1/wg0")


def test_a_path_is_traced_once_in_ten_minutes():
    limits = TraceLimits()
    assert limits.take(P, 1000.0)
    assert not limits.take(P, 1599.0)
    assert limits.take(Q, 1599.0)
    assert limits.take(P, 1601.0)


def test_six_traces_an_hour():
    limits = TraceLimits()
    assert [limits.take(f"p{n}", float(n)) for n in range(8)] == [True] * 6 + [False] * 2
    assert not limits.take("p7", 3599.0)
    assert limits.take("p7", 3600.0)  # an hour after the first
    assert not limits.take("p8", 3600.5)
    assert limits.take("p8", 3601.0)


def asked_for(path: str) -> Request:
    return Request(path, "wg0", 0x81000000, "icmp", 0, 0, (Aim(4, "192.0.2.1"), Aim(6, "2001:db8::1", "2001:db8::2")))


def test_a_request_survives_the_way_to_the_process():
    assert Request.from_json(asked_for(P).to_json()) == asked_for(P)


def test_a_request_names_numeric_targets_only():
    targets = (Target(4, "192.0.2.1"), Target(6, "", "fra1.example"), Target(6, "", "x", "::2"))
    path = ProbePath(P, "fra1", "wg0", 0x81000000, targets, 1.0, 1.0, "tcp", 443, dscp=46)
    found = request(path, ["192.0.2.1", "fra1.example", "2001:DB8:0::1"])
    assert found == Request(P, "wg0", 0x81000000, "tcp", 443, 46, (Aim(4, "192.0.2.1"), Aim(6, "2001:db8::1", "::2")))


def switched(n: int, reason: Reason = Reason.DOWN, old: PathId | None = P, at: float | None = None) -> Switched:
    return Switched(
        f"7-{n}", PolicyId("p"), old, Q, reason, time.monotonic() if at is None else at, "forced", {}, {}, {}
    )


ANSWER = "import json, sys; print(json.dumps({'path': json.load(sys.stdin)['path'], 'verdict': 'v', 'error': None}))"
SLEEP = """
import os, subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {other.pid}")
time.sleep(60)
"""


def process(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


class Kept:
    """A tracer, and what it handed on."""

    def __init__(self, command: list[str]) -> None:
        self.records: list[tuple[str, dict]] = []
        self.tracer = Tracer(asked_for, lambda event_id, record: self.records.append((event_id, record)), command)

    async def settled(self) -> None:
        await until_async(lambda: self.tracer.path is None)


def test_a_path_that_had_to_be_left_is_traced_once_for_all_its_decisions():
    async def scene() -> Kept:
        kept = Kept(process(ANSWER))
        began = time.monotonic()
        kept.tracer.switched(switched(1, at=began - 1.0), began)
        kept.tracer.switched(switched(2, at=began - 0.5), began)  # another policy left it too
        kept.tracer.switched(switched(3, old=Q), began)  # nothing waits
        await kept.settled()
        kept.tracer.switched(switched(4), began + 599.0)
        assert kept.tracer.path is None
        kept.tracer.switched(switched(5), began + 601.0)
        await kept.settled()
        return kept

    kept = asyncio.run(scene())
    assert [(event_id, record["path"], record["verdict"]) for event_id, record in kept.records] == [
        ("7-1", P, "v"),
        ("7-2", P, "v"),
        ("7-5", P, "v"),
    ]
    assert kept.records[0][1]["after_s"] == pytest.approx(kept.records[1][1]["after_s"] + 0.5, abs=0.01)
    assert kept.records[0][1]["after_s"] > 1.0


@pytest.mark.parametrize(
    "what",
    [
        *(switched(1, reason) for reason in Reason if reason not in {Reason.DOWN, Reason.BETTER}),
        switched(1, Reason.BETTER, old=None),
    ],
)
def test_what_was_planned_is_not_traced(what):
    kept = Kept(process(ANSWER))
    kept.tracer.switched(what, 1.0)  # without a running loop a task could not even begin
    assert kept.tracer.path is None


def test_the_request_reaches_the_process_and_its_record_comes_back():
    echo = process(
        "import json, os, sys; print(json.dumps({'got': json.load(sys.stdin), 'cache': os.environ['XDG_CACHE_HOME']}))"
    )

    async def scene() -> list:
        return await Kept(echo).tracer.trace([asked_for(P), asked_for(Q)], within=100.0)

    one, two = asyncio.run(scene())
    assert one["got"] == json.loads(asked_for(P).to_json())
    assert two["got"]["path"] == Q
    assert one["cache"] == os.devnull


def test_one_at_a_time():
    async def scene() -> Kept:
        kept = Kept(process(ANSWER))
        work = asyncio.create_task(kept.tracer.trace([asked_for(P)], 100.0))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match=f"another trace is being made, of {P}"):
            await kept.tracer.trace([asked_for(Q)], 100.0)
        kept.tracer.switched(switched(1), 1.0)
        assert kept.tracer.path == P
        await work
        kept.tracer.switched(switched(2), 2.0)  # the first one did not count
        await kept.settled()
        return kept

    assert [event_id for event_id, _ in asyncio.run(scene()).records] == ["7-2"]


def test_no_trace_is_begun_that_could_outlast_its_time():
    async def scene() -> list:
        return await Kept(process(ANSWER)).tracer.trace([asked_for(P), asked_for(Q)], within=tracer.LIMIT + 0.01)

    one, two = asyncio.run(scene())
    assert one["verdict"] == "v"
    assert "no time was left" in two["error"]


def alive(file: Path) -> int:
    """How many of the two processes run, apart from what only waits to be reaped."""
    stats = [Path(f"/proc/{pid}/stat") for pid in file.read_text().split()]
    return sum(stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z" for stat in stats)


def gone(file: Path) -> bool:
    """Whether neither runs any more, within the moment that the kernel takes to end the second one."""
    for _ in range(200):
        if not alive(file):
            return True
        time.sleep(0.01)
    return False


def test_who_stops_waiting_leaves_no_process(tmp_path):
    file = tmp_path / "pid"

    async def scene(end) -> None:
        kept = Kept(process(SLEEP, str(file)))
        await end(kept)
        assert gone(file)
        assert kept.tracer.path is None
        file.unlink()

    async def started() -> None:
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if file.exists() and file.read_text():
                return

    async def cancelled(kept: Kept) -> None:
        work = asyncio.create_task(kept.tracer.trace([asked_for(P)], 100.0))
        await started()
        assert alive(file) == 2
        work.cancel()
        await asyncio.wait([work])

    async def closed(kept: Kept) -> None:
        kept.tracer.switched(switched(1), 1.0)
        await started()
        await kept.tracer.close()

    asyncio.run(scene(cancelled))
    asyncio.run(scene(closed))


def test_a_process_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(tracer, "LIMIT", 0.5)
    file = tmp_path / "pid"

    async def scene() -> list:
        return await Kept(process(SLEEP, str(file))).tracer.trace([asked_for(P)], 100.0)

    (record,) = asyncio.run(scene())
    assert record["error"] == "it took longer than 0 s"
    assert gone(file)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (process("raise SystemError('gone wrong')"), "its process ended with 1: SystemError: gone wrong"),
        (process("import os; os.kill(os.getpid(), 9)"), "its process ended with -9"),
        (process("print('nonsense')"), "its process ended with 0"),
        (process("print('[]')"), "its process ended with 0"),
        (["/nowhere/python"], "its process cannot be started: No such file or directory"),
        (process('print(\'{"error": "icmplib is missing"}\')'), "icmplib is missing"),
    ],
)
def test_a_trace_that_fails_is_said_once_and_harms_nothing(command, said, caplog):
    caplog.set_level(logging.DEBUG, logger="steerd.trace.tracer")

    async def scene() -> Kept:
        kept = Kept(command)
        for n, path in enumerate((P, Q)):
            kept.tracer.switched(switched(n, old=path), 1.0)
            await kept.settled()
        return kept

    assert asyncio.run(scene()).records == []
    assert [(one.levelname, one.message) for one in caplog.records if one.name == "steerd.trace.tracer"] == [
        ("WARNING", f"no trace of {P}: {said}"),
        ("DEBUG", f"no trace of {Q}: {said}"),
    ]
