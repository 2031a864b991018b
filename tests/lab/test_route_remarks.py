"""What a router remarks of real surroundings, and that it is so."""

import asyncio
import logging

import pytest

from steerd.config.route_settings import AUTO, Flows, OnStop
from tests.lab.test_route_world import Gateway, Heard, ip, path, policy, reconfigure, routing, settings, steer
from tests.lab.waiting import until_async

pytestmark = pytest.mark.lab

FOLLOWING = path(3, "c", via=AUTO, carries="4")
WAITS = "path pop/c: carries no IPv4 until main has a default route through c"


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def test_shadowed_prefixes_are_remarked_while_main_has_them_and_really_go_by_main(gateway, caplog):
    async def run():
        given = settings((path(1, "a"), FOLLOWING), (policy("p", 0, "10.1.2.0/24", "10.2.0.0/16", "2001:db8::/32"),))
        ip("route", "add", "10.1.0.0/16", "dev", "wan")
        router = Heard().router(given)
        await router.start()
        await until_async(lambda: len(router.remarks()) == 2)
        shadow = next(one for one in router.remarks() if one != WAITS)
        assert shadow.startswith("policy p: 1 of 3 prefixes")
        assert shadow.endswith("10.1.2.0/24 by 10.1.0.0/16")
        await router.steer(steer("p", "a"))
        gateway.send("10.1.2.3", 3)
        gateway.send("10.2.0.1", 2)
        assert gateway.arrivals() == {"wan": 3, "a": 2}
        ip("route", "add", "192.168.99.0/24", "dev", "wan")  # looked at again, and nothing new
        await asyncio.sleep(0.3)
        ip("route", "del", "10.1.0.0/16", "dev", "wan")
        await until_async(lambda: router.remarks() == (WAITS,))
        gateway.send("10.1.2.3", 3)
        assert gateway.arrivals() == {"a": 3}
        ip("route", "add", "default", "dev", "c", "metric", "9")
        await until_async(lambda: router.remarks() == ())
        ip("-6", "route", "add", "2001:db8::/16", "dev", "wan")
        await until_async(lambda: len(router.remarks()) == 1)
        await router.stop()
        said = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
        assert sorted(said) == sorted([shadow, WAITS, said[-1]])
        assert said[-1].endswith("2001:db8::/32 by 2001::/16")

    routing(run())


def test_uplinks_that_are_on_one_device_are_remarked(gateway):
    async def run():
        for name in ("m1", "m2"):
            ip("link", "add", name, "link", "lan", "type", "macvlan", "mode", "bridge")
            ip("link", "set", name, "up")
        router = Heard().router(settings((path(1, "m1"), path(2, "m2"), path(3, "a")), (policy("p", 0, "10.0.0.0/8"),)))
        await router.start()
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert said.startswith("pop/m1 and pop/m2 both leave by lan, so they fail together")
        await router.stop()

    routing(run())


def test_what_tunnels_leave_by_is_found_and_followed(gateway):
    async def run():
        for number, name in enumerate(("t1", "t2"), 1):
            remote = f"198.51.100.{number}"
            ip("link", "add", name, "type", "vxlan", "id", str(number), "remote", remote, "dstport", "4789")
            ip("link", "set", name, "up")
        ip("link", "add", "t3", "type", "vxlan", "id", "3", "remote", "2001:db8:3::1", "dstport", "4790")
        ip("link", "set", "t3", "up")
        ip("route", "add", "198.51.100.2", "dev", "a")
        whole = policy("all", 0, "0.0.0.0/0", own_traffic=True)
        paths = tuple(path(n, name) for n, name in enumerate(("t1", "t2", "t3", "b"), 1))
        router = Heard().router(settings(paths, (whole,)))
        await router.start()
        await until_async(router.underlays)
        assert {one: tuple(found)[:2] for one, found in router.underlays().items()} == {
            "pop/t1": ("198.51.100.1", "wan"), "pop/t2": ("198.51.100.2", "a"), "pop/t3": ("2001:db8:3::1", "wan")
        }  # fmt: skip
        (said,) = router.remarks()
        assert said.startswith("pop/t1 and pop/t3 both leave by wan, so they fail together")

        assert (await router.steer(steer("all", "t1"))).error is None
        await reconfigure(router, settings(paths, (whole,), on_stop=OnStop.CLEANUP))  # a reload looks again
        await until_async(lambda: len(router.remarks()) == 1 and "into itself" in router.remarks()[0])
        (said,) = router.remarks()
        assert said == (
            "t1: its outer packets, to 198.51.100.1, are steered into itself by a policy with own_traffic: "
            "list 198.51.100.1 in route.management, or have the tunnel mark them with route.bypass_mark"
        )
        apart = settings(paths, (whole,), management=("198.51.100.1/32",), on_stop=OnStop.CLEANUP)
        await reconfigure(router, apart)
        await until_async(lambda: router.underlays()["pop/t1"].device == "wan")
        assert not any("into itself" in one for one in router.remarks())
        await router.stop()

    routing(run())


def test_an_input_that_does_not_exist_is_remarked_and_one_that_became_a_port_is_an_error_that_names_its_bridge(gateway):
    async def run():
        heard = Heard()
        router = heard.router(settings((path(1, "a"), path(2, "b")), (policy("p", 0, "0.0.0.0/0", iifs=("lan",)),)))
        await router.start()
        await router.steer(steer("p", "a"))
        gateway.send("10.1.2.3", 3)
        assert gateway.arrivals() == {"a": 3}
        ip("link", "add", "br0", "type", "bridge")
        ip("link", "set", "dev", "lan", "master", "br0")
        port = "what comes in by lan comes in by br0, whose port it is: name br0 in iif"
        await until_async(lambda: router.remarks() == (f"policy p: {port}",))
        await until_async(lambda: heard.installed and heard.installed[-1].mismatch == port)
        mended = settings((path(1, "a"),), (policy("p", 0, "0.0.0.0/0", iifs=("br0", "guests")),))
        (found,) = await reconfigure(router, mended)
        assert found.mismatch is None
        absent = "policy p: device guests of its iif does not exist: nothing comes in by it"
        await until_async(lambda: router.remarks() == (absent,))
        ip("link", "add", "guests", "type", "bridge")
        await until_async(lambda: not router.remarks())
        await router.stop()

    routing(run())


def test_a_next_hop_of_the_other_family_is_not_followed_and_said_to_be_there(gateway):
    async def run():
        router = Heard().router(settings((path(1, "a"), FOLLOWING), (policy("p", 0, "10.0.0.0/8"),)))
        await router.start()
        await until_async(lambda: router.remarks() == (WAITS,))
        ip("link", "set", "dev", "c", "addrgenmode", "none", check=False)
        ip("route", "add", "0.0.0.0/0", "via", "inet6", "fe80::1", "dev", "c", "metric", "9")
        said = f"{WAITS}: the next hop of the one there is of the other family, which is not followed"
        await until_async(lambda: router.remarks() == (said,))
        await router.stop()

    routing(run())


@pytest.mark.nft
def test_strict_filtering_is_remarked_where_connections_are_pinned(gateway):
    async def run():
        paths = (path(1, "a"), path(2, "b"))
        gateway.sysctl("ipv4/conf/a/rp_filter", 1)
        gateway.sysctl("ipv4/conf/b/rp_filter", 2)
        router = Heard().router(settings(paths, (policy("p", 0, "10.0.0.0/8", flows=Flows.PIN),)))
        await router.start()
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert said.startswith("a: rp_filter is in effect as 1")
        assert "net.ipv4.conf.a.rp_filter=2" in said
        await reconfigure(router, settings(paths, (policy("p", 0, "10.0.0.0/8"),)))
        await until_async(lambda: not router.remarks())
        await router.stop()

    routing(run())
