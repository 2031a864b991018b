"""A default route in pieces: what routes of main take of a policy between them is told, and leaks nowhere."""

import asyncio
import socket
import subprocess
from dataclasses import replace
from ipaddress import ip_network

import pytest

from steerd.config.route_settings import Guard
from tests.lab.test_route_world import (
    LAN_GATEWAY,
    PORT,
    Gateway,
    Heard,
    entered,
    goes,
    ip,
    path,
    policy,
    routing,
    settings,
    steer,
)
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

PATHS = (path(1, "a"), path(2, "b"))
ALL = policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL)
BARE = policy("all", 0, "0.0.0.0/0", "::/0")
PRIVATE = [ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
VIA = ("via", "203.0.113.7", "dev", "wan")


def without(prefixes, holes):
    """What is left of networks: how programs spell "all but these"."""
    left = [ip_network(one) for one in prefixes]
    for hole in map(ip_network, holes):
        left = [
            part
            for one in left
            for part in (one.address_exclude(hole) if hole.subnet_of(one) else [one])
            if not part.subnet_of(hole)
        ]
    return [str(one) for one in left]


HALVES, HALVES6 = ("0.0.0.0/1", "128.0.0.0/1"), ("::/1", "8000::/1")
QUARTERS = tuple(str(one) for one in ip_network("0.0.0.0/0").subnets(2))
BUT_PRIVATE = tuple(without(["0.0.0.0/0"], PRIVATE))
BUT_ONE = tuple(without(["0.0.0.0/0"], ["198.51.100.9/32"]))
GLOBAL6 = ("2000::/3",)
MANY = tuple(str(one) for one in ip_network("0.0.0.0/0").subnets(12))


@pytest.fixture
def gateway():
    with Gateway("a", "b") as one:
        yield one


def routes(verb, prefixes, *words):
    lines = "".join(f"route {verb} {one} {' '.join(words)}\n" for one in prefixes)
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("pieces", "words", "address"),
    [
        (HALVES, VIA, "10.1.2.3"),
        (HALVES, ("dev", "wan"), "10.1.2.3"),
        (QUARTERS, VIA, "198.51.100.1"),
        (BUT_PRIVATE, VIA, "198.51.100.1"),
        (BUT_ONE, VIA, "198.51.100.1"),
        (MANY, VIA, "198.51.100.1"),
        (HALVES6, ("dev", "wan"), "2001:db8::1"),
        (GLOBAL6, ("dev", "wan"), "2001:db8::1"),
    ],
    ids=["halves", "device alone", "quarters", "all but private", "all but one", "thousands", "IPv6", "2000::/3"],
)
def test_a_default_route_in_pieces_is_an_error_and_leaks_nothing_until_it_goes(gateway, pieces, words, address):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        other = "2001:db8::1" if "." in address else "198.51.100.1"
        routes("add", pieces, *words)
        await until_async(lambda: heard.installed and heard.installed[-1].mismatch)
        said = heard.installed[-1].mismatch
        family = "IPv4" if "." in address else "IPv6"
        assert f"% of its {family} addresses" in said
        assert "by wan" in said
        assert min(pieces, key=lambda one: int(one.split("/")[1])) in said
        assert len(said) < 400
        await until_async(lambda: goes(gateway, address) is None)
        gateway.send(address, 5)
        assert gateway.arrivals() == {}
        assert goes(gateway, other) == "a"
        assert gateway.ping_from_lan(LAN_GATEWAY)
        assert goes(gateway, "203.0.113.77") == "wan"  # the uplink's own network
        routes("del", pieces, *words)
        await until_async(lambda: heard.installed[-1].mismatch is None)
        await until_async(lambda: goes(gateway, address) == "a")
        await router.stop()

    routing(run())


def send_of_service(gateway, address, service):
    with entered(gateway.lan), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, service)
        one.sendto(b"test", (address, PORT))


@pytest.mark.parametrize(
    ("pieces", "words", "address"),
    [
        (HALVES, ("tos", "0x10", *VIA), "198.51.100.1"),
        (GLOBAL6, ("from", "2001:db8:9::/48", "dev", "wan"), "2001:db8::1"),
    ],
    ids=["type of service", "source"],
)
def test_pieces_for_some_packets_alone_take_nothing_of_the_others_and_leak_nothing(gateway, pieces, words, address):
    heard = Heard()

    async def run():
        tunnels = replace(ALL, allowed=frozenset(one.path for one in PATHS))
        router = heard.router(settings((*PATHS, path(3, "wan", via="auto")), (tunnels,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        routes("add", pieces, *words)
        ip("route", "add", "default", "tos", "0x10", "via", "203.0.113.9", "dev", "wan", "metric", "1")
        ip("rule", "add", "priority", "90", "to", "100.64.0.0/24", "lookup", "90")
        ip("route", "add", "100.64.0.0/24", "dev", "wan", "table", "90")
        await until_async(router.remarks)  # so it was looked at
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert goes(gateway, address) == "a"
        send_of_service(gateway, "198.51.100.1", 0x10)
        assert gateway.arrivals() == ({} if "tos" in words else {"a": 1})
        assert router.effective().paths[2].via is None  # that of main's default route for all
        await router.stop()

    routing(run())


def test_a_default_route_in_pieces_that_is_there_before_the_start_is_an_error(gateway):
    routes("add", HALVES, *VIA)
    routes("add", HALVES6, "dev", "wan")

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        gateway.send("10.1.2.3", 3)
        assert gateway.arrivals() == {}
        said = (await router.steer(steer("all", "a"))).mismatch
        assert "100 % of its IPv4 addresses: 0.0.0.0/1, 128.0.0.0/1 by wan" in said
        assert "100 % of its IPv6 addresses: ::/1, 8000::/1 by wan" in said
        gateway.send("10.1.2.3", 3)
        gateway.send("2001:db8::1", 3)
        assert gateway.arrivals() == {}
        await router.stop()

    routing(run())


def test_without_a_guard_it_is_told_all_the_same(gateway):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (BARE,)))
        await router.start()
        await router.steer(steer("all", "a"))
        routes("add", HALVES, *VIA)
        await until_async(lambda: heard.installed and heard.installed[-1].mismatch)
        assert "guard" not in heard.installed[-1].mismatch
        assert goes(gateway, "10.1.2.3") == "wan"
        await router.stop()

    routing(run())


def test_what_leads_nowhere_takes_traffic_too(gateway):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        for one in HALVES:
            ip("route", "add", "unreachable", one)
        await until_async(lambda: heard.installed and heard.installed[-1].mismatch)
        assert "0.0.0.0/1, 128.0.0.0/1 to nowhere" in heard.installed[-1].mismatch
        assert goes(gateway, "10.1.2.3") is None
        await router.stop()

    routing(run())


def test_half_is_remarked_with_its_share_and_goes_by_main_as_the_rest_goes_by_the_path(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        routes("add", HALVES[:1], *VIA)
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert said.startswith("policy all: routes of main that are no default routes take ")
        assert said.endswith("% of its IPv4 addresses: 0.0.0.0/1 by wan")
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert [goes(gateway, one) for one in ("10.1.2.3", "198.51.100.1", "2001:db8::1")] == ["wan", "a", "a"]
        routes("del", HALVES[:1], *VIA)
        await until_async(lambda: not router.remarks())
        await router.stop()

    routing(run())


def test_pieces_by_the_path_in_use_are_as_good_as_steered_until_another_is_chosen(gateway):
    routes("add", HALVES, "dev", "a")

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert goes(gateway, "10.1.2.3") == "a"
        await until_async(router.remarks)
        assert "0.0.0.0/1, 128.0.0.0/1 by a" in router.remarks()[0]
        said = (await router.steer(steer("all", "b"))).mismatch
        assert "0.0.0.0/1, 128.0.0.0/1 by a" in said
        assert "guard" not in said
        assert goes(gateway, "10.1.2.3") == "a"
        await router.stop()

    routing(run())


def test_next_hops_that_are_objects_are_known_by_their_devices(gateway):
    gateway.sysctl("ipv4/nexthop_compat_mode", 0)
    ip("nexthop", "add", "id", "7", "dev", "wan")
    ip("nexthop", "add", "id", "8", "dev", "a")
    ip("nexthop", "add", "id", "9", "group", "7/8")
    routes("add", HALVES, "nhid", "8")
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert goes(gateway, "10.1.2.3") == "a"
        routes("replace", HALVES, "nhid", "9")
        await until_async(lambda: heard.installed and heard.installed[-1].mismatch)
        assert "0.0.0.0/1, 128.0.0.0/1 by a, wan" in heard.installed[-1].mismatch
        await router.stop()

    routing(run())


def test_a_policy_whose_prefixes_are_covered_by_several_routes_is_in_error_and_others_are_as_they_were(gateway):
    office = policy("office", 0, "10.0.0.0/8", "192.0.2.0/24", guard=Guard.ALWAYS)
    guests = policy("guests", 1, "0.0.0.0/0", guard=Guard.USUAL, sources=("192.168.60.0/24",))
    rest = policy("rest", 2, "0.0.0.0/0", guard=Guard.USUAL)
    routes("add", ("10.0.0.0/9", "10.128.0.0/9", "192.0.2.0/25", "192.0.2.128/25", "100.64.0.0/10"), *VIA)

    async def run():
        router = Heard().router(settings(PATHS, (office, guests, rest)))
        await router.start()
        told = {name: (await router.steer(steer(name, "a"))).mismatch for name in ("office", "guests", "rest")}
        assert "100 % of its IPv4 addresses: 10.0.0.0/9, 10.128.0.0/9, 192.0.2.0/25 and" in told["office"]
        assert (told["guests"], told["rest"]) == (None, None)
        assert [goes(gateway, one) for one in ("10.1.2.3", "192.0.2.200", "198.51.100.1")] == [None, None, "a"]
        assert goes(gateway, "100.64.1.1") == "wan"
        await router.stop()

    routing(run())


def many(number):
    """No two of these networks of 256 addresses are neighbours."""
    return [f"{20 + (n >> 15)}.{n >> 7 & 255}.{n << 1 & 255}.0/24" for n in range(number)]


def test_what_main_knows_better_stays_reachable_with_60000_routes(gateway):
    routes("add", many(60_000), *VIA)
    last = many(60_000)[-1].replace(".0/24", ".7")

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert [goes(gateway, one) for one in ("20.0.0.7", last, "20.0.1.7")] == ["wan", "wan", "a"]
        await asyncio.sleep(0)
        assert router.remarks() == ()
        await router.stop()

    routing(run())


def test_what_is_too_much_for_the_guard_is_counted_in_the_remarks_until_it_is_less(gateway, monkeypatch):
    monkeypatch.setattr("steerd.route.nft.ruleset.MOST_RANGES", 50)
    routes("add", many(80), *VIA)

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))

        # The guard's drops of the last minute are remarked upon as well.
        def said() -> list[str]:
            return [one for one in router.remarks() if one.startswith("main has too many routes for the leak guard: ")]

        await until_async(said)
        assert said()[0].startswith("main has too many routes for the leak guard: 32 ranges")  # and two of its own
        assert sum(goes(gateway, one.replace(".0/24", ".7")) == "wan" for one in many(80)) == 48
        routes("del", many(80)[40:], *VIA)
        await until_async(lambda: not said(), told=lambda: str(said()))
        assert goes(gateway, "20.0.78.7") == "wan"
        await router.stop()

    routing(run())
