"""A real tunnel is led over another uplink than main's route says, and back when the uplink's default route goes."""

from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from tests.lab import wireguard
from tests.lab.waiting import until
from tests.lab.wireguard import Network, all_up, ask, path, wg

pytestmark = [pytest.mark.lab, pytest.mark.wireguard]


def scene() -> Any:
    network = Network(devices=True)
    # A second wire to fra1, with the gateway's only default route.
    namespaces.ip("link add second netns gw type veth peer name out1 netns fra1")
    namespaces.ip("addr add 192.0.3.1/30 dev second\nlink set second up", "gw")
    namespaces.ip("addr add 192.0.3.2/30 dev out1\nlink set out1 up", "fra1")
    namespaces.ip("route add default via 192.0.3.2", "gw")
    config = network.config(interval="100ms").replace('dev = "wg-fra1"', 'dev = "wg-fra1", over = "second"')
    network.run_daemon(config)
    until(all_up)
    until(lambda: "it has no FwMark; `wg set wg-fra1 fwmark 0x101`" in " ".join(ask("status")["remarks"]))
    found = {"before": path("fra1")["underlay"]}
    wg("gw", "set", "wg-fra1", "fwmark", "0x101")
    until(lambda: path("fra1")["underlay"]["device"] == "second")
    left = path("fra1")["probes"]["reply"]
    until(lambda: path("fra1")["probes"]["reply"] > left + 20)
    found |= {"led": path("fra1")["state"], "uplink": path("fra1")["uplink"], "remarks": ask("status")["remarks"]}
    namespaces.ip("link set second down", "gw")
    until(lambda: path("fra1")["underlay"]["device"] == "u-fra1")
    until(lambda: path("fra1")["state"] == "up")
    until(lambda: "main has no default route by second" in " ".join(ask("status")["remarks"]))
    found["log"] = wireguard.log_text()
    return found


def test_a_tunnel_takes_the_uplink_that_its_path_names():
    seen = run(f"{__name__}:scene", timeout=240)
    assert seen["before"]["device"] == "u-fra1"
    assert (seen["led"], seen["uplink"]) == ("up", "second")
    assert not any("not led" in one for one in seen["remarks"])
    assert "Traceback" not in seen["log"]
