"""`via = "auto"` on a real segment with two routers: gateways that come late, change, and go, in both families."""

import asyncio
import os
import select
import socket
from collections import Counter

import pytest

from steerd.config.route_settings import AUTO, OnStop
from steerd.core.events import Installed
from steerd.net.netlink import Connection
from steerd.route.kernel.codec import route as route_codec
from steerd.route.model.objects import MAIN
from steerd.route.model.prefixes import FAMILIES
from steerd.route.once import cleanup, plan
from steerd.route.wanted.choice import Choice
from tests.lab.test_route_world import (
    Gateway,
    Heard,
    entered,
    ip,
    is_test,
    new_namespace,
    ours,
    path,
    policy,
    reconfigure,
    routing,
    settings,
    steer,
    ups,
)
from tests.lab.waiting import until_async

pytestmark = pytest.mark.lab

PREFIXES = ("10.0.0.0/8", "2001:db8::/32")
UPLINK = path(1, "eth1", via=AUTO, via6=AUTO)
TUNNEL = path(2, "a")
CONFIGURED = settings((UPLINK, TUNNEL), (policy("p", 0, *PREFIXES),))
MARK = 1 << 24
_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33


class Segment(Gateway):
    """The gateway has ``eth1``, Ethernet, to a segment with the routers 10.9.0.1, fe80::1 and 10.9.0.2, fe80::2."""

    def build(self) -> None:
        super().build()
        far = self._namespace()
        ip("link", "add", "eth1", "type", "veth", "peer", "name", "segment", "netns", f"/proc/{os.getpid()}/fd/{far}")
        self.sysctl("ipv6/conf/eth1/accept_dad", 0)  # neighbours are asked from its address at once
        ip("addr", "add", "10.9.0.9/24", "dev", "eth1")
        ip("link", "set", "eth1", "up")
        self._routers: dict[str, socket.socket] = {}
        for number in (1, 2):
            inside = self._namespace()
            with entered(far):
                ip("link", "set", "segment", "up")
                place = f"/proc/{os.getpid()}/fd/{inside}"
                ip("link", "add", "eth", "link", "segment", "netns", place, "type", "macvlan", "mode", "bridge")
            with entered(inside):
                ip("addr", "add", f"10.9.0.{number}/24", "dev", "eth")
                ip("-6", "addr", "add", f"fe80::{number}/64", "dev", "eth", "nodad")
                ip("link", "set", "eth", "up")
                ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
                self._stack.enter_context(ear)
                ear.bind(("eth", _ETH_P_ALL))
                ear.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)  # it is listened to at the end only
                self._routers[f"router{number}"] = ear

    def _namespace(self) -> int:
        namespace = new_namespace()
        self._stack.callback(os.close, namespace)
        return namespace

    def arrivals(self) -> Counter[str]:
        found = super().arrivals()
        for name, ear in getattr(self, "_routers", {}).items():
            while select.select([ear], [], [], 0)[0]:
                packet, origin = ear.recvfrom(4096)
                # Multicast is heard by all, and what is sent from here is heard too.
                if origin[2] == socket.PACKET_HOST and is_test(packet):
                    found[name] += 1
        return found


@pytest.fixture
def gateway():
    with Segment("a") as one:
        yield one


def default(verb: str, number: int, *families: int) -> None:
    """As a DHCP client and a router advertisement write it."""
    for family in families or FAMILIES:
        via = f"10.9.0.{number}" if family == 4 else f"fe80::{number}"
        proto = "dhcp" if family == 4 else "ra"
        ip(f"-{family}", "route", verb, "default", "via", via, "dev", "eth1", "metric", "2048", "proto", proto)


def main() -> list[bytes]:
    connection = Connection()
    try:
        return [
            body
            for family in FAMILIES
            for body in connection.dump(route_codec.RTM_GETROUTE, route_codec.dump_request(family, table=MAIN))
        ]
    finally:
        connection.close()


def way(family: int) -> str:
    """What the path's own table says."""
    return ip(f"-{family}", "route", "show", "table", "4301").splitlines()[0].split(" proto")[0]


def both(gateway: Gateway, times: int = 5) -> Counter[str]:
    gateway.send("10.1.2.3", times)
    gateway.send("2001:db8::1", times)
    return gateway.arrivals()


class Running:
    """A router in the settings of `CONFIGURED`, until the block ends."""

    def __init__(self, given=CONFIGURED) -> None:
        self._given = given
        self.heard = Heard()

    async def __aenter__(self):
        self.router = self.heard.router(self._given)
        self.adopted = await self.router.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.router.stop()


def test_a_gateway_that_comes_late_makes_the_path_usable_in_its_family(gateway):
    async def run():
        async with Running() as running:
            assert ups(running.router) == {"pop/eth1": False, "pop/a": True}
            assert (await running.router.steer(steer("p", "eth1"))).error is not None
            assert both(gateway) == {}  # held, in place of a bare device or main's own default
            default("add", 1, 4)
            before = main()
            await until_async(lambda: ("pop/eth1", True) in running.heard.links)
            assert (await running.router.steer(steer("p", "eth1", "a"))).error is None
            assert both(gateway) == {"router1": 5}
            assert way(6) == "unreachable default dev lo"
            default("add", 1, 6)
            await until_async(lambda: way(6) == "default via fe80::1 dev eth1")
            assert both(gateway) == {"router1": 10}
            gateway.send_own("10.200.0.1", MARK)
            gateway.send_own("2001:db8:ffff::1", MARK)
            assert gateway.arrivals() == {"router1": 2}  # as probes go
            default("del", 1, 6)
            assert main() == before

    routing(run())


def test_a_gateway_that_changes_is_followed_without_losing_a_packet(gateway):
    async def run():
        default("add", 1)
        async with Running() as running:
            assert await running.router.steer(steer("p", "eth1", "a")) == Installed("p", "pop/eth1", "pop/a", None)
            sent = 0

            def send():
                nonlocal sent
                gateway.send("10.1.2.3")
                gateway.send("2001:db8::1")
                sent += 2

            for _ in range(100):
                send()
                await asyncio.sleep(0.002)
            default("replace", 2)
            before = main()
            await until_async(lambda: send() or (" fe80::2 " in way(6) and " 10.9.0.2 " in way(4)))
            for _ in range(100):
                send()
                await asyncio.sleep(0.002)
            arrived = gateway.arrivals()
            assert arrived.total() == sent
            assert arrived["router1"] >= 200
            assert arrived["router2"] >= 200
            assert set(arrived) == {"router1", "router2"}
            assert main() == before
            assert both(gateway) == {"router2": 10}
            assert [way(family) for family in FAMILIES] == [
                "default via 10.9.0.2 dev eth1",
                "default via fe80::2 dev eth1",
            ]
            assert " via 10.9.0.1 " not in ours()
            assert Installed("p", "pop/eth1", "pop/a", None) in running.heard.installed
            assert not running.heard.links
            assert not running.heard.repairs

    routing(run())


def test_a_default_that_goes_is_remembered_until_another_comes_or_the_device_goes_down(gateway):
    async def run():
        default("add", 1)
        async with Running() as running:
            await running.router.steer(steer("p", "eth1"))
            before = ours()
            for rounds in range(300):  # a lease is renewed
                gateway.send("10.1.2.3")
                gateway.send("2001:db8::1")
                if rounds in (100, 200):
                    default("del" if rounds == 100 else "add", 1)
                await asyncio.sleep(0.002)
            assert gateway.arrivals() == {"router1": 600}
            assert ours() == before
            default("del", 1)
            await asyncio.sleep(0.5)
            assert both(gateway) == {"router1": 10}
            assert ours() == before
            default("add", 2, 4)
            await until_async(lambda: way(4) == "default via 10.9.0.2 dev eth1")
            assert both(gateway) == {"router1": 5, "router2": 5}
            default("del", 2, 4)
            running.heard.links.clear()
            ip("link", "set", "eth1", "down")
            await until_async(lambda: ("pop/eth1", False) in running.heard.links)
            # The surroundings are looked at in a task of their own.
            await until_async(lambda: running.router.effective().paths[0].via is None)
            ip("link", "set", "eth1", "up")
            await asyncio.sleep(0.5)
            assert not ups(running.router)["pop/eth1"]
            assert both(gateway) == {}
            default("add", 1, 4)
            await until_async(lambda: ups(running.router)["pop/eth1"])
            gateway.send("10.1.2.3", 5)
            assert gateway.arrivals() == {"router1": 5}

    routing(run())


def test_the_lowest_metric_counts_and_a_device_without_gateway_serves_alone(gateway):
    async def run():
        default("add", 1)
        ip("route", "add", "default", "via", "10.9.0.2", "dev", "eth1", "metric", "50")
        ip("route", "add", "default", "dev", "a", "metric", "3000")
        dialled = path(2, "a", via=AUTO, carries="4")
        async with Running(settings((UPLINK, dialled), CONFIGURED.policies)) as running:
            await running.router.steer(steer("p", "eth1"))
            assert both(gateway) == {"router1": 5, "router2": 5}
            await running.router.steer(steer("p", "a"))
            assert both(gateway) == {"a": 5}

    routing(run())


def test_a_restart_adopts_and_a_reload_may_turn_to_auto_and_back(gateway):
    async def run():
        default("add", 1)
        async with Running() as running:
            await running.router.steer(steer("p", "eth1", "a"))
        before = ours()
        async with Running() as running:
            assert running.adopted == (Installed("p", "pop/eth1", "pop/a", None),)
            assert ours() == before
            fixed = settings((path(1, "eth1", via="10.9.0.2", via6="fe80::2"), TUNNEL), CONFIGURED.policies)
            await reconfigure(running.router, fixed)
            assert both(gateway) == {"router2": 10}
            default("replace", 1)  # of no concern now
            await asyncio.sleep(0.3)
            assert both(gateway) == {"router2": 10}
            await reconfigure(running.router, CONFIGURED)
            assert both(gateway) == {"router1": 10}
            await asyncio.sleep(0.3)  # what a reload itself looks at is looked at
            default("replace", 2)
            await until_async(lambda: way(4) == "default via 10.9.0.2 dev eth1")
            assert both(gateway) == {"router2": 10}

    routing(run())


def test_a_plan_names_the_gateway_and_cleaning_up_leaves_what_others_wrote(gateway):
    default("add", 1)
    before = main()
    lines = plan(CONFIGURED, {"p": Choice("pop/eth1")}).lines
    assert any("via 10.9.0.1 dev eth1" in line for line in lines)
    assert any("via fe80::1 dev eth1" in line for line in lines)
    assert not any(AUTO in line for line in lines)

    async def run():
        async with Running(settings((UPLINK,), CONFIGURED.policies, on_stop=OnStop.KEEP)) as running:
            await running.router.steer(steer("p", "eth1"))
        assert cleanup(CONFIGURED) > 0

    routing(run())
    assert ours() == ""
    assert main() == before


@pytest.mark.parametrize("objects", [True, False], ids=["nexthop-objects", "plain-routes"])
def test_a_next_hop_that_main_reaches_though_no_route_says_so_is_followed_as_it_is(gateway, objects):
    """As hosting providers have it: a gateway outside of every network of the device."""
    given = settings((UPLINK, TUNNEL), (policy("p", 0, *PREFIXES),), objects=objects)

    async def run():
        async with Running(given) as running:
            ip("addr", "del", "10.9.0.9/24", "dev", "eth1")
            ip("addr", "add", "192.0.2.9/32", "dev", "eth1")
            ip("route", "add", "default", "via", "10.9.0.1", "dev", "eth1", "onlink", "metric", "2048")
            await until_async(lambda: ups(running.router)["pop/eth1"])
            assert (await running.router.steer(steer("p", "eth1", "a"))).error is None
            gateway.send("10.1.2.3", 5)
            assert gateway.arrivals() == {"router1": 5}
            assert "via 10.9.0.1 dev eth1 proto 210 " in ip("route", "show", "table", "4301")
            assert " onlink" in ip("route", "show", "table", "4301")
            before = main()
            await running.router.stop()
            assert main() == before

    routing(run())


@pytest.mark.parametrize("compat", [0, 1])
def test_a_gateway_is_followed_that_main_has_as_a_nexthop_object(gateway, compat):
    gateway.sysctl("ipv4/nexthop_compat_mode", compat)  # 0: such a route does not tell its next hop

    async def run():
        async with Running() as running:
            for family, via, number in ((4, "10.9.0.1", 7), (6, "fe80::1", 8)):
                ip(f"-{family}", "nexthop", "add", "id", str(number), "via", via, "dev", "eth1")
                ip(f"-{family}", "route", "add", "default", "nhid", str(number), "metric", "2048")
            await until_async(lambda: ups(running.router)["pop/eth1"])
            assert (await running.router.steer(steer("p", "eth1", "a"))).error is None
            await until_async(lambda: " fe80::1 " in way(6) + " ")
            assert both(gateway) == {"router1": 10}

    routing(run())
