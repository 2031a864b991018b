"""The real daemon says by which device users' packets leave, and that it is the wrong one."""

from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import ask, metric, start, status
from tests.lab.test_daemon_reload import text
from tests.lab.test_daemon_remarks import ready
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker, pytest.mark.nft]


def went(world: World) -> list[dict[str, Any]]:
    return (status(world)["policies"][0]["packets"] or {"went": []})["went"]


def astray() -> Any:
    found: dict[str, Any] = {}
    with World(full_tunnel=True, rate=100) as world:
        config = world.gateway_config().replace("[[policy]]", "[[policy]]\nleak_guard = false", 1)
        daemon = start(world, config)
        until(lambda: {one["where"] for one in went(world)} == {"choice"})  # also what was sent before the first choice
        (policy,) = status(world)["policies"]
        found["choice"], found["packets"] = policy["choice"], policy["packets"]
        found["shown"], found["why"] = text(world, "status")[1], text(world, "why")[1]
        labels = f'policy="{policy["policy"]}",family="ipv4",where="choice",device="{found["choice"].split("/")[1]}"'
        found["metric"] = metric(f"steerd_policy_packets_total{{{labels}}}")
        until(lambda: ready() == "200\n")
        namespaces.ip("rule add priority 90 iif lan0 lookup main", "gw")
        until(lambda: status(world)["policies"][0]["packets"]["wrong"])
        found["wrong"], found["told"], found["ready"] = text(world, "status")[1], text(world, "why")[1], ready()
        namespaces.ip("rule del priority 90", "gw")
        until(lambda: status(world)["policies"][0]["error"] is None)
        found["after"] = ready()
        found["history"], found["kept"] = ask(world, "history")[1]["packets"], text(world, "history")[1]
        daemon.terminate()
        daemon.wait(60)
    return found


def test_status_why_metrics_and_readyz_tell_where_packets_go() -> None:
    found = run(f"{__name__}:astray")
    device = found["choice"].split("/")[1]
    assert {(one["where"], one["device"]) for one in found["packets"]["went"]} == {("choice", device)}
    assert f"100 % by {device}" in found["shown"]
    assert f"100 % by {device}" in found["why"]
    assert found["metric"] > 0
    assert "astray by " in found["wrong"]
    assert "comes before steerd's" in found["wrong"]
    assert "is no path of the policy's" in " ".join(found["told"].split())
    assert found["ready"].startswith("503 ")
    assert found["after"] == "200\n"
    ended, began = found["history"]
    assert (began["wrong"], ended["wrong"]) == (True, False)
    assert "is no path of the policy's" in began["why"] + ended["why"]
    assert ended["wall_ms"] - began["wall_ms"] >= 1000 * ended["lasted_s"] - 100 > 0
    assert f"{ended['policy']}: packets are right again, after " in found["kept"]
