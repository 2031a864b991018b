"""Hooks of the real daemon: told of what happens, and in nobody's way."""

import json
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, ask, metric, metrics, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

FRA, AMS = "fra1/tun-fra1", "ams1/tun-ams1"
TOLD = Path("/run/steerd-lab/told")
EVERY = '["switch", "outage", "path", "drain", "reload", "astray"]'
HOOK = f"""
[[hook]]
name = "tell"
on = {EVERY}
run = ["/usr/bin/tee", "-a", "{TOLD}"]
user = "root"  # the lab's own: of a namespace that has no other
"""
BAD = f"""
[[hook]]
name = "hangs"
on = {EVERY}
run = ["/bin/sleep", "600"]
user = "root"
timeout = "2s"

[[hook]]
name = "fails"
on = {EVERY}
run = ["/bin/false"]
user = "root"

[[hook]]
name = "prints"
on = {EVERY}
run = ["/usr/bin/head", "-c", "10000000", "/dev/zero"]
user = "root"

[[hook]]
name = "dead"
on = {EVERY}
url = "http://192.0.2.2:9/"
timeout = "2s"
"""


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def told(topic: str) -> list[Any]:
    lines = TOLD.read_text().splitlines() if TOLD.exists() else []
    return [one for one in map(json.loads, lines) if one["event"] == topic]


def told_of_all() -> Any:
    with World() as world:
        config = world.gateway_config() + HOOK
        start(world, config)
        until(lambda: status(world)["policies"][0]["choice"] == FRA)
        ask(world, "drain", "fra1", "--for", "1h")
        until(lambda: told("drain"))
        ask(world, "undrain", "fra1")
        until(lambda: len(told("drain")) == 2)
        until(lambda: status(world)["policies"][0]["choice"] == FRA)
        for pop in world.pops.values():
            pop.set(dead=True)
        until(lambda: told("outage"))
        for pop in world.pops.values():
            pop.set(dead=False)
        until(lambda: told("outage")[-1]["over"])
        FILE.write_text(config.replace("[probe]", "[probe]\nnonsense = 1"))
        ask(world, "reload")
        FILE.write_text(config.replace('interval = "200ms"', 'interval = "250ms"'))
        ask(world, "reload")
        until(lambda: len(told("reload")) == 2)
        done = 'steerd_hook_notices_total{hook="tell",result="done"}'
        return {topic: told(topic) for topic in json.loads(EVERY)} | {"done": metric(done)}


def test_a_hook_is_told_of_what_happens_and_when_it_is_over() -> None:
    found = scene("told_of_all")
    first = found["switch"][0]
    assert (first["policy"], first["from"], first["reason"], first["gateway"]) == ("users", None, "start", "gw-lab")
    assert ("drain", FRA) in [(one["reason"], one["from"]) for one in found["switch"]]
    began, over = found["drain"]
    assert (began["pop"], began["over"], over["over"]) == ("fra1", False, True)
    assert began["text"].startswith("fra1 is drained for ")
    outage = found["outage"]
    assert outage[0]["over"] is False
    assert outage[-1]["over"] is True
    assert outage[-1]["seconds"] > 0.0
    assert "carried again, by " in outage[-1]["text"]
    assert {one["path"] for one in found["path"] if one["to"] == "down"} >= {FRA, AMS}
    refused, done = found["reload"]
    assert (refused["ok"], done["ok"]) == (False, True)
    assert "nonsense" in refused["problems"][0]
    assert done["changed"] == ['[probe] interval: "200ms" -> "250ms"']
    assert not found["astray"]
    assert found["done"] >= 10


def bad_ones() -> Any:
    with World(rate=50) as world:
        start(world, world.gateway_config() + BAD + HOOK)
        until(lambda: status(world)["policies"][0]["choice"] == FRA)
        world.pops["fra1"].set(dead=True)
        until(lambda: status(world)["policies"][0]["choice"] == AMS)
        until(lambda: any(one["reason"] == "down" for one in told("switch")))
        return {
            "lag": [line for line in metrics().splitlines() if line.startswith("steerd_loop_lag_seconds_")],
            "switch": next(one for one in told("switch") if one["reason"] == "down"),
        }


def test_hooks_that_hang_fail_print_and_lead_nowhere_keep_nobody_waiting() -> None:
    found = scene("bad_ones")
    assert found["switch"]["to"] == AMS
    counts = {line.partition(" ")[0]: float(line.partition(" ")[2]) for line in found["lag"]}
    late = counts["steerd_loop_lag_seconds_count"] - counts['steerd_loop_lag_seconds_bucket{le="1.0"}']
    assert late == 0  # a hook that hangs does so for two seconds
