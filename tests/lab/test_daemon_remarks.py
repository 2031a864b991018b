"""The real daemon says what keeps it from steering all that it is to steer, and that it does no longer."""

import subprocess
import sys
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import LOG, METRICS, start, status
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
