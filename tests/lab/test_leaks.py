"""A full tunnel and the real daemon, through all that may happen to it: users' packets are counted on the uplink."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import ECHO, FILE, MISTAKES, ask, reaches, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.lab, pytest.mark.broker, pytest.mark.nft]


def ip(*words: str) -> str:
    return subprocess.run(["ip", "-n", "gw", *words], capture_output=True, text=True, check=False).stdout


def remove_rules() -> None:
    for family in ("-4", "-6"):
        for line in ip(family, "rule").splitlines():
            if "proto 210" in line:
                ip(family, "rule", "del", "priority", line.split(":")[0])


def remove_routes() -> None:
    ip("nexthop", "flush", "proto", "210")
    for family in ("-4", "-6"):
        ip(family, "route", "flush", "table", "all", "proto", "210")


def for_seconds(seconds: float, work: Any) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work()
        time.sleep(0.02)


HALVES = (("-4", "0.0.0.0/1"), ("-4", "128.0.0.0/1"), ("-6", "::/1"), ("-6", "8000::/1"))


def halves(verb: str) -> None:
    """Of main's default routes, as OpenVPN makes them beside these."""
    for family, half in HALVES:
        default = ip(family, "route", "show", "default").splitlines()[0].split()
        ip(family, "route", verb, half, *default[1 : 1 + default[1:].index("dev") + 2])


class Scenes:
    """When each of them began and ended."""

    def __init__(self) -> None:
        self.spans: dict[str, tuple[float, float]] = {}

    @contextmanager
    def scene(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        time.sleep(0.3)  # what is on its way
        self.spans[name] = (began, time.monotonic())


def choice(world: World) -> Any:
    return status(world)["policies"][0]["choice"]


def all_scenes(on_stop: str) -> Any:
    scenes, found = Scenes(), {}
    with World(full_tunnel=True, rate=100) as world:
        world.spawn("lan", [sys.executable, "-c", ECHO])
        config = world.gateway_config()
        FILE.write_text(config)

        def steerd(verb: str) -> int:
            return world.spawn("gw", [sys.executable, "-m", "steerd.cli.steerd", verb, "-c", str(FILE)]).wait(60)

        listed = re.sub(r"^prefixes = .*$", 'prefixes_file = "late.txt"', config, flags=re.MULTILINE)
        FILE.write_text(listed)
        found["late"] = steerd("guard")
        with scenes.scene("boot, and the policy's list is late"):
            time.sleep(0.5)
        FILE.write_text(config)
        assert steerd("guard") == 0
        with scenes.scene("boot"):
            time.sleep(1.0)
        FILE.write_text(listed)
        found["late again"] = steerd("guard")
        FILE.unlink()
        found["gone"] = steerd("guard")
        FILE.write_text("")
        found["emptied"] = steerd("guard")
        with scenes.scene("the file is emptied before the start"):
            time.sleep(0.5)
        with scenes.scene("start"):
            daemon = start(world, config)
            until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        with scenes.scene("steering"):
            time.sleep(1.0)
        with scenes.scene("switch"):
            ask(world, "drain", "fra1")
            until(lambda: choice(world) == "ams1/tun-ams1")
        with scenes.scene("outage of all"):
            for pop in world.pops.values():
                pop.set(dead=True)
            time.sleep(2.0)
            for pop in world.pops.values():
                pop.set(dead=False)
        with scenes.scene("devices down"):
            for pop in world.pops.values():
                pop.link(False)
                time.sleep(0.3)
            for pop in world.pops.values():
                pop.link(True)
                ip("addr", "replace", f"{pop.target6.removesuffix('1')}2/64", "dev", pop.device, "nodad")
            until(lambda: any(path["state"] == "up" for path in status(world)["paths"]))
        with scenes.scene("routes removed by hand"):
            for_seconds(1.0, remove_routes)
        with scenes.scene("rules removed by hand"):
            for_seconds(2.0, remove_rules)
        with scenes.scene("kill -9, rules gone, restart"):
            daemon.kill()
            daemon.wait()
            time.sleep(0.3)
            remove_rules()
            time.sleep(0.3)
            daemon = start(world, config)
        with scenes.scene("bad reload"):
            FILE.write_text(MISTAKES.read_text())
            found["bad"] = ask(world, "reload")[0]
        with scenes.scene("the file is emptied, or cut before the first policy"):
            FILE.write_text("")
            found["reload emptied"] = [ask(world, "reload")[0], steerd("guard"), steerd("run")]
            FILE.write_text(config.partition("[[policy]]")[0])
            found["reload cut"] = [ask(world, "reload")[0], steerd("guard")]
        with scenes.scene("reload"):
            changed = config.replace("[route]", f'[route]\non_stop = "{on_stop}"\ntable = 5000\nrule_priority = 5000')
            FILE.write_text(changed)
            found["good"] = ask(world, "reload")[0]
            until(lambda: choice(world) is not None)
        with scenes.scene("main has two halves of a default route"):
            halves("add")
            found["halves"] = ip("route", "get", "198.51.100.9")
            until(lambda: status(world)["policies"][0]["error"])
            halves("del")
            until(lambda: status(world)["policies"][0]["error"] is None)
        with scenes.scene("a device deleted"):
            ip("link", "del", "tun-par1")
            ip("link", "del", str(choice(world)).split("/")[1])
            time.sleep(0.5)
        with scenes.scene("stop"):
            daemon.terminate()
            found["stopped"] = daemon.wait(60)
            time.sleep(0.5)
        with scenes.scene("after the stop, without rules and routes"):
            remove_rules()
            remove_routes()
            time.sleep(0.5)
            found["reaches the LAN"] = [reaches("gw", "10.77.0.2"), reaches("gw", "fd77::2")]
        assert steerd("cleanup") == 0
        with scenes.scene("cleaned up"):
            time.sleep(0.5)
        time.sleep(0.5)
        found["leaked"] = {name: world.outside.leaked(*span) for name, span in scenes.spans.items()}
        found["steering"] = world.traffic.between(*scenes.spans["steering"]).by_pop
    return found


@pytest.mark.parametrize("on_stop", ["keep", "block"])
def test_whatever_happens_nothing_leaves_outside_the_tunnels(on_stop: str) -> None:
    found = run(f"{__name__}:all_scenes", on_stop)
    leaked = found["leaked"]
    assert leaked.pop("cleaned up") > 50  # so it is users' packets, there, that are counted
    assert leaked == dict.fromkeys(leaked, 0)
    assert set(found["steering"]) == {"fra1"}
    assert [found[name] for name in ("late", "late again", "gone", "emptied")] == [1, 1, 1, 78]
    assert (found["reload emptied"], found["reload cut"]) == ([78, 78, 78], [78, 78])
    assert (found["bad"], found["good"], found["stopped"]) == (78, 0, 0)
    assert " dev wan0 " in found["halves"]
    assert found["reaches the LAN"] == [True, True]
