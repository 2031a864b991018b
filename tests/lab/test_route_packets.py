"""Where policies' packets go, counted by nftables and compared with what comes out of each device."""

import socket
import subprocess
from collections import Counter
from dataclasses import replace

import pytest

from steerd.config.settings import Flows, Guard
from tests.lab.test_route_world import (
    LAN_GATEWAY,
    Gateway,
    Heard,
    entered,
    ip,
    path,
    policy,
    reconfigure,
    routing,
    settings,
    steer,
)
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

EVERYTHING = ("0.0.0.0/0", "::/0")
PATHS = (path(1, "a"), path(2, "b"), path(3, "c"))
ALL = policy("all", 0, *EVERYTHING, guard=Guard.USUAL)
OPEN = replace(ALL, guard=Guard.OFF)


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def counted(router) -> Counter:
    """Packets so far, by policy, family, where and device."""
    return +Counter(dict(router.packet_totals()))


def told(router) -> dict:
    """What is wrong with each policy, as a status shows it."""
    return {name: one.wrong for name, one in router.packets().items()}


def nft(text: str, *words: str) -> str:
    done = subprocess.run(
        ["nft", *(words or ("-f", "-"))], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def counting(given):
    """A router whose counters are in place."""
    heard = Heard()
    router = heard.router(replace(given, count=True))
    await router.start()
    await until_async(lambda: "steerd_packets" in nft("", "list", "tables"))
    return heard, router


def test_packets_are_counted_by_the_device_that_they_leave_by(gateway):
    async def run():
        _, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3", 30)
        gateway.send("2001:db8::1", 20)
        gateway.send(LAN_GATEWAY, 5)
        gateway.send("203.0.113.77", 5)  # main knows it
        assert gateway.arrivals() == {"a": 50, "wan": 5}
        await until_async(lambda: counted(router) == {("all", 4, "choice", "a"): 30, ("all", 6, "choice", "a"): 20})
        assert told(router) == {"all": False}
        await router.stop()
        assert "steerd_packets" not in nft("", "list", "tables")

    routing(run())
