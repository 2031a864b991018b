"""The real daemon says what keeps it from steering all that it is to steer, and that it does no longer."""

import subprocess
import sys
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, LOG, METRICS, ask, metric, start, status
from tests.lab.test_daemon_reload import text
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def shadowed() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        daemon = start(world, world.gateway_config())
        found["before"] = [one for one in status(world)["remarks"] if "never steered" in one]
        namespaces.ip("route add 198.18.0.0/15 dev lo", "gw")
        until(lambda: any("never steered" in one for one in status(world)["remarks"]))
        found["remarks"] = [one for one in status(world)["remarks"] if "never steered" in one]
        found["shown"] = text(world, "status")[1]
        daemon.terminate()
        found["code"] = daemon.wait(60)
    found["log"] = LOG.read_text()
    return found


READY = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


def ready() -> str:
    command = namespaces.command("gw", [sys.executable, "-c", READY, f"http://{METRICS}/readyz"])
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def unforwarded() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        daemon = start(world, world.gateway_config())
        until(lambda: ready() == "200\n")
        namespaces.sysctl("gw", ipv4__ip_forward=0)
        until(lambda: status(world)["policies"][0]["error"])
        found["shown"], found["why"], found["ready"] = text(world, "status")[1], text(world, "why")[1], ready()
        namespaces.sysctl("gw", ipv4__ip_forward=1)
        until(lambda: status(world)["policies"][0]["error"] is None)
        found["after"] = ready()
        daemon.terminate()
        daemon.wait(60)
    found["log"] = LOG.read_text()
    return found


def test_status_why_readyz_and_log_tell_that_nothing_is_forwarded_until_it_is() -> None:
    found = run(f"{__name__}:unforwarded")
    words = "is not forwarded, since net.ipv4.ip_forward is 0: `sysctl -w net.ipv4.ip_forward=1`"
    assert words in found["shown"]
    assert words in " ".join(found["why"].split())
    assert found["ready"].startswith("503 ")
    assert words in found["ready"]
    assert found["after"] == "200\n"
    assert words in found["log"]


def test_status_and_log_tell_of_prefixes_that_main_takes_first() -> None:
    found = run(f"{__name__}:shadowed")
    assert found["before"] == []
    (said,) = found["remarks"]
    assert said.endswith("198.18.0.0/15")
    assert f"\n! {said}\n" in f"{found['shown']}\n"
    assert found["log"].count(said) == 1
    assert found["code"] == 0


def unlistened() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = world.gateway_config()
        absent = config.replace(METRICS, "192.0.2.99:9911")
        daemon = start(world, absent)
        found["shown"] = text(world, "status")[1]
        found["reload"] = ask(world, "reload")[0]
        namespaces.ip("addr add 192.0.2.99/32 dev lo", "gw")
        until(lambda: "metrics are not served" not in text(world, "status")[1])
        FILE.write_text(config)
        found["moved"] = ask(world, "reload")[0]
        found["served"] = metric("steerd_config_last_reload_successful")
        daemon.terminate()
        found["code"] = daemon.wait(60)
    found["log"] = LOG.read_text()
    return found


def test_an_address_for_metrics_that_is_not_there_keeps_nobody_from_steering_and_is_listened_on_once_it_is() -> None:
    found = run(f"{__name__}:unlistened")
    assert "\n! metrics are not served: cannot listen: " in found["shown"]
    assert "192.0.2.99" in found["shown"]
    assert (found["reload"], found["moved"], found["served"], found["code"]) == (0, 0, 1, 0)
    assert found["log"].count("metrics are not served: ") == 1
    assert found["log"].count("metrics are served at 192.0.2.99:9911") == 1


def disable_ipv6(device: str) -> None:
    namespaces.sysctl("gw", **{f"ipv6__conf__{device}__disable_ipv6": 1})


def without_ipv6() -> Any:
    """The gateway has no IPv6 at all; its paths and their targets are meant to have both families."""
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        disable_ipv6("all")
        daemon = start(world, world.gateway_config())
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        found["first"] = status(world)["policies"][0]
        world.pops["fra1"].set(dead=True)
        until(lambda: str(status(world)["policies"][0]["choice"]).startswith("ams1/"))
        found["then"] = status(world)["policies"][0]
        daemon.terminate()
        found["code"] = daemon.wait(60)
    found["log"] = LOG.read_text()
    return found


def test_a_gateway_without_ipv6_steers_ipv4_and_leaves_a_dead_path() -> None:
    found = run(f"{__name__}:without_ipv6")
    assert found["first"]["choice"] is not None
    assert found["then"]["choice"].startswith("ams1/")
    assert "Traceback" not in found["log"]
    assert found["code"] == 0


def half() -> Any:
    """IPv6 goes on the rivals' devices alone; then the path in use dies."""
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        daemon = start(world, world.gateway_config())
        until(lambda: str(status(world)["policies"][0]["choice"]).startswith("fra1/"))
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        for device in ("tun-ams1", "tun-par1"):
            disable_ipv6(device)
        found["before"] = status(world)["policies"][0]
        world.pops["fra1"].set(dead=True)
        until(lambda: str(status(world)["policies"][0]["choice"]).startswith(("ams1/", "par1/")))
        until(lambda: "goes nowhere" in text(world, "status")[1])
        found["shown"] = text(world, "status")[1]
        daemon.terminate()
        found["code"] = daemon.wait(60)
    return found


def test_a_dead_path_is_left_for_one_that_has_ipv4_and_the_family_that_goes_nowhere_is_named() -> None:
    found = run(f"{__name__}:half")
    assert found["before"]["choice"].startswith("fra1/")
    assert "IPv6 goes nowhere: the kernel does not send it by " in found["shown"]
    assert found["code"] == 0
