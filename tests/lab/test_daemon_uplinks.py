"""The real daemon counts real packets against a cap: traffic leaves the uplink before that is reached, over restarts,
and returns after the reset."""

import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from steerd.store.store import Store
from tests.lab.test_daemon import FILE, ask, metric, start, status
from tests.lab.test_daemon_reload import text
from tests.lab.test_recording import STORE, decided, replayed
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

FAST, NEXT = "fra1/tun-fra1", "ams1/tun-ams1"
UPLINK = '[[uplink]]\nname = "tun-fra1"\ncap = "{}"\nresets = "1st"\n'


def choice(world: World) -> Any:
    return status(world)["policies"][0]["choice"]


def uplink(world: World) -> Any:
    return status(world)["uplinks"][0]


def carried(world: World, pop: str) -> None:
    """The users' packets are answered by this PoP alone, from now on."""
    began = time.monotonic()
    until(lambda: world.traffic.between(began).answered > 50)
    by_pop = world.traffic.between(began).by_pop
    assert set(by_pop) == {pop}, by_pop


def mostly(world: World) -> str:
    """The PoP that answers most of the users' packets now."""
    by_pop = world.traffic.between(time.monotonic() - 1.0).by_pop
    return max(by_pop, key=by_pop.__getitem__, default="")


def end(daemon: subprocess.Popen[Any]) -> None:
    daemon.terminate()
    daemon.wait(60)


def last_month() -> None:
    """What is kept is as if the count had begun a month ago: the next start is after the reset."""
    store = Store(STORE)
    found = store.open()
    before = (datetime.now(tz=UTC).replace(day=1) - timedelta(days=15)).replace(day=1).date().isoformat()
    counts = {name: {**one, "began": before} for name, one in found.counts.items()}
    store.remember(found.memory, found.addresses, found.orders, counts)
    store.close()


def capped() -> Any:
    found: dict[str, Any] = {}
    with World(rate=200) as world:
        config = world.gateway_config(tables=UPLINK.format("2MB")).replace("[store]\n", "[store]\nrecord = true\n")
        daemon = start(world, config)
        until(lambda: choice(world) == FAST)
        carried(world, "fra1")
        until(lambda: choice(world) == NEXT, 120.0)
        found["left"] = uplink(world)
        carried(world, "ams1")
        found["why"] = text(world, "why")[1]
        found["metric"] = metric('steerd_uplink_bytes_total{uplink="tun-fra1"}')
        daemon.kill()
        daemon.wait(60)

        daemon = start(world, config)
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        carried(world, "ams1")
        found["again"] = uplink(world)
        FILE.write_text(config.replace('cap = "2MB"', 'cap = "1.5MB"'))
        found["reload"] = text(world, "reload")[1]
        until(lambda: uplink(world)["state"] == "reached")
        found["reached"] = uplink(world)
        for pop in ("ams1", "par1", "nyc1"):
            world.pops[pop].set(dead=True)
        until(lambda: choice(world) == FAST)
        carried(world, "fra1")
        found["alone"] = [text(world, "status")[1], text(world, "why")[1]]
        for pop in ("ams1", "par1", "nyc1"):
            world.pops[pop].set(dead=False)
        until(lambda: choice(world) != FAST)
        until(lambda: choice(world) == NEXT)
        end(daemon)

        last_month()
        daemon = start(world, FILE.read_text())
        until(lambda: choice(world) == FAST)
        carried(world, "fra1")
        found["reset"] = uplink(world)
        found["history"] = ask(world, "history")[1]["uplinks"]
        found["told"] = text(world, "history")[1]
        end(daemon)
        files = sorted(STORE.glob("recording-*"))
        found["epochs"] = [file.name.removeprefix("recording-").partition(".")[0] for file in files]
        found["replayed"] = [replayed(file) for file in files]
        found["decided"] = [{**one, "trace": None, "wall_ms": None} for one in decided()]
    return found


def test_a_cap_moves_traffic_away_before_it_is_reached_and_back_after_the_reset_over_restarts() -> None:
    found = run(f"{__name__}:capped", timeout=400)
    assert found["left"]["state"] in ("near", "last-resort")
    assert 1_600_000 <= found["left"]["bytes"] < found["left"]["cap_bytes"] == 2_000_000
    assert found["left"]["paths"] == [FAST]
    assert found["left"]["bytes"] <= found["metric"] <= found["again"]["bytes"] < 2_000_000
    assert "tun-fra1 has carried 1." in found["why"]
    assert "for what its uplink costs" in found["why"]
    assert found["reload"] == 'reloaded:\n  uplink tun-fra1 cap: "2MB" -> "1.5MB"\n'
    assert found["reached"]["bytes"] >= found["again"]["bytes"]
    for said in found["alone"]:
        assert "nothing else is up" in said.replace("\n", " "), said
    assert found["reset"]["state"] == "open"
    assert [one["state"] for one in found["history"]] == ["reset", "reached", "near"]
    assert "tun-fra1 is counted anew from " in found["told"]

    cut, *whole = found["replayed"]
    by_epoch = [[one for one in found["decided"] if one["event_id"].startswith(f"{at}-")] for at in found["epochs"]]
    assert whole == by_epoch[1:]
    assert all(whole)
    assert cut == by_epoch[0][: len(cut)]


def pinned() -> Any:
    """Connections that never end stay where they began, but not until the cap is reached."""
    with World(rate=200) as world:
        config = world.gateway_config(tables=UPLINK.format("2MB")).replace('flows = "move"', 'flows = "pin"')
        start(world, config)
        until(lambda: choice(world) == FAST)
        until(lambda: choice(world) == NEXT, 120.0)
        near = uplink(world)
        carried(world, "fra1")
        until(lambda: mostly(world) == "ams1", 120.0)
        return {"near": near, "spared": uplink(world)}


@pytest.mark.nft
def test_connections_that_would_stay_leave_before_the_cap_is_reached_too() -> None:
    found = run(f"{__name__}:pinned", timeout=300)
    assert found["near"]["state"] == "near"
    assert found["spared"]["state"] == "last-resort"
    assert 1_880_000 <= found["spared"]["bytes"] < 2_000_000
