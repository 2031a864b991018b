"""Whatever a broker does, the daemon's memory stays bounded, its log short, and no probe waits."""

import asyncio
import itertools
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.broker import PORT
from steerd.lab.world.world import World
from tests.lab.hostile_broker import ATTACKS
from tests.lab.sharing import Gateway, free_port, running
from tests.lab.test_daemon import FILE, LOG, ask, metric, metrics, start, status
from tests.lab.waiting import until, until_async

pytestmark = [pytest.mark.lab, pytest.mark.broker]

LASTS = 2.5
TRIALS = 3
"""What an attack makes late, it makes late each time; what the machine's other work does, not."""
LONGER = {"flapping", "deep", "contradicts", "aliases", "acks", "pings", "redirect", "drip", "silent"}
"""What `tests.system.hostile_broker` tries, and not this: it takes a while to tell, or costs less than another."""
LAG = 'steerd_loop_lag_seconds_bucket{{le="{}"}}'
SHORT = "0.2"
REFUSED = 'steerd_refused_total{{reason="{}",source="broker"}}'


def resident(pid: int) -> int:
    """The most that it ever had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def figures() -> dict[str, float]:
    page = dict(line.rsplit(" ", 1) for line in metrics().splitlines() if " " in line)
    return {
        "lines": len(LOG.read_text().splitlines()),
        "skipped": float(page["steerd_skipped_slots_total"]),
        "slow": float(page[LAG.format("+Inf")]) - float(page[LAG.format(SHORT)]),
        **{reason: float(page.get(REFUSED.format(reason), 0.0)) for reason in set(REASONS.values())},
    }


REASONS = {
    "announced_size": "packet above 64 KiB",
    "qos_2": "QoS 2",
    "bad_topic": "invalid topic",
    "nameless_alias": "invalid topic",
    "auth": "unexpected packet",
    "connacks": "unexpected packet",
    "user_properties": "too many properties",
    "noise": "unexpected packet",
}


def played() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = world.gateway_config()
        daemon = start(world, config)
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        until(lambda: metric("steerd_mqtt_connected"))
        world.broker.stop()
        before = resident(daemon.pid)
        intervals = itertools.count(2)
        for attack in (one for one in ATTACKS if one not in LONGER):
            for _ in range(TRIALS):
                command = [sys.executable, "-m", "tests.lab.hostile_broker", str(PORT), attack]
                broker = world.spawn("gw", command)
                began = figures()
                another = f'publish_interval = "{next(intervals)}s"'
                FILE.write_text(config.replace('publish_interval = "1s"', another))
                assert ask(world, "reload")[0] == 0  # begins another session at once
                time.sleep(LASTS)
                broker.kill()
                broker.wait(60)
                time.sleep(0.5)
                ended = figures()
                found[attack] = {name: ended[name] - began[name] for name in ended}
                found[attack]["resident"] = resident(daemon.pid) - before
                if not found[attack]["skipped"] and not found[attack]["slow"]:
                    break
        found["choice"] = status(world)["policies"][0]["choice"]
        world.broker.start()
        FILE.write_text(config)
        assert ask(world, "reload")[0] == 0
        until(lambda: metric("steerd_mqtt_connected"))
    return found


@pytest.mark.parametrize("attack", ["taken_over", "redirect", "qos_2", "bad_topic", "bad_properties"])
def test_whoever_is_sent_away_for_good_reason_does_not_come_back_at_once(attack: str) -> None:
    async def scenario() -> list[bool]:
        gateway = Gateway(port, backoff=(60.0, 120.0))
        async with running(gateway):
            await until_async(lambda: False in gateway.connected)
            await asyncio.sleep(5.0)  # who finds nobody there tries again within 3 s
        return gateway.connected

    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.lab.hostile_broker", str(port), attack]) as broker:
        try:
            assert asyncio.run(scenario()) == [True, False]
        finally:
            broker.kill()


def test_a_broker_that_ends_each_session_at_once_is_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def scenario() -> None:
        gateway = Gateway(port, backoff=(0.01, 0.02))
        async with running(gateway):
            await until_async(lambda: gateway.connected.count(True) >= 4)

    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.lab.hostile_broker", str(port), "leaves"]) as broker:
        try:
            asyncio.run(scenario())
        finally:
            broker.kill()
    assert sum("connected to" in line for line in caplog.messages) == 1


def test_whatever_a_broker_does_costs_little_memory_few_lines_and_no_probe() -> None:
    found = run(f"{__name__}:played", timeout=300)
    assert found.pop("choice") == "fra1/tun-fra1"
    for attack, cost in found.items():
        assert cost["lines"] < 20, attack
        assert cost["resident"] < 40, attack
        assert cost["skipped"] == 0, attack
        assert cost["slow"] == 0, attack
    for attack, reason in REASONS.items():
        assert found[attack][reason] >= 1, attack
