"""Handshakes and counters of real tunnels, and what a dead one is noticed by: probes where they come often, WireGuard's
own word where they do not."""

import time
from typing import Any

import pytest

from steerd.lab.enclosure import run
from tests.lab import wireguard
from tests.lab.waiting import Awake, until
from tests.lab.wireguard import Network, all_up, ask, choice, metrics, path

pytestmark = [pytest.mark.lab, pytest.mark.wireguard]


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments, timeout=240)


def broken_key(interval: str) -> Any:
    network = Network(devices=True)
    network.run_daemon(network.config(interval=interval), "--log-level", "debug")
    until(lambda: choice() is not None and all_up())
    ask("pin", "users", "fra1")
    until(lambda: choice() == "fra1/wg")
    for number in (1, 2, 3):
        network.traffic("gw", f"10.64.{number}.1", 0.2)
    until(lambda: path("fra1")["tunnel"]["handshake_age_s"] is not None)
    before, page = path("fra1"), metrics()
    until(lambda: path("fra1")["age_s"] < 2.0)  # the next probe is not due soon, where probes are rare
    network.break_key("fra1")
    began, awake = time.monotonic(), Awake()
    until(lambda: choice() != "fra1/wg")
    left = time.monotonic() - began, awake.seconds()
    stale_then = path("fra1")["tunnel"]["stale"]
    until(lambda: path("fra1")["tunnel"]["stale"])
    until(lambda: "; WireGuard: " in path("fra1")["reason"])
    why = ask("why")["policies"][0]
    excluded = {one["path"]: one["excluded"] for one in why["candidates"]}
    states = [line for line in wireguard.log_text().splitlines() if "fra1/wg" in line and "suspect" in line]
    return {
        "tunnel": before["tunnel"],
        "underlay": before["underlay"],
        "metrics": {name: value for name, value in page.items() if name.startswith("steerd_wireguard")},
        "left_s": left,
        "stale_then": stale_then,
        "excluded": excluded["fra1/wg"],
        "others": [path(pop)["state"] for pop in ("ams1", "par1")],
        "log": states,
    }


def test_with_frequent_probes_a_dead_tunnel_is_left_by_them_and_then_said_to_be_stale():
    seen = scene("broken_key", "200ms")
    assert seen["tunnel"]["handshake_age_s"] < 60.0
    assert seen["tunnel"]["rx_bytes"] > 0 < seen["tunnel"]["tx_bytes"]
    assert seen["tunnel"]["stale"] is None
    assert seen["underlay"] == {"remote": "192.0.2.6", "device": "u-fra1"}
    of_fra1 = {name: value for name, value in seen["metrics"].items() if 'pop="fra1"' in name}
    assert len(of_fra1) == 3
    assert all(value > 0 for value in of_fra1.values())
    print(f"left after {seen['left_s'][0]:.2f} s: {seen['excluded']}")
    assert seen["stale_then"] is None  # probes were first
    assert "probes in a row unanswered" in seen["excluded"]
    assert "; WireGuard: sent for 1" in seen["excluded"]
    assert seen["others"] == ["up", "up"]


def test_with_rare_probes_wireguard_notices_first():
    """Probes alone would doubt after half a minute: traffic without an answer says it after 15 s."""
    seen = scene("broken_key", "30s")
    print(f"left after {seen['left_s'][0]:.2f} s: {seen['excluded']}")
    assert seen["left_s"][0] > 14.0
    assert seen["left_s"][1] < 25.0
    assert any("WireGuard: sent for 1" in line for line in seen["log"])
    assert "; WireGuard: sent for 1" in seen["excluded"]
    assert seen["others"] == ["up", "up"]
