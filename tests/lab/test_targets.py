"""Several targets of a path, on real packets: one that dies alone is a finding, a quorum that dies is an outage."""

import socket
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import ask, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

FRA, AMS = "fra1/tun-fra1", "ams1/tun-ams1"
TARGETS = ("10.64.1.1", "10.64.1.3", "10.64.1.4")


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def silence(world: World, *targets: str) -> None:
    world.pops["fra1"].set(silent=[socket.inet_aton(one).hex() for one in targets])


def path(world: World, name: str = FRA) -> Any:
    return next(one for one in status(world)["paths"] if one["path"] == name)


def replies(world: World) -> int:
    return int(path(world)["probes"]["reply"])


def polled() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        listed = ", ".join(f'"{one}"' for one in TARGETS)
        config = world.gateway_config().replace('target = "10.64.1.1"', f"targets = [{listed}]")
        start(world, config)
        until(lambda: status(world)["policies"][0]["choice"] == FRA)
        found["targets"] = path(world)["targets"]
        until(lambda: replies(world) > 50)
        for dead in TARGETS:
            silence(world, dead)
            until(lambda: path(world)["findings"])
            found[dead] = path(world)["findings"]
            count = replies(world)
            until(lambda: replies(world) > count + 10)  # noqa: B023
            silence(world)
            until(lambda: not path(world)["findings"])
        found["switches"] = [one["to"] for one in ask(world, "history")[1]["switches"]]
        silence(world, *TARGETS[1:])
        until(lambda: status(world)["policies"][0]["choice"] == AMS)
        found["down"] = path(world)["state"]
        found["why"] = ask(world, "history")[1]["switches"][0]["reason"]
        silence(world)
        until(lambda: status(world)["policies"][0]["choice"] == FRA)
    return found


def test_a_target_that_dies_alone_is_a_finding_and_two_of_three_are_an_outage() -> None:
    found = scene("polled")
    assert found["targets"] == [*TARGETS, "fd64:0:0:1::1"]
    for dead in TARGETS:
        (text,) = found[dead].values()
        assert f"of its targets {dead} does not answer" in text
    assert found["switches"] == [FRA]  # the first choice, and nothing since
    assert (found["down"], found["why"]) == ("down", "down")
