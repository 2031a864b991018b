"""A router that spreads flows over two ways, of which one is dead: flow by flow, users lose half of everything."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from steerd.config.probe_settings import ProbeSettings
from steerd.core.events import Outcome, Probed
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.probe.prober import Prober
from tests.lab.probing import path
from tests.lab.waiting import until_async

pytestmark = pytest.mark.lab

FAR = "10.99.0.1"


def ways() -> None:
    """gw - r, which spreads by ports over a and b, and behind both FAR; answers come back by a."""
    namespaces.add("gw", "r", "a", "b", "far")
    for near, device, other, number in (
        ("gw", "v0", "r", 0), ("r", "ra", "a", 1), ("r", "rb", "b", 2), ("a", "af", "far", 3), ("b", "bf", "far", 4),
    ):  # fmt: skip
        peer = f"{device}-"
        namespaces.ip(f"link add {device} netns {near} type veth peer name {peer} netns {other}")
        for namespace, name, host in ((near, device, 1), (other, peer, 2)):
            namespaces.ip(f"addr add 10.98.{number}.{host}/24 dev {name}\nlink set {name} up", namespace)
    for one in ("r", "a", "b", "far"):
        namespaces.sysctl(one, ipv4__ip_forward=1, ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0)
    namespaces.sysctl("r", ipv4__fib_multipath_hash_policy=1)
    namespaces.ip("route add default via 10.98.0.2", "gw")
    namespaces.ip(f"route add {FAR} nexthop via 10.98.1.2 nexthop via 10.98.2.2", "r")
    namespaces.ip(f"route add {FAR} via 10.98.3.2\nroute add 10.98.0.0/24 via 10.98.1.1", "a")
    namespaces.ip(f"route add {FAR} via 10.98.4.2", "b")
    namespaces.ip(f"addr add {FAR}/32 dev lo\nroute add default via 10.98.3.1", "far")
    namespaces.enter("gw")


def one_dies() -> Any:
    ways()
    told: list[Probed] = []

    def counted() -> Counter[str]:
        return Counter(one.outcome.value for one in told)

    async def main() -> Any:
        # A connection that is refused is an answer; each comes from a port of its own.
        paths = (path(1, [FAR], timeout=0.3, method="tcp", port=4444, interval=0.1),)
        prober = Prober(ProbeSettings(paths, 0.1), on_outcome=told.append, seed=1)
        prober.start()
        await until_async(lambda: counted()["reply"] > 40)
        before = dict(counted())
        namespaces.ip(f"route replace blackhole {FAR}", "b")
        told.clear()
        settled = (Outcome.REPLY, Outcome.LOST)
        await until_async(lambda: sum(one.outcome in settled for one in told) > 80)
        prober.close()
        return before, dict(counted())

    return asyncio.run(main())


def test_one_dead_way_of_two_shows_as_loss() -> None:
    before, after = run(f"{__name__}:one_dies")
    assert before.get("lost", 0) == 0
    assert 15 < after["lost"] < 65
    assert after["reply"] > 15
