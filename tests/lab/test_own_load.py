"""The real daemon where whichever PoP carries the users is slower for it: it must not run to and fro for ever."""

import threading
import time
from typing import Any, Self

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.pop import POPS
from steerd.lab.world.world import World
from tests.lab.test_daemon import ask, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

SLOWER = 60.0
"""ms: what the users' traffic adds to the PoP that carries it."""

REST = 10.0
"""Seconds without a switch. Before own load was learned there was one each 3 s."""


class Load:
    """Makes the PoP that carries the users slower, and none else."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.on_top = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        before: dict[str, float] = {}
        while not self._ends.wait(0.1):
            now = time.monotonic()
            by_pop = self._world.traffic.between(now - 0.4, now - 0.1).by_pop
            busy = max(by_pop, key=by_pop.__getitem__, default="")
            for spec in POPS:
                delay = spec.conditions.delay_ms + (SLOWER if spec.name == busy else 0.0)
                delay += self.on_top if spec.name == "fra1" else 0.0
                if before.get(spec.name) != delay:
                    before[spec.name] = delay
                    self._world.pops[spec.name].set(delay_ms=delay)


def choice(world: World) -> Any:
    return status(world)["policies"][0]["choice"]


def at_rest(world: World) -> float:
    """Seconds since the last switch."""
    return time.time() - max(one["wall_ms"] for one in ask(world, "history")[1]["switches"]) / 1e3


def loaded() -> Any:
    with World(rate=100) as world, Load(world) as load:
        start(world, world.gateway_config())
        until(lambda: choice(world) == "fra1/tun-fra1" and at_rest(world) > REST, 120.0)
        switches = ask(world, "history")[1]["switches"]
        found = ask(world, "why")[1]["policies"][0]
        load.on_top = 40.0
        until(lambda: choice(world) != "fra1/tun-fra1")
        return {"switches": switches, "policy": found}


def test_a_gateway_whose_own_traffic_slows_its_path_comes_to_rest_on_the_best_one():
    found = run(f"{__name__}:loaded")
    moves = [one for one in found["switches"] if one["from"] is not None]
    assert len(moves) <= 4, moves
    assert found["policy"]["choice"] == "fra1/tun-fra1"
    idle = [one for one in found["policy"]["candidates"] if one["path"] != "fra1/tun-fra1"]
    assert all(one["terms_ms"]["own_load"] > SLOWER / 2.0 for one in idle), idle
