"""Every alert that comes with steerd fires in a real Prometheus when the real daemon is in that trouble, and none fires
while all is well. What an alert needs is brought about in a lab; nothing of what is scraped is made up."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, run
from steerd.lab.world.world import METRICS, TENANT, World
from tests.lab.test_catalogue import TABLE, put, signed
from tests.lab.test_daemon import FILE, LOG, ask, start, status
from tests.lab.test_daemon_probing import FLOOD
from tests.lab.waiting import until
from tests.prometheus.watched import RULES, Prometheus

pytestmark = [pytest.mark.prometheus, pytest.mark.lab, pytest.mark.broker]

CALM = 20.0
"""Seconds, of which each is half a minute to the rules: ten minutes."""


def choice(world: World) -> Any:
    return status(world)["policies"][0]["choice"]


def shell(text: str) -> str:
    command = namespaces.command("gw", ["sh", "-ec", text])
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def everywhere(world: World, **conditions: Any) -> None:
    for pop in world.pops.values():
        pop.set(**conditions)


@contextmanager
def watched(world: World, config: str) -> Iterator[tuple[Prometheus, subprocess.Popen[Any]]]:
    daemon = start(world, config)
    until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
    yield Prometheus({"steerd": METRICS}), daemon


def paths() -> list[Any]:
    found: list[Any] = []
    with World() as world, watched(world, world.gateway_config()) as (prometheus, daemon):
        time.sleep(CALM)
        found.append(sorted(prometheus.fired()))

        everywhere(world, loss=0.15)
        prometheus.awaits("SteerdBadPath")
        everywhere(world, loss=0.0)
        prometheus.calm()

        best = world.pops.pop("fra1")
        everywhere(world, dead=True)
        prometheus.awaits("SteerdNoSpare")
        best.set(dead=True)
        prometheus.awaits("SteerdPolicyOutage")
        world.pops["fra1"] = best
        everywhere(world, dead=False)
        prometheus.calm()

        for _ in range(25):
            before = choice(world)
            pop = world.pops[before.partition("/")[0]]
            pop.set(dead=True)
            until(lambda before=before: choice(world) != before)
            pop.set(dead=False)
        prometheus.awaits("SteerdFlapping")

        daemon.kill()
        prometheus.awaits("SteerdGone")
        found.append(sorted(prometheus.fired()))
    return found


def test_paths_that_lose_die_and_come_back() -> None:
    calm, fired = run(f"{__name__}:paths", timeout=500.0)
    assert calm == []
    assert fired == ["SteerdBadPath", "SteerdFlapping", "SteerdGone", "SteerdNoSpare", "SteerdPolicyOutage"]


def machine() -> list[str]:
    with World() as world:
        config = world.gateway_config()
        with watched(world, config) as (prometheus, daemon):
            FILE.write_text(config.replace("[probe]", "[probe]\nnonsense = 1"))
            ask(world, "reload")
            prometheus.awaits("SteerdReloadFailed")
            FILE.write_text(config)
            ask(world, "reload")
            prometheus.calm()

            world.broker.stop()
            prometheus.awaits("SteerdMqttAway")
            world.broker.start()
            prometheus.calm()

            for _ in range(8):
                shell("ip rule | awk -F: '/proto 210/ {print $1; exit}' | xargs -r ip rule del priority")
                until(lambda: "proto 210" in shell("ip rule"))
                time.sleep(0.5)
            prometheus.awaits("SteerdRepairs")
            prometheus.calm()

            end = time.monotonic() + 120.0
            while "SteerdLoopLag" not in prometheus.firing() and time.monotonic() < end:
                daemon.send_signal(signal.SIGSTOP)
                time.sleep(0.4)
                daemon.send_signal(signal.SIGCONT)
            return sorted(prometheus.fired())


def test_a_machine_that_is_late_a_broker_that_is_away_and_somebody_who_takes_away_rules() -> None:
    fired = run(f"{__name__}:machine", timeout=500.0)
    assert fired == ["SteerdLoopLag", "SteerdMqttAway", "SteerdReloadFailed", "SteerdRepairs"]


TAKER = """while :; do
    ip route del default table "$1" metric 1024; ip -6 route del default table "$1" metric 1024; sleep 0.02
done"""
"""Whoever takes steerd's routes away, faster than they are put back."""


def traffic() -> list[str]:
    with World(full_tunnel=True, rate=100) as world:
        config = world.gateway_config().replace("[[policy]]", "[[policy]]\nleak_guard = false", 1)
        with watched(world, config) as (prometheus, _):
            shell("ip rule add priority 90 iif lan0 lookup main; ip -6 rule add priority 90 iif lan0 lookup main")
            prometheus.awaits("SteerdTrafficAstray")
            FILE.write_text(config.replace("leak_guard = false", "leak_guard = true"))
            ask(world, "reload")
            prometheus.awaits("SteerdTrafficDropped")
            prometheus.awaits("SteerdGuardDrops")
            shell("ip rule del priority 90; ip -6 rule del priority 90")
            prometheus.calm()

            found = re.search(r"nhid \d+ table (\d+)", shell("ip route show table all"))
            assert found
            taker = world.spawn("gw", ["sh", "-c", TAKER, "sh", found[1]], stderr=subprocess.DEVNULL)
            prometheus.awaits("SteerdRoutesMissing")
            taker.kill()
            return sorted(prometheus.fired())


def test_traffic_that_goes_elsewhere_and_routes_that_are_taken_away() -> None:
    fired = set(run(f"{__name__}:traffic", timeout=500.0))
    wanted = {"SteerdTrafficAstray", "SteerdTrafficDropped", "SteerdGuardDrops", "SteerdRoutesMissing"}
    assert wanted <= fired <= {*wanted, "SteerdRepairs"}


def links() -> list[str]:
    uplink = '[[uplink]]\nname = "tun-par1"\ncap = "1MB"\nresets = "1st"\n'
    with World() as world, watched(world, world.gateway_config(tables=uplink)) as (prometheus, _):
        shell(
            """nft 'add table netdev slow { chain in { type filter hook ingress device tun-ams1 priority 0;
            ip protocol icmp limit rate over 2/second burst 1 packets drop;
            ip6 nexthdr icmpv6 limit rate over 2/second burst 1 packets drop; }; }'"""
        )
        prometheus.awaits("SteerdTargetRateLimited")
        shell("nft delete table netdev slow")

        shell("tc qdisc add dev tun-fra1 root tbf rate 1mbit burst 3000 limit 40000")
        flood = world.spawn("gw", [sys.executable, "-c", FLOOD, world.pops["fra1"].target])
        prometheus.awaits("SteerdLocalQueue")
        flood.kill()
        shell("tc qdisc del dev tun-fra1 root")

        world.spawn("gw", [sys.executable, "-c", FLOOD, world.pops["par1"].target])
        prometheus.awaits("SteerdCapNear")
        return sorted(prometheus.fired())


def test_a_target_with_a_limit_a_full_queue_and_a_cap() -> None:
    fired = run(f"{__name__}:links", timeout=500.0)
    assert {"SteerdTargetRateLimited", "SteerdLocalQueue", "SteerdCapNear"} <= set(fired)


def silent() -> list[str]:
    with World() as world:
        everywhere(world, dead=True)
        with LOG.open("a") as log:
            world.run_daemon(world.gateway_config(), stderr=log)
        prometheus = Prometheus({"steerd": METRICS})
        prometheus.awaits("SteerdNoChoice")
        return sorted(prometheus.fired())


def test_no_path_has_answered_since_the_start() -> None:
    assert run(f"{__name__}:silent", timeout=300.0) == ["SteerdNoChoice"]


def old() -> list[str]:
    with World() as world:
        pops = [{"name": "far", "target": "10.99.9.9"}]
        put(signed(1, pops, lasts=20.0))
        config = world.gateway_config().replace("[[policy]]", TABLE + "\n[[policy]]", 1)
        daemon = start(world, config)
        prometheus = Prometheus({"steerd": METRICS})
        prometheus.awaits("SteerdCatalogueStale")
        daemon.kill()
        return sorted(prometheus.fired())


def test_a_catalogue_that_has_expired() -> None:
    assert run(f"{__name__}:old", timeout=300.0) == ["SteerdCatalogueStale"]


def mistaken() -> list[str]:
    fault = RUN / "fault"
    with World() as world:
        FILE.write_text(world.gateway_config())
        with LOG.open("a") as log:
            world.spawn("gw", [sys.executable, "-m", "tests.lab.faulty", str(FILE), str(fault)], stderr=log)
        until(lambda: choice(world) is not None)
        prometheus = Prometheus({"steerd": METRICS})
        fault.write_text("2 prepared")
        ask(world, "reload")
        prometheus.awaits("SteerdFaults")
        return sorted(prometheus.fired())


def test_a_mistake_of_steerds_own() -> None:
    fired = run(f"{__name__}:mistaken", timeout=300.0)
    assert "SteerdFaults" in fired
    assert set(fired) <= {"SteerdFaults", "SteerdReloadFailed"}


def quiet() -> list[str]:
    """A gateway that is connected, and of which no score comes."""
    inventory, config = RUN / "inventory", RUN / "fleet.toml"
    with World() as world:
        inventory.write_text("eu/gw9\n")
        config.write_text(
            f'[fleet]\nname = "middle"\ninventory = "inventory"\nstale_after = "2s"\n'
            f'[mqtt]\nurl = "{world.broker.url}"\ntenant = "{TENANT}"\n[export]\nlisten = "127.0.0.1:9912"\n'
        )
        world.spawn("gw", [sys.executable, "-m", "steerd.cli.steerd", "fleet", "-c", str(config)])
        state = {"v": 1, "gw": "gw9", "epoch": 5, "online": True, "version": "1"}
        world.broker.publish(f"steer/v1/{TENANT}/gw/eu/gw9/state", state)
        prometheus = Prometheus({"steerd-fleet": "127.0.0.1:9912"})
        prometheus.awaits("SteerdFleetStale")
        return sorted(prometheus.fired())


def test_a_gateway_that_is_connected_and_says_nothing() -> None:
    assert run(f"{__name__}:quiet", timeout=300.0) == ["SteerdFleetStale"]


def test_every_alert_is_fired_here() -> None:
    told = re.findall(r'"(Steerd\w+)"', Path(__file__).read_text())
    assert set(re.findall(r"- alert: (\w+)", RULES.read_text())) <= set(told)
