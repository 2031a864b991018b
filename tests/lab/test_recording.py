"""The real daemon records; replaying that makes the same decisions, and it makes a trace of what was probed."""

import asyncio
import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.core.effects import Switched
from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from steerd.replay.recorded import effects
from steerd.store.recording import read
from steerd.store.records import to_json
from steerd.store.store import Store
from tests.lab.test_daemon import FILE, ask, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

SAME = ("event_id", "reason", "rule", "at")
STORE = Path("/run/steerd-lab/store")


def choice(world: World) -> Any:
    return status(world)["policies"][0]["choice"]


def up(world: World, pop: str) -> bool:
    return any(path["pop"] == pop and path["state"] == "up" for path in status(world)["paths"])


def steerd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "steerd.cli.steerd", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def decided() -> Any:
    """What the store has kept of all runs, oldest first."""

    async def history() -> Any:
        return (await store.history(3600.0, 1000))[::-1]

    store = Store(STORE)
    store.open()
    try:
        return asyncio.run(history())
    finally:
        store.close()


def replayed(file: Path) -> list[Any]:
    """The decisions of one recording, as the store has them: by way of JSON."""
    header, events = read(file)
    said = [json.loads(json.dumps(to_json(one))) for _, one in effects(header, events) if isinstance(one, Switched)]
    return [{**one, "trace": None, "wall_ms": None} for one in said]


def recorded() -> Any:
    """Two runs: an outage, a drain, a lost device and two reloads; then one that is killed."""
    found: dict[str, Any] = {}
    with World(rate=20) as world:
        config = world.gateway_config() + "\n"
        config = config.replace("[store]\n", "[store]\nrecord = true\n")
        daemon = start(world, config)
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        first = choice(world)
        world.pops["fra1"].set(dead=True)
        until(lambda: choice(world) == "ams1/tun-ams1")
        ask(world, "drain", "ams1")
        until(lambda: choice(world) == "par1/tun-par1")
        down = ["ip", "-n", "gw", "link", "set", "tun-par1"]
        subprocess.run([*down, "down"], check=True)
        until(lambda: choice(world) == "nyc1/tun-nyc1")
        subprocess.run([*down, "up"], check=True)
        time.sleep(1.0)  # the outage lasts longer than a probe's timeout, so that some are lost
        world.pops["fra1"].set(dead=False)
        FILE.write_text(config.replace("[route]", '[steer]\nignore_below = "1ms"\n\n[route]'))
        assert ask(world, "reload")[0] == 0
        FILE.write_text(config.replace("nyc1", "gone").replace("tun-gone", "tun-none"))
        assert ask(world, "reload")[0] == 0
        until(lambda: choice(world) != "nyc1/tun-nyc1")
        ask(world, "undrain", "ams1")
        daemon.terminate()
        daemon.wait(60)

        daemon = start(world, config)
        until(lambda: all(up(world, pop) for pop in ("ams1", "par1")))
        pinned = "ams1" if choice(world) == "par1/tun-par1" else "par1"
        ask(world, "pin", "users", pinned)
        until(lambda: choice(world) == f"{pinned}/tun-{pinned}")
        time.sleep(5.5)  # events are written every 5 s
        ask(world, "unpin", "users")
        ask(world, "drain", pinned)
        until(lambda: choice(world) != f"{pinned}/tun-{pinned}")
        time.sleep(0.5)
        daemon.kill()
        daemon.wait(60)

        files = sorted(STORE.glob("recording-*"))
        found["first"] = first
        found["decided"] = [{**one, "trace": None, "wall_ms": None} for one in decided()]
        found["replayed"] = [replayed(file) for file in files]
        told = steerd("replay", "--json", str(files[0]))
        found["json"] = json.loads(told.stdout)
        exported = steerd("export-trace", "-c", str(FILE), "-o", str(STORE / "t.csv.xz"))
        found["exported"] = [exported.returncode, exported.stderr]
        plain = steerd("export-trace", "-c", str(FILE))
        found["rows"] = list(csv.reader(plain.stdout.splitlines()))
        again = steerd("replay", "--json", str(STORE / "t.csv.xz"))
        found["again"] = json.loads(again.stdout)["summary"]["paths"]
    return found


def test_a_recording_replays_to_exactly_what_the_daemon_decided() -> None:
    found = run(f"{__name__}:recorded")
    whole, cut = found["replayed"]
    decided = found["decided"]
    first, second = (
        [one for one in decided if one["event_id"].split("-")[0] == epoch]
        for epoch in sorted({one["event_id"].split("-")[0] for one in decided})
    )
    assert whole == first
    assert {one["reason"] for one in first} >= {"start", "down", "drain", "absent"}
    assert {"policy", "better"} & {one["reason"] for one in first}
    told = [
        {"old": one["from"], "new": one["to"], **{name: one[name] for name in SAME}}
        for one in found["json"]["switches"]
    ]
    assert told == [{name: one[name] for name in ("old", "new", *SAME)} for one in first]

    assert cut == second[: len(cut)]
    assert cut  # how much of it was written before it was cut is the disk's to say

    assert found["exported"][0] == 0
    header, *rows = found["rows"]
    assert header == ["time_s", "path", "rtt_ms"]
    times = [float(row[0]) for row in rows]
    assert times == sorted(times)
    paths = {"fra1/tun-fra1", "ams1/tun-ams1", "par1/tun-par1", "nyc1/tun-nyc1"}
    assert {row[1] for row in rows} == set(found["again"]) == paths
    assert any(row[2] == "" for row in rows if row[1] == "fra1/tun-fra1")
    assert 15.0 < min(float(row[2]) for row in rows if row[2]) < 25.0
