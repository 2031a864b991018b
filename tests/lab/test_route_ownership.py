"""What is ours, what is others', and what is left as it was found."""

import asyncio
import ctypes
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from steerd import faults
from steerd.config.route_settings import OnStop
from steerd.core.events import Installed
from steerd.core.settings import PathId
from steerd.route.error import RouteError
from steerd.route.once import cleanup, plan
from steerd.route.reconcile.reconciler import Reconciler
from steerd.route.wanted.choice import Choice
from tests.lab.test_route_world import (
    PROTOCOL,
    Gateway,
    Heard,
    ip,
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
both_ways = pytest.mark.parametrize("objects", [True, False], ids=["nexthop-objects", "plain-routes"])

EVERYTHING = ("0.0.0.0/0", "::/0")
CALM = 0.3
"""Seconds in which something would have happened that is not to happen."""
PATHS = (path(1, "a"), path(2, "b"), path(3, "c"))
ALL = policy("all", 0, *EVERYTHING)


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def everything() -> str:
    """All of the kernel's routing state, whoever's."""
    listings = []
    for family in ("-4", "-6"):
        listings += [ip(family, "-d", "rule"), ip(family, "-d", "route", "show", "table", "all")]
    return "\n".join([*listings, ip("-d", "nexthop")])


def batch_of(lines: str):
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True, timeout=20)


def put_foreign_objects():
    """Near misses: other protocols anywhere, and our protocol outside of our ranges."""
    for words in (
        "rule add priority 100 fwmark 0x100/0x3f00 lookup 52 protocol 99",
        "rule add priority 5210 not fwmark 0xca6c lookup 51820",
        f"rule add priority 4100 iif lan lookup 70 protocol {PROTOCOL}",
        f"-6 rule add priority 4300 iif lan lookup 70 protocol {PROTOCOL}",
        "route add 10.1.0.0/16 dev wan table 52 protocol 99",
        f"route add 10.1.0.0/16 dev wan table 52 metric 5 protocol {PROTOCOL}",
        f"-6 route add 2001:db8:1::/48 dev wan table 52 protocol {PROTOCOL}",
        "nexthop add id 77 dev wan protocol 99",
        f"nexthop add id 78 dev a protocol {PROTOCOL}",
        "route add 10.2.0.0/16 nhid 77 table 52 protocol 99",
    ):
        ip(*shlex.split(words))


@both_ways
def test_foreign_objects_are_left_byte_for_byte(gateway, objects):
    put_foreign_objects()
    before = everything()
    given = settings(PATHS, (ALL, policy("more", 1, "10.0.0.0/8", sources=("192.168.50.0/24",))), objects=objects)

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await router.steer(steer("more", "b", "c"))
        await router.steer(steer("all", "b", None))
        await reconfigure(router, replace(given, policies=given.policies[:1]))
        await router.steer(steer("all", None))
        await router.stop()

    routing(run())
    assert everything() != before
    assert cleanup(given) > 0
    assert everything() == before
    assert cleanup(given) == 0
    assert everything() == before


@both_ways
def test_a_restart_moves_nothing_whatever_the_order_in_the_file(gateway, objects):
    policies = (
        policy("p0", 0, "10.0.0.0/8", "2001:db8::/32"),
        policy("p1", 1, "10.5.0.0/16"),
        policy("p2", 2, *EVERYTHING, sources=("192.168.50.2/32",), own_traffic=True),
    )
    first = settings(PATHS, policies, objects=objects)
    turned = (
        replace(policies[2], order=0, table=4200),
        replace(policies[0], order=1, table=4201),
        replace(policies[1], order=2, table=4202),
    )
    # Marks and tables of paths go by their names; policies' selectors keep their own precedence.
    second = settings(PATHS[::-1], turned, objects=objects)

    async def run():
        router = Heard().router(first)
        await router.start()
        for name, best, other in (("p0", "a", "b"), ("p1", "b", "c"), ("p2", "c", "a")):
            await router.steer(steer(name, best, other))
        await router.stop()
        said = {}
        for given in (first, settings(PATHS[::-1], policies, objects=objects), second):
            before = ip("route", "show", "table", "all", "proto", str(PROTOCOL)), ip("nexthop")
            router = Heard().router(given)
            said = {one.policy: one.best for one in await router.start()}
            assert said == {"p0": "pop/a", "p1": "pop/b", "p2": "pop/c"}
            assert before == (ip("route", "show", "table", "all", "proto", str(PROTOCOL)), ip("nexthop"))
            if given is not second:  # there the precedence of rules did change
                assert router.changes() == 0
            gateway.send("10.1.2.3")
            gateway.send("10.5.2.3")
            assert gateway.arrivals() == ({"a": 1, "b": 1} if given is not second else {"c": 2})
            await router.stop()

    routing(run())


_VICTIM = """
import asyncio
from tests.lab.test_route_ownership import ALL, PATHS
from tests.lab.test_route_world import Heard, settings, steer

async def run():
    router = Heard().router(settings(PATHS, (ALL,), objects={objects}))
    await router.start()
    assert (await router.steer(steer("all", "b", "a"))).best == "pop/b"
    print("steered", flush=True)
    await asyncio.sleep(60)

asyncio.run(run())
"""


@both_ways
def test_killed_and_started_again_under_traffic(gateway, objects):
    root = Path(__file__).parents[2]
    sent = 0
    done = threading.Event()

    def talk():
        nonlocal sent
        while not done.is_set():
            gateway.send(f"10.1.2.{sent % 250}")
            gateway.send("2001:db8::1")
            sent += 2
            time.sleep(0.001)

    words = [sys.executable, "-c", _VICTIM.format(objects=objects)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=root) as victim:
        try:
            assert victim.stdout.readline() == b"steered\n"
            talker = threading.Thread(target=talk)
            talker.start()
            victim.kill()
            victim.wait(60)

            async def run():
                router = Heard().router(settings(PATHS[::-1], (ALL,), objects=objects))
                assert [one.best for one in await router.start()] == ["pop/b"]
                assert router.changes() == 0
                await asyncio.sleep(CALM)
                await router.stop()

            routing(run())
        finally:
            victim.kill()
            done.set()
            talker.join()
    assert gateway.arrivals() == {"b": sent}


@both_ways
def test_an_unknown_way_out_stays_until_there_is_an_opinion(gateway, objects):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,), objects=objects))
        await router.start()
        await router.steer(steer("all", "a"))
        await router.stop()
        router = Heard().router(settings(PATHS[1:], (ALL,), objects=objects))
        (found,) = await router.start()
        assert found.best is None
        assert "unknown/a" in found.error
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"a": 2}
        assert await router.steer(steer("all", "b")) == Installed("all", "pop/b")
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"b": 2}
        await router.stop()

    routing(run())
    assert " dev a " not in ours()


@both_ways
def test_what_someone_removes_comes_back(gateway, objects):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (policy("all", 0, "10.0.0.0/8", *EVERYTHING),), objects=objects))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        before = ours()
        for words in (
            "rule del priority 4202",
            "-6 rule del priority 4231",
            "route del 10.0.0.0/8 table 4200 metric 1024",
            "-6 route del unreachable default table 4200",
            "route flush table 4301",
            f"rule add priority 4250 lookup 4200 protocol {PROTOCOL}",
            *([f"nexthop flush proto {PROTOCOL}"] if objects else []),
        ):
            repaired = heard.repairs.total()
            ip(*shlex.split(words))
            await until_async(lambda repaired=repaired: heard.repairs.total() > repaired and ours() == before)
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"a": 2}
        await router.stop()

    routing(run())
    assert heard.repairs["rule"] == 3
    assert heard.repairs["route"] >= 4
    if objects:
        assert heard.repairs["nexthop"] == 6
        assert heard.repairs["group"] == 2
    assert heard.installed == []


def test_a_group_that_someone_turned_is_turned_back(gateway):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        shown = ip("-4", "route", "show", "table", "4200", "proto", "210").split()
        group = shown[shown.index("nhid") + 1]
        other = next(line.split()[1] for line in ip("-4", "nexthop").splitlines() if "dev c scope host" in line)
        ip(*f"nexthop replace id {group} group {other} type resilient idle_timer 0 protocol {PROTOCOL}".split())
        await until_async(lambda: heard.repairs)
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"a": 1}
        assert heard.repairs == {"group": 1}
        await router.stop()

    routing(run())


def test_someone_who_undoes_every_repair_is_waited_out(gateway, caplog):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        put = [time.monotonic()]  # whenever a repair is seen; ten are made at once, then at growing intervals
        async with asyncio.timeout(30):
            while not (put[2:] and put[-2] - put[-3] > 0.8 and put[-1] - put[-2] > 1.6):
                await asyncio.to_thread(ip, "rule", "del", "priority", "4231", check=False)
                await asyncio.sleep(0.01)
                put += [time.monotonic()] * (heard.repairs["rule"] - len(put) + 1)
        assert len(put) > 10
        ip("rule", "del", "priority", "4231", check=False)
        assert "keeps undoing `ip rule add not iif lo priority 4231" in caplog.text
        assert any(one.mismatch for one in heard.installed)  # without the rule the kernel sends it by main
        ip("rule", "del", "priority", "4202")  # another object does not wait for those four seconds
        await until_async(lambda: " suppress_prefixlength 0 " in ip("rule"))
        assert "4231:" not in ip("rule")
        ip("link", "set", "dev", "a", "down")  # and nor does a device, with which all is put back
        await until_async(lambda: heard.installed[-1][:2] == ("all", "pop/b"))
        await router.stop()

    routing(run())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("route add 10.1.0.0/16 dev wan table 4200 protocol 99", "table 4200 holds IPv4 routes of protocol 99"),
        ("-6 route add 2001:db8::/32 dev wan table 4302 protocol 99", "table 4302 holds IPv6 routes of protocol 99"),
        ("rule add priority 4250 iif lan lookup 70 protocol 99", "'iif lan priority 4250 lookup 70' of protocol 99"),
        (
            "rule add priority 99 fwmark 0x1000000/0xff000000 lookup 70 protocol 99",
            "uses mark bits of steerd's 0xff000000",
        ),
        ("rule add priority 99 fwmark 0x8000001 lookup 70 protocol 99", "uses mark bits of steerd's 0xff000000"),
    ],
)
def test_collisions_are_named_and_nothing_is_changed(gateway, words, found):
    ip(*shlex.split(words))
    before = everything()

    async def run():
        with pytest.raises(RouteError, match=found):
            await Heard().router(settings(PATHS, (ALL,))).start()

    routing(run())
    assert everything() == before


def test_without_the_capability_it_says_so(gateway):
    # In a child: a dropped capability does not come back.
    child = os.fork()
    if child == 0:
        status = 1
        try:
            header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
            assert ctypes.CDLL(None).capset(header, none) == 0
            with pytest.raises(RouteError, match="CAP_NET_ADMIN"):
                routing(Heard().router(settings(PATHS, (ALL,))).start())
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@both_ways
def test_a_plan_is_what_would_be_done(gateway, objects):
    given = settings(
        PATHS,
        (
            policy("all", 0, "10.0.0.0/8", *EVERYTHING, excepted=("10.9.0.0/16",)),
            policy("lan", 1, "10.1.0.0/16", iifs=("lan",)),
        ),
        objects=objects,
        bypass_mark=0x51,
        management=("192.0.2.0/24", "2001:db8:ff::/48"),
    )
    before = everything()
    choices = {"all": Choice("pop/a", "pop/b"), "lan": Choice("pop/b")}
    lines = plan(given, choices).lines
    assert everything() == before
    for line in lines:
        subprocess.run(shlex.split(line), check=True, timeout=10)
    assert plan(given, choices).lines == []
    assert plan(given, {}).lines == []

    async def run():
        router = Heard().router(given)
        assert {one.policy: one.best for one in await router.start()} == {"all": "pop/a", "lan": "pop/b"}
        assert router.changes() == 0
        await router.stop()

    routing(run())
    moved = plan(given, {"all": Choice("pop/b", "pop/a")}).lines
    if objects:
        assert [line.split()[:3] for line in moved] == [["ip", "nexthop", "replace"]] * 2


def test_a_device_that_went_is_not_said_to_be_back(gateway):
    """By a switch that was made on what was read before."""
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        ip("link", "set", "c", "down")
        await asyncio.sleep(0.02)  # noticed, and not looked at yet
        await router.steer(steer("all", "b", "a"))
        await asyncio.sleep(CALM)
        await router.stop()

    routing(run())
    assert heard.links == [("pop/c", False)]


def test_a_reload_leaves_the_links_to_whoever_asked_for_it(gateway):
    """Who gets called would not know the new paths yet."""
    heard = Heard()
    ip("link", "set", "c", "down")

    async def run():
        router = heard.router(settings(PATHS[:1], (ALL,)))
        await router.start()
        await reconfigure(router, settings(PATHS, (ALL,)))
        found = ups(router)
        await asyncio.sleep(CALM)
        await router.stop()
        return found

    assert routing(run()) == {"pop/a": True, "pop/b": True, "pop/c": False}
    assert heard.links == []


@both_ways
def test_a_reload_adds_before_it_removes(gateway, objects):
    given = settings(PATHS, (policy("p", 0, "10.0.0.0/8"), policy("q", 1, "172.16.0.0/12")), objects=objects)

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("p", "a", "b"))
        await router.steer(steer("q", "b"))
        # More prefixes, and other selectors; the other policy goes.
        turned = replace(given, policies=(policy("p", 0, "10.0.0.0/8", "192.0.2.0/24", iifs=("lan",)),))
        assert await reconfigure(router, turned) == (Installed("p", "pop/a", "pop/b" if objects else None),)
        gateway.send("10.1.2.3")
        gateway.send("192.0.2.1")
        gateway.send("172.16.0.1", 4)
        assert gateway.arrivals() == {"a": 2, "wan": 4}
        # The chosen path leaves the file: its traffic stays until there is another choice.
        (said,) = await reconfigure(router, replace(turned, paths=PATHS[1:]))
        assert said.best is None
        assert said.error
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"a": 1}
        assert "lookup 4301" not in ours()
        await router.steer(steer("p", "b"))
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"b": 1}
        # A path of another name but the same device is the same.
        renamed = replace(PATHS[1], path=PathId("other/name"))
        (said,) = await reconfigure(router, replace(turned, paths=(renamed, PATHS[2])))
        assert said == Installed("p", "other/name")
        # Other ranges: everything moves over.
        moved = replace(
            turned,
            paths=tuple(replace(one, table=one.table + 4800) for one in PATHS),
            table=9000,
            rule_priority=9000,
            nexthop_base=50_000_000,
            policies=(replace(turned.policies[0], table=9000),),
            on_stop=OnStop.CLEANUP,
        )
        (said,) = await reconfigure(router, moved)
        assert said.best == "pop/b"
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"b": 1}
        assert "table 9000" in ours()
        assert "table 4" not in ours()
        assert "id 42" not in ours()
        ip("rule", "add", "priority", "9050", "lookup", "70", "protocol", "99")
        before = everything()
        with pytest.raises(RouteError, match="9050"):
            await reconfigure(router, replace(moved, policies=()))
        assert everything() == before
        await router.stop()

    routing(run())
    assert ours() == ""


def test_a_refusal_is_told_and_leaves_what_there_was(gateway):
    async def run():
        broken = path(3, "c", via="10.99.0.1", carries="4")  # no such neighbour on that device
        router = Heard().router(settings((*PATHS[:2], broken), (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        said = await router.steer(steer("all", "c"))
        assert said[:3] == ("all", "pop/a", "pop/b")
        assert "gateway" in said.error
        ip("link", "set", "dev", "b", "down")
        said = await router.steer(steer("all", "b"))
        assert said.best == "pop/a"
        assert "device b" in said.error
        said = await router.steer(steer("all", "nowhere"))
        assert said.best == "pop/a"
        assert said.error == "no path pop/nowhere is configured"
        assert (await router.steer(steer("nothing", "a"))).error == "no policy nothing is configured"
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"a": 1}
        # The address comes: the path can be used without anyone asking twice.
        ip("addr", "add", "10.99.0.2/24", "dev", "c")
        await until_async(lambda: " dev c " in ip("route", "show", "table", "4303"))
        assert (await router.steer(steer("all", "c"))).error is None
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"c": 1}
        await router.stop()

    routing(run())


def test_a_device_that_goes_and_comes_back_is_taken_up_again(gateway):
    heard = Heard()
    ip("link", "add", "v", "type", "veth", "peer", "name", "w")
    ip("link", "set", "dev", "v", "up")
    given = settings((path(1, "v"), path(2, "b")), (ALL,))

    async def run():
        router = heard.router(given)
        await router.start()
        assert ups(router) == {"pop/v": False, "pop/b": True}  # no carrier yet
        assert (await router.steer(steer("all", "v"))).error == "path pop/v cannot be used: device v is down"
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {}
        ip("link", "set", "dev", "w", "up")
        await until_async(lambda: heard.installed[-1:] == [Installed("all", "pop/v")])
        ip("link", "del", "v")
        await until_async(lambda: heard.installed[-1] == Installed("all", None))
        ip("link", "add", "v", "type", "veth", "peer", "name", "w")
        ip("link", "set", "dev", "v", "up")
        ip("link", "set", "dev", "w", "up")
        await until_async(lambda: heard.installed[-1] == Installed("all", "pop/v"))
        assert heard.links == [("pop/v", True), ("pop/v", False), ("pop/v", True)]
        ip("link", "set", "dev", "v", "down")
        ip("link", "set", "dev", "v", "name", "u")
        ip("link", "set", "dev", "u", "up")
        await until_async(lambda: not ups(router)["pop/v"])
        await router.stop()

    routing(run())


def test_an_overrun_means_reading_everything_again(gateway, monkeypatch, caplog):
    heard = Heard()
    smallest = 1
    monkeypatch.setattr(
        "steerd.net.notices.enlarge", lambda sock, _: sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, smallest)
    )

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        # Nobody reads while this keeps the loop waiting.
        ip("rule", "del", "priority", "4231")
        batch = "\n".join(f"route replace 10.{n % 250}.0.0/16 dev wan table 4200 protocol 210" for n in range(2000))
        batch_of(batch)
        await until_async(lambda: "4231" in ip("rule") and "10.7.0.0/16" not in ip("route", "show", "table", "4200"))
        assert "notifications from the kernel were lost" in caplog.text
        await router.stop()

    routing(run())


def test_neither_twenty_thousand_foreign_changes_nor_our_own_wake_us(gateway, monkeypatch):
    passes = []
    repair = Reconciler.repair

    async def run():
        router = Heard().router(
            settings(PATHS, (policy("all", 0, *EVERYTHING, *(f"10.{n}.0.0/16" for n in range(99))),))
        )
        await router.start()
        await asyncio.sleep(CALM)
        monkeypatch.setattr(Reconciler, "repair", lambda *of, **how: passes.append(1) or repair(*of, **how))
        await router.steer(steer("all", "a", "b"))
        await router.steer(steer("all", "b", "a"))
        batch = "\n".join(f"route add 10.{n // 250}.{n % 250}.0/24 dev wan protocol 99" for n in range(20_000))
        await asyncio.to_thread(batch_of, batch)
        await asyncio.sleep(CALM)
        assert not passes
        ip("route", "del", "10.7.0.0/16", "table", "4200", "metric", "1024")
        await until_async(lambda: passes)
        await asyncio.sleep(CALM)
        assert len(passes) == 1
        await router.stop()

    routing(run())


def test_another_reader_sees_what_was_meant(gateway):
    given = settings(PATHS, (policy("all", 0, "10.0.0.0/8", "2001:db8::/32"),))

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await router.stop()

    routing(run())
    with IPRoute() as reader:
        index = {name: reader.link_lookup(ifname=name)[0] for name in "ab"}
        # pyroute2 has no nexthop objects: those are read with `ip` elsewhere.
        for family, prefix in ((2, "10.0.0.0"), (10, "2001:db8::")):
            routes = [one for one in reader.get_routes(family=family, table=4200) if one.get_attr("RTA_DST") == prefix]
            assert {one["proto"] for one in routes} == {PROTOCOL}
            assert sorted((one.get_attr("RTA_PRIORITY"), one["type"]) for one in routes) == [(1024, 1), (0xFFFFFFFF, 7)]
            (led,) = [one for one in routes if one["type"] == 1]
            hops = [(hop["oif"], hop["hops"]) for hop in led.get_attr("RTA_MULTIPATH")]
            assert hops == [(index["a"], 254), (index["b"], 0)]
            rules = [one for one in reader.get_rules(family=family) if one.get_attr("FRA_PROTOCOL") == PROTOCOL]
            marked = [one for one in rules if one.get_attr("FRA_PRIORITY") == 4201]
            assert [one.get_attr("FRA_FWMARK") for one in marked] == [1 << 24, 2 << 24, 3 << 24]
            assert {one.get_attr("FRA_FWMASK") for one in marked} == {0xFF000000}
            (main,) = [one for one in rules if one.get_attr("FRA_PRIORITY") == 4202]
            assert (main.get_attr("FRA_TABLE"), main.get_attr("FRA_SUPPRESS_PREFIXLEN")) == (254, 0)
            (last,) = [one for one in rules if one.get_attr("FRA_PRIORITY") == 4231]
            assert (last.get_attr("FRA_TABLE"), last.get_attr("FRA_IIFNAME"), last["flags"] & 2) == (4200, "lo", 2)


def test_a_mistake_of_ours_is_counted_and_the_watch_goes_on(gateway, monkeypatch):
    async def run():
        heard = Heard()
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        before = faults.counts["routes"]
        with monkeypatch.context() as mistaken:
            mistaken.setattr(Reconciler, "repair", None)
            ip("rule", "add", "priority", "4290", "lookup", "4201", "protocol", "210")
            await until_async(lambda: faults.counts["routes"] > before)
        ip("rule", "add", "priority", "4291", "lookup", "4201", "protocol", "210")
        await until_async(lambda: heard.repairs["rule"] >= 1)
        await router.stop()

    routing(run())


def test_addresses_that_are_renewed_are_nobodys_doing_and_tell_why_a_path_is_gone(gateway, caplog):
    """What a DHCP client does with each lease, and what the kernel then removes of ours without a word."""
    ip("addr", "add", "198.51.100.2/24", "dev", "a")
    paths = (path(1, "a", via="198.51.100.1", carries="4"), path(2, "b"))
    heard = Heard()

    async def run():
        router = heard.router(settings(paths, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        for _ in range(8):
            ip("addr", "del", "198.51.100.2/24", "dev", "a")
            await until_async(lambda: not ups(router)["pop/a"])
            why = router.links()["pop/a"]
            assert (why.why.startswith("the kernel refused next hop 198.51.100.1: "), why.device) == (True, True)
            ip("addr", "add", "198.51.100.2/24", "dev", "a")
            await until_async(lambda: ups(router)["pop/a"])
            assert (await router.steer(steer("all", "a", "b"))).error is None
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"a": 1}
        ip("link", "set", "dev", "a", "down")
        await until_async(lambda: heard.told[-1].why == "device a is down")
        assert not heard.told[-1].device
        ip("link", "del", "dev", "a")
        await until_async(lambda: heard.told[-1].why == "device a does not exist")
        await router.stop()

    routing(run())
    assert "another program" not in caplog.text
    assert not heard.repairs


def test_nexthop_ids_that_others_took_meanwhile_refuse_nothing_and_stay_theirs(gateway):
    """FRR's zebra puts nexthops of others back when they are removed, as its own."""
    both = (policy("all", 0, *EVERYTHING),)
    given, fewer = settings(PATHS, both), settings(PATHS[1:], both)

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        had = [line.split() for line in ip("nexthop").splitlines() if " dev a " in line]
        await reconfigure(router, fewer)
        await router.steer(steer("all", "b"))
        taken = []
        for words in had:
            family = "-6" if "fe80" in " ".join(words) else "-4"
            ip(family, "nexthop", "add", "id", words[1], "dev", "a", "protocol", "zebra")
            taken.append(words[1])
        theirs = [line for line in ip("nexthop").splitlines() if "zebra" in line]
        assert len(theirs) == len(had) >= 2
        await reconfigure(router, given)
        assert (await router.steer(steer("all", "a", "b"))).error is None
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"a": 2}
        assert [line for line in ip("nexthop").splitlines() if "zebra" in line] == theirs
        await router.stop()
        again = Heard().router(given)
        await again.start()
        await again.steer(steer("all", "b", "a"))
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"b": 1}
        await again.stop()
        assert [line for line in ip("nexthop").splitlines() if "zebra" in line] == theirs

    routing(run())
