"""The real daemon with two uplinks behind real queues, which its users' traffic fills to 95 %: wherever it is, a queue
stands, and the other one is empty. It must not run to and fro, and yet leave what becomes really worse."""

import time
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.line import Conditions
from steerd.lab.world.pop import PopSpec
from tests.lab.queues import RATE, Queues
from tests.lab.test_daemon import ask, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab]

DELAYS = {"fra1": 20.0, "ams1": 35.0}
"""ms. With its users on it the better one is the worse by far."""

LOAD, BURST = 0.95, 24
"""Bursts of 48 ms of the queue's time, as of video: some 30 ms stand in it on average."""

WATCHED, REST = 40.0, 15.0
"""Seconds."""

BROWN_OUT = 40.0
"""ms on top of the path in use, behind its queue."""


def full() -> Any:
    with Queues([PopSpec(pop, conditions=Conditions(delay_ms=delay)) for pop, delay in DELAYS.items()]) as world:
        start(world, world.gateway_config(interval="200ms"))
        world.load(LOAD, burst=BURST)
        began, before = time.time(), sum(world.passed().values())
        time.sleep(WATCHED)
        filled = (sum(world.passed().values()) - before) / (time.time() - began) / RATE
        switches = [
            one["wall_ms"] / 1e3 - began for one in ask(world, "history")[1]["switches"] if one["from"] is not None
        ]
        found = ask(world, "why")[1]["policies"][0]
        pop = found["choice"].partition("/")[0]
        world.pops[pop].set(delay_ms=DELAYS[pop] + BROWN_OUT)
        until(lambda: status(world)["policies"][0]["choice"] != found["choice"])
    return {"filled": filled, "switches": switches, "policy": found}


def test_a_gateway_that_nearly_fills_its_uplinks_comes_to_rest_and_still_leaves_a_brown_out() -> None:
    found = run(f"{__name__}:full")
    assert 0.8 < found["filled"] < 1.0, found["filled"]
    assert len(found["switches"]) <= 4, found["switches"]
    assert all(at < WATCHED - REST for at in found["switches"]), found["switches"]
    idle = next(one for one in found["policy"]["candidates"] if one["path"] != found["policy"]["choice"])
    assert idle["terms_ms"]["own_load"] > 10.0, idle
