"""A reload that fails in any stage, at any point, leaves every stage as it was: the real daemon, each stage in turn."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import METRICS, World
from tests.lab.test_daemon import FILE, LOG, ask, metric, state_of_kernel, status
from tests.lab.test_daemon_reload import moved, settled
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

FAULT = Path("/run/steerd-lab/fault")
STAGES = 8
POINTS = ("before", "prepared", "committed")
SAID = {
    "before": "before it prepared",
    "prepared": "a stage failed, and all are as they were: see the log",
    "committed": "after its commit",
}


def other(config: str) -> str:
    """All that a reload can change: what is probed and how, the policy, where metrics are, the broker's tenant."""
    config = moved(config).replace(METRICS, METRICS.replace("127.0.0.1", "0.0.0.0"))
    config = config.replace("[probe]\n", '[probe]\nwireguard_interval = "7s"\nstandby_interval = "1s"\ndscp = 46\n')
    return config.replace('tenant = "lab"', 'tenant = "elsewhere"')


def seen(world: World) -> Any:
    """What an operator, a scraper and the kernel know that a reload may change."""
    now = status(world)
    return {
        "kernel": state_of_kernel(),
        "policies": [(one["policy"], one["state"], one["choice"]) for one in now["policies"]],
        "paths": [(one["path"], one["state"], one["method"], one["targets"], one["every_s"]) for one in now["paths"]],
        "reload": now["reload"],
        "prefixes": metric('steerd_routes_installed{policy="users",family="ipv6"}'),
        "broker": metric("steerd_mqtt_connected"),
    }


def same(world: World, wanted: Any, after: str) -> None:
    """It is so again: what was put back may be probed a moment before it answers."""
    end = time.monotonic() + 60.0
    while (now := seen(world)) != wanted:
        odd = {key: (now[key], wanted[key]) for key in wanted if key != "kernel" and now[key] != wanted[key]}
        odd["kernel"] = sorted(set(now["kernel"]) ^ set(wanted["kernel"]))
        assert time.monotonic() < end, f"{after}: {LOG.read_text()[-1500:]}\n{odd}"
        time.sleep(0.1)


def faults() -> Any:
    found: dict[str, Any] = {"answers": []}
    with World(rate=50) as world:
        config = world.gateway_config()
        FILE.write_text(config)
        with LOG.open("a") as log:
            world.spawn("gw", [sys.executable, "-m", "tests.lab.faulty", str(FILE), str(FAULT)], stderr=log)
        until(lambda: status(world)["policies"][0]["choice"] is not None)
        settled(world)
        until(lambda: metric("steerd_mqtt_connected") == 1)
        before = seen(world)
        FILE.write_text(other(config))
        for place in range(STAGES):
            for point in POINTS:
                FAULT.write_text(f"{place} {point}")
                code, answer = ask(world, "reload")
                found["answers"].append([place, point, code, answer.get("problems")])
                same(world, before, f"{place} {point}")
        FAULT.unlink()
        found["at last"] = ask(world, "reload")[0]
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/tun-ams1")
        found["moved"] = state_of_kernel() != before["kernel"]
    found["log"] = LOG.read_text()
    return found


def test_a_reload_that_fails_anywhere_leaves_every_stage_as_it_was() -> None:
    found = run(f"{__name__}:faults", timeout=300)
    assert found["answers"] == [[place, point, 78, [SAID[point]]] for place in range(STAGES) for point in POINTS]
    assert found["at last"] == 0, found["log"]
    assert found["moved"]
    assert found["log"].count("could not be put back") == 0
