"""The daemon when probing itself is in trouble: everything is seen in `status`, and nothing moves for it."""

import subprocess
import sys
import time
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.line import Conditions
from steerd.lab.world.pop import PopSpec
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, ask, metric, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

POPS = (
    PopSpec("fra1", "de", Conditions(delay_ms=20.0)),
    PopSpec("ams1", "nl", Conditions(delay_ms=30.0)),
    PopSpec("par1", "fr", Conditions(delay_ms=40.0)),
)
CHOICE = "fra1/tun-fra1"


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def of(world: World, name: str) -> Any:
    return next(path for path in status(world)["paths"] if path["path"] == name)


WALL = """
import sys
from pyroute2.nftables.expressions import ipv4addr, verdict
from pyroute2.nftables.main import NFTables
with NFTables(nfgen_family=2) as nft:
    if sys.argv[1] == "off":
        nft.table("del", name="wall")
    else:
        nft.table("add", name="wall")
        nft.chain("add", table="wall", name="out", hook="output", type="filter", policy=1)
        nft.rule("add", table="wall", chain="out", expressions=(ipv4addr(dst=sys.argv[1]), verdict(code=0)))
"""


def wall(what: str) -> None:
    subprocess.run(namespaces.command("gw", [sys.executable, "-c", WALL, what]), check=True, timeout=20)


def in_trouble() -> Any:
    found: dict[str, Any] = {}
    with World(POPS, rate=20) as world:
        start(world, world.gateway_config(interval="100ms"))
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        time.sleep(1.0)
        began = time.monotonic()
        wall(world.pops["fra1"].target)
        until(lambda: "local" in of(world, CHOICE)["findings"])
        found["walled"] = of(world, CHOICE)
        found["metric"] = metric(f'steerd_path_finding{{pop="fra1",path="{CHOICE}",finding="local"}}')
        found["why"] = "\n".join(ask(world, "why")[1]["policies"][0]["text"])
        time.sleep(1.5)
        found["still"] = of(world, CHOICE)["state"]
        wall("off")

        # The queue before the chosen path's device is full of somebody else's traffic.
        limit = [
            "tc",
            "qdisc",
            "add",
            "dev",
            "tun-fra1",
            "root",
            "tbf",
            "rate",
            "4mbit",
            "burst",
            "3000",
            "limit",
            "20000",
        ]
        subprocess.run(namespaces.command("gw", limit), check=True)
        flood = world.spawn("gw", [sys.executable, "-c", FLOOD, world.pops["fra1"].target])
        until(lambda: of(world, CHOICE)["local_queue_ms"] > 15.0)
        time.sleep(3.0)

        def told_apart() -> bool:
            """If this machine stands still for a moment, that is in its RTTs for another."""
            found["queued"] = of(world, CHOICE)
            return bool(found["queued"]["local_queue_ms"] > 15.0 and abs(found["queued"]["rtt_ms"] - 20.0) < 4.0)

        until(told_apart)
        flood.kill()
        subprocess.run(namespaces.command("gw", ["tc", "qdisc", "del", "dev", "tun-fra1", "root"]), check=True)

        found["switches"] = [one["reason"] for one in ask(world, "history")[1]["switches"]]
        found["choice"] = status(world)["policies"][0]["choice"]
        found["leaked"] = world.outside.leaked(began)
    return found


FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 30
while time.monotonic() < end:
    for _ in range(10):
        try:
            s.sendto(bytes(1200), (sys.argv[1], 9))
        except OSError:
            pass
    time.sleep(0.02)
"""


def test_what_this_machine_does_to_its_probes_is_told_and_moves_nothing() -> None:
    found = scene("in_trouble")
    assert "a firewall on this machine drops the probes (EPERM)" in found["walled"]["findings"]["local"]
    assert found["walled"]["probes"]["local"] > 0
    assert found["walled"]["state"] == found["still"] == "up"
    assert found["metric"] == 1
    assert "a firewall on this machine drops the probes" in found["why"]
    assert found["queued"]["state"] == "up"
    assert found["queued"]["loss"] < 0.02
    assert found["switches"] == ["start"]
    assert found["choice"] == CHOICE
    assert found["leaked"] == 0


def rearranged() -> Any:
    found: dict[str, Any] = {}
    with World(POPS, rate=20) as world:
        whole = world.gateway_config(interval="500ms")
        first, second = whole.index('[[pop]]\nname = "par1"'), len(whole)
        start(world, whole[:first])
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))

        before = of(world, CHOICE)
        FILE.write_text(whole[:second])
        found["reload"] = ask(world, "reload")[0]
        now = count(world, "par1/tun-par1")
        found["added"] = now[CHOICE] - before["probes"]["reply"] - now["par1/tun-par1"]
        found["kept"] = of(world, CHOICE)["samples"] >= before["samples"]
        found["counted"] = of(world, CHOICE)["probes"]["reply"] >= before["probes"]["reply"]

        pop = world.pops["ams1"]
        pop.attach(False)
        until(lambda: of(world, "ams1/tun-ams1")["state"] == "absent")
        time.sleep(1.0)
        heard = replies(world)
        pop.attach(True)
        now = count(world, "ams1/tun-ams1", heard["ams1/tun-ams1"])
        found["again"] = now[CHOICE] - heard[CHOICE] - (now["ams1/tun-ams1"] - heard["ams1/tun-ams1"])
    return found


def replies(world: World) -> dict[str, int]:
    return {path["path"]: path["probes"].get("reply", 0) for path in status(world)["paths"]}


def count(world: World, path: str, before: int = 0) -> dict[str, int]:
    """The replies on all paths, once there are some on this one that were not there before."""
    seen: list[dict[str, int]] = []

    def more() -> bool:
        seen.append(replies(world))
        return seen[-1].get(path, 0) > before

    until(more)
    return seen[-1]


def test_a_path_added_or_made_again_is_probed_at_once() -> None:
    """Of probes that another path has meanwhile, at the same interval, it misses few: those of the time that a reload,
    or a device, takes until it is noticed, and of one interval."""
    found = scene("rearranged")
    assert found["reload"] == 0
    assert found["kept"]
    assert found["counted"]
    assert found["added"] <= 3
    assert found["again"] <= 3


def swallowed() -> Any:
    """The nearest PoP drops large packets, without a word."""
    found: dict[str, Any] = {}
    with World(POPS[:2]) as world:
        world.pops["fra1"].set(mtu=1498)
        config = world.gateway_config(interval="200ms")
        start(world, config.replace("[probe]", '[probe]\nmtu_interval = "1s"'))
        until(lambda: of(world, CHOICE)["black_hole"])
        marked = time.monotonic()
        until(lambda: status(world)["policies"][0]["choice"] != CHOICE)
        found["moved"] = time.monotonic() - marked
        found["path"] = of(world, CHOICE)
        labels = f'pop="fra1",path="{CHOICE}"'
        found["bytes"] = metric(f"steerd_path_mtu_bytes{{{labels}}}")
        found["cost"] = metric(f'steerd_path_cost_seconds{{policy="users",{labels},term="mtu"}}')
        found["why"] = "\n".join(ask(world, "why")[1]["policies"][0]["details"])
        found["switches"] = [(one["to"], one["reason"]) for one in ask(world, "history")[1]["switches"]]
    return found


def test_a_path_on_which_large_packets_vanish_is_marked_and_left() -> None:
    found = scene("swallowed")
    assert found["moved"] < 3.0  # 90 ms more at a price of 10 ms for 10 s
    assert (found["path"]["mtu"], found["path"]["device_mtu"], found["path"]["state"]) == (1498, 1500, "up")
    assert found["path"]["loss"] == 0.0  # nothing that is small was lost
    assert (found["bytes"], found["cost"]) == (1498, pytest.approx(0.1))
    assert " mtu " in found["why"]
    assert found["switches"] == [["ams1/tun-ams1", "better"], [CHOICE, "start"]]
