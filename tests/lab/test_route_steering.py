"""Real packets through a router's work: where they go, and where they never may."""

import asyncio
import threading
import time

import pytest

from steerd.config.route_settings import OnStop
from steerd.core.events import Installed
from steerd.route.once import cleanup
from tests.lab.test_route_world import (
    ADMIN,
    LAN_GATEWAY,
    LAN_HOST,
    WAN_ADDRESS,
    Gateway,
    Heard,
    echo,
    ip,
    ipv4,
    ours,
    path,
    policy,
    reconfigure,
    refusal,
    routing,
    settings,
    steer,
    ups,
)
from tests.lab.waiting import until_async

pytestmark = pytest.mark.lab
both_ways = pytest.mark.parametrize("objects", [True, False], ids=["nexthop-objects", "plain-routes"])

EVERYTHING = ("0.0.0.0/0", "::/0")


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def three(*policies, **rest):
    return settings((path(1, "a"), path(2, "b"), path(3, "c")), policies, **rest)


@both_ways
def test_nothing_is_steered_before_the_first_choice_but_probes_find_their_paths(gateway, objects):
    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING), objects=objects))
        assert await router.start() == ()
        assert ups(router) == {"pop/a": True, "pop/b": True, "pop/c": True}
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"wan": 2}
        for number, name in enumerate("abc", 1):
            gateway.send_own("10.9.9.9", mark=number << 24)
            gateway.send_own("2001:db8::9", mark=number << 24)
            assert gateway.arrivals() == {name: 2}
        await router.stop()

    routing(run())


@both_ways
def test_a_policy_goes_where_it_is_steered(gateway, objects):
    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING), objects=objects))
        await router.start()
        for best, other in (("a", "b"), ("b", "a"), ("c", "b")):
            assert await router.steer(steer("all", best, other)) == Installed(
                "all", f"pop/{best}", f"pop/{other}" if objects else None
            )
            gateway.send("10.1.2.3", 3)
            gateway.send("2001:db8::1", 3)
            assert gateway.arrivals() == {best: 6}
        assert router.installed() == {("all", 4): 1, ("all", 6): 1}
        await router.stop()

    routing(run())


@both_ways
def test_a_switch_loses_nothing(gateway, objects):
    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING), objects=objects))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        sent = 0
        done = threading.Event()

        def talk():
            nonlocal sent
            while not done.is_set():
                gateway.send(f"10.{sent % 200}.3.4")
                sent += 1
                time.sleep(0.0002)

        talker = threading.Thread(target=talk)
        talker.start()
        try:
            for best, other in (("b", "a"), ("a", "b"), ("c", "a"), ("b", "c")) * 3:
                await router.steer(steer("all", best, other))
                await asyncio.sleep(0.02)
        finally:
            done.set()
            talker.join()
        arrived = gateway.arrivals()
        assert sum(arrived.values()) == sent > 300
        assert arrived["wan"] == 0
        await router.stop()

    routing(run())


@both_ways
def test_ten_thousand_prefixes(gateway, objects):
    texts = [f"10.{n // 250}.{n % 250}.0/24" for n in range(10_000)] + [f"2001:db8:{n:x}::/48" for n in range(10_000)]

    async def run():
        router = Heard().router(three(policy("all", 0, *texts), objects=objects))
        await router.start()
        began = time.monotonic()
        await router.steer(steer("all", "a", "b"))
        installed = time.monotonic() - began
        assert router.installed() == {("all", 4): 10_000, ("all", 6): 10_000}
        before = router.changes()
        began = time.monotonic()
        assert (await router.steer(steer("all", "b", "a"))).best == "pop/b"
        switched = time.monotonic() - began
        sent = router.changes() - before
        print(
            f"\n20,000 prefixes: installed in {installed:.3f} s, switched in {switched * 1000:.1f} ms, {sent} messages"
        )
        assert sent == (2 if objects else 20_000)
        gateway.send("10.39.249.1")
        gateway.send("2001:db8:270f::1")
        gateway.send("192.0.2.1")
        assert gateway.arrivals() == {"b": 2, "wan": 1}
        before = ours()
        await router.stop()
        router = Heard().router(three(policy("all", 0, *texts), objects=objects))
        began = time.monotonic()
        assert [one.best for one in await router.start()] == ["pop/b"]
        print(f"adopted in {time.monotonic() - began:.3f} s")
        assert router.changes() == 0
        assert ours() == before
        await router.stop()

    routing(run())
    assert cleanup(three(policy("all", 0, *texts), objects=objects)) > 40_000
    assert ours() == ""


def test_every_bucket_moves(gateway):
    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING)))
        await router.start()
        for best, other in (("a", "b"), ("b", "a"), ("c", "a"), ("a", None), ("b", "c")):
            await router.steer(steer("all", best, other))
            for family in ("-4", "-6"):
                shown = ip(family, "route", "show", "table", "4200", "proto", "210").split()
                group = shown[shown.index("nhid") + 1]
                listed = ip("nexthop", "bucket", "list", "id", group).splitlines()
                members = {line.split()[-1] for line in listed}
                assert len(listed) == 64
                assert len(members) == 1
                assert f"dev {best} " in ip("nexthop", "show", "id", members.pop())
        await router.stop()

    routing(run())


@both_ways
def test_the_runner_up_steps_in_and_nothing_leaks(gateway, objects):
    heard = Heard()

    async def run():
        router = heard.router(three(policy("all", 0, *EVERYTHING), objects=objects))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        ip("link", "set", "dev", "a", "down")
        if objects:  # the kernel's own doing, before anyone could notice
            gateway.send("10.1.2.3", 3)
            gateway.send("2001:db8::1", 3)
            assert gateway.arrivals() == {"b": 6}
        await until_async(lambda: heard.installed[-1:] == [Installed("all", "pop/b")])
        gateway.send("10.1.2.3", 3)
        gateway.send("2001:db8::1", 3)
        assert gateway.arrivals() == {"b": 6}
        assert heard.links == [("pop/a", False)]
        ip("link", "set", "dev", "a", "up")
        await until_async(lambda: heard.links == [("pop/a", False), ("pop/a", True)])
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"b": 1}  # it waits to be asked
        assert (await router.steer(steer("all", "a", "b"))).best == "pop/a"
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"a": 2}
        await router.stop()

    routing(run())


@both_ways
def test_when_all_die_the_shadow_holds_and_a_flap_heals(gateway, objects):
    heard = Heard()

    async def run():
        router = heard.router(three(policy("all", 0, "10.0.0.0/8", *EVERYTHING), objects=objects))
        await router.start()
        await router.steer(steer("all", "a", None))
        for _ in range(2):
            ip("link", "set", "dev", "a", "down")
            gateway.send("10.1.2.3", 3)
            gateway.send("2001:db8::1", 3)
            assert gateway.arrivals() == {}
            await until_async(lambda: heard.installed[-1:] == [Installed("all", None)])
            gateway.send("10.1.2.3", 3)
            gateway.send("2001:db8::1", 3)
            gateway.send_own("10.9.9.9", mark=1 << 24)  # a probe of the dead path
            gateway.send_own("2001:db8::9", mark=1 << 24)
            assert gateway.arrivals() == {}
            assert router.installed() == {("all", 4): 0, ("all", 6): 0}
            ip("link", "set", "dev", "a", "up")
            await until_async(lambda: heard.installed[-1] == Installed("all", "pop/a"))
            gateway.send("10.1.2.3")
            gateway.send("8.8.8.8")
            gateway.send("2001:db8::1")
            gateway.send_own("10.9.9.9", mark=1 << 24)
            assert gateway.arrivals() == {"a": 4}
        assert not heard.repairs  # the kernel's doing is no one's meddling
        await router.stop()

    routing(run())


@both_ways
def test_blocked_and_back(gateway, objects):
    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING), objects=objects))
        await router.start()
        for _ in range(2):
            await router.steer(steer("all", "a", "b"))
            assert await router.steer(steer("all", None)) == Installed("all", None)
            gateway.send("10.1.2.3", 3)
            gateway.send("2001:db8::1", 3)
            assert gateway.arrivals() == {}
            refused = refusal("route", "get", "10.1.2.3", "from", LAN_HOST, "iif", "lan")
            assert "No route to host" in refused  # told so, not left to time out
        await router.stop()
        router = Heard().router(three(policy("all", 0, *EVERYTHING), objects=objects))
        assert await router.start() == (Installed("all", None),)
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {}
        await router.steer(steer("all", "b"))
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"b": 1}
        await router.stop()

    routing(run())


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_a_full_tunnel_locks_no_one_out(gateway, rp_filter):
    for name in ("all", "lan", "wan", "a"):
        gateway.sysctl(f"ipv4/conf/{name}/rp_filter", rp_filter)

    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        assert gateway.ping_from_lan(LAN_GATEWAY)
        gateway.packets("wan")
        gateway.inject("wan", ipv4(ADMIN, WAN_ADDRESS, echo(9)))
        answers = []

        def answered() -> bool:
            answers.extend(packet for packet in gateway.packets("wan") if (packet[0] >> 4, packet[9]) == (4, 1))
            return bool(answers)

        await until_async(answered)
        assert len(answers) == 1
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"a": 1}
        # What comes back through the tunnel reaches the LAN.
        gateway.inject("a", ipv4("10.1.2.3", LAN_HOST, echo(8, kind=0)))
        assert gateway.pinger.recv(2048)[24:26] == b"\0\x08"
        await router.stop()

    routing(run())


@both_ways
def test_a_path_without_ipv6_never_sends_it_by_main(gateway, objects):
    ip("addr", "add", "10.77.0.1/24", "dev", "a")

    async def run():
        given = settings(
            (path(1, "a", via="10.77.0.2", carries="4"), path(2, "b")),
            (policy("all", 0, *EVERYTHING),),
            objects=objects,
        )
        router = Heard().router(given)
        await router.start()
        for _ in range(2):
            await router.steer(steer("all", "a", "b"))
            gateway.send("10.1.2.3")
            gateway.send("2001:db8::1", 3)
            gateway.send_own("2001:db8::9", mark=1 << 24)
            assert gateway.arrivals() == {"a": 1}
            assert router.installed() == {("all", 4): 1, ("all", 6): 0}
            await router.steer(steer("all", "b", "a"))
            gateway.send("10.1.2.3")
            gateway.send("2001:db8::1")
            assert gateway.arrivals() == {"b": 2}
        await router.stop()

    routing(run())


@both_ways
def test_gateways_and_bare_devices_take_turns(gateway, objects):
    for name, number in (("a", 77), ("b", 78)):
        ip("addr", "add", f"10.{number}.0.1/24", "dev", name)
        ip("-6", "addr", "add", f"fd{number}::1/64", "dev", name, "nodad")

    async def run():
        ways = (
            path(1, "a", via="10.77.0.2", via6="fd77::2"),
            path(2, "b", via="10.78.0.2", via6="fd78::2"),
            path(3, "c"),
        )
        router = Heard().router(settings(ways, (policy("all", 0, *EVERYTHING, "10.0.0.0/8"),), objects=objects))
        await router.start()
        for best, other in (("a", "b"), ("b", "a"), ("c", "b"), ("a", "c"), ("c", None), ("b", "c")):
            assert (await router.steer(steer("all", best, other))).error is None
            gateway.send("10.1.2.3", 4)
            gateway.send("192.0.2.3", 4)
            gateway.send("2001:db8::1", 4)
            assert gateway.arrivals() == {best: 12}
        # The addresses go with the device, and a gateway cannot be reached before they are back.
        await router.steer(steer("all", "b", None))
        ip("link", "set", "dev", "b", "down")
        await until_async(lambda: router.installed() == {("all", 4): 0, ("all", 6): 0})
        ip("link", "set", "dev", "b", "up")
        await until_async(lambda: router.installed() == {("all", 4): 2, ("all", 6): 0})
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1", 2)
        assert gateway.arrivals() == {"b": 1}
        ip("-6", "addr", "add", "fd78::1/64", "dev", "b", "nodad")
        await until_async(lambda: router.installed() == {("all", 4): 2, ("all", 6): 1})
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1", 2)
        assert gateway.arrivals() == {"b": 3}
        await router.stop()

    routing(run())


def test_own_traffic_is_left_alone_unless_asked_for(gateway):
    ip("addr", "add", "192.168.60.1/24", "dev", "lan")
    left_alone = (
        policy("selected", 0, *EVERYTHING, sources=(f"{LAN_HOST}/32", "192.168.60.0/24")),
        policy("rest", 1, *EVERYTHING),
    )

    async def run():
        router = Heard().router(three(*left_alone))
        await router.start()
        await router.steer(steer("selected", "a"))
        await router.steer(steer("rest", "b"))
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"a": 1, "b": 1}
        gateway.send_own("10.1.2.3")
        gateway.send_own("10.1.2.3", source="192.168.60.1")
        gateway.send_own("2001:db8::1")
        assert gateway.arrivals() == {"wan": 3}
        given = three(policy("own", 0, *EVERYTHING, own_traffic=True), management=("10.50.0.0/16",), bypass_mark=0x51)
        await reconfigure(router, given)
        await router.steer(steer("own", "c"))
        gateway.send_own("10.1.2.3")
        gateway.send_own("2001:db8::1")
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"c": 3}
        gateway.send_own("10.50.1.1")
        gateway.send("10.50.1.1")
        gateway.send_own("10.1.2.3", mark=0x51)
        assert gateway.arrivals() == {"wan": 3}
        ip("route", "del", "default", "dev", "wan")
        assert gateway.send_own("10.1.2.3", mark=0x51) == "Network is unreachable"
        assert gateway.arrivals() == {}
        await router.stop()

    routing(run())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_longest_prefix_wins_among_equal_selectors(gateway, order):
    async def run():
        router = Heard().router(
            three(
                policy("wide", order[0], "10.0.0.0/8", excepted=("10.9.0.0/16",)),
                policy("narrow", order[1], "10.1.0.0/16", "10.9.1.0/24"),
            )
        )
        await router.start()
        await router.steer(steer("wide", "a"))
        await router.steer(steer("narrow", "b"))
        gateway.send("10.2.2.3")
        gateway.send("10.1.2.3", 2)
        gateway.send("10.9.2.3", 4)
        gateway.send("10.9.1.3", 8)
        assert gateway.arrivals() == {"a": 1, "b": 10, "wan": 4}
        await router.steer(steer("narrow", None))
        gateway.send("10.1.2.3", 2)
        assert gateway.arrivals() == {}
        await router.stop()

    routing(run())


@pytest.mark.parametrize("on_stop", list(OnStop))
def test_stopping(gateway, on_stop):
    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING), on_stop=on_stop))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await router.stop()
        await router.stop()
        gateway.send("10.1.2.3")
        gateway.send("2001:db8::1")
        assert gateway.arrivals() == {"keep": {"a": 2}, "cleanup": {"wan": 2}, "block": {}}[on_stop]

    routing(run())
    cleanup(three())
    assert ours() == ""


def test_what_the_kernel_goes_on_refusing_is_logged_once(gateway, caplog):
    caplog.set_level("INFO")
    gateway.sysctl("ipv6/conf/all/disable_ipv6", 1)

    async def run():
        router = Heard().router(three(policy("all", 0, *EVERYTHING)))
        await router.start()
        for n in range(6):
            await router.steer(steer("all", "a" if n % 2 else "b"))
        await router.stop()

    routing(run())
    refused = [line for line in caplog.messages if "the kernel refused to" in line]
    assert refused
    assert len(set(refused)) == len(refused)
