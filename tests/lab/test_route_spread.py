"""Several paths at once, on real packets: in their parts, each flow where it was, nothing beside them."""

import asyncio
import shlex
import socket
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows, Guard
from steerd.core.events import Installed, Share
from steerd.route.once import plan
from steerd.route.wanted.choice import Choice
from tests.lab.test_route_world import (
    PORT,
    Gateway,
    Heard,
    entered,
    ip,
    is_test,
    path,
    policy,
    reconfigure,
    routing,
    settings,
    steer,
    ups,
)
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab]

EVERYTHING = ("0.0.0.0/0", "::/0")
PATHS = tuple(replace(path(n, name), inbound_mark=(100 + n) << 24) for n, name in enumerate("abc", 1))


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def shared(best, other, part, runner_up=None):
    """An order to have ``best`` take this part and ``other`` the rest."""
    shares = (Share(f"pop/{best}", part), Share(f"pop/{other}", 1.0 - part))
    return steer("all", best, runner_up)._replace(shares=shares)


def spreading(**rest):
    return settings(PATHS, (policy("all", 0, *EVERYTHING, spread=2, **rest),))


def arrivals(gateway, flows=400):
    """Of one datagram for each of so many destinations of both families: how many came out where."""
    for number in range(flows // 2):
        gateway.send(f"10.{number % 7}.{number}.9")
        gateway.send(f"2001:db8:{number:x}::9")
    return gateway.arrivals()


def parts(installed):
    return {share.path: round(share.part, 2) for share in installed.shares}


def test_each_takes_its_part_and_who_dies_leaves_it_to_the_others(gateway):
    async def run():
        heard = Heard()
        router = heard.router(spreading())
        await router.start()
        installed = await router.steer(shared("a", "b", 0.75, "c"))
        assert (installed.best, installed.runner_up, installed.error, installed.mismatch) == (
            "pop/a",
            "pop/c",
            None,
            None,
        )
        assert parts(installed) == {"pop/a": 0.75, "pop/b": 0.25}
        found = arrivals(gateway)
        assert found.keys() == {"a", "b"}
        assert found.total() == 400
        assert 40 < found["b"] < 160  # 100 are expected: of 64 buckets 16

        ip("link", "set", "dev", "a", "down")
        found = arrivals(gateway)  # by the kernel itself, to which the runner-up has now one part in 65
        assert found.total() == 400
        assert found["b"] + found["c"] == 400
        assert found["c"] < 40
        await until_async(lambda: heard.installed[-1:] == [Installed("all", "pop/b", "pop/c")])
        assert arrivals(gateway) == {"b": 400}  # though packets came by the runner-up meanwhile
        ip("link", "set", "dev", "b", "down")
        assert arrivals(gateway) == {"c": 400}
        ip("link", "set", "dev", "a", "up")
        ip("link", "set", "dev", "b", "up")
        await until_async(lambda: all(ups(router).values()))
        installed = await router.steer(shared("b", "a", 0.5))
        assert parts(installed) == {"pop/b": 0.5, "pop/a": 0.5}
        assert arrivals(gateway).keys() == {"a", "b"}

        installed = await router.steer(steer("all", "c", "a"))
        assert installed == Installed("all", "pop/c", "pop/a")
        assert arrivals(gateway) == {"c": 400}
        await router.stop()

    routing(run())


def test_a_flow_stays_where_it_is_when_parts_move_and_leaves_a_path_that_takes_no_part(gateway):
    async def run():
        router = Heard().router(spreading())
        await router.start()
        await router.steer(shared("a", "b", 0.75))
        await asyncio.sleep(
            0.05
        )  # to the kernel, what comes within the tick in which a bucket was made is no use of it
        flows = placed(gateway, [f"10.1.{number}.9" for number in range(120)])
        assert set(flows.values()) == {"a", "b"}
        installed = await router.steer(shared("a", "b", 0.25))
        assert (parts(installed), installed.error) == ({"pop/a": 0.25, "pop/b": 0.75}, None)
        assert placed(gateway, flows) == flows
        # Even one that only stands by from now on takes nothing along.
        assert (await router.steer(steer("all", "b", "a"))).error is None
        assert set(placed(gateway, flows).values()) == {"b"}
        await router.stop()

    routing(run())


def placed(gateway, flows):
    """Of one datagram for each of these IPv4 addresses: where it came out."""
    for flow in flows:
        gateway.send(flow)
    return came(gateway, len(flows))


def came(gateway, count):
    found = {}
    until = time.monotonic() + 5.0
    while len(found) < count and time.monotonic() < until:
        for name in ("a", "b", "c", "wan"):
            found |= {socket.inet_ntoa(packet[16:20]): name for packet in gateway.packets(name) if is_test(packet)}
    return found


def test_a_restart_adopts_the_parts_and_a_reload_to_one_path_is_carried_out(gateway):
    async def run():
        router = Heard().router(spreading())
        await router.start()
        await router.steer(shared("b", "a", 0.25, "c"))
        before = ip("-d", "nexthop", "list")
        await router.stop()
        heard = Heard()
        router = heard.router(spreading())
        (installed,) = await router.start()
        assert (installed.best, installed.runner_up, parts(installed)) == (
            "pop/b",
            "pop/c",
            {"pop/b": 0.25, "pop/a": 0.75},
        )
        assert ip("-d", "nexthop", "list") == before
        assert not heard.repairs
        alone = settings(PATHS, (policy("all", 0, *EVERYTHING),))
        await reconfigure(router, alone)
        assert await router.steer(steer("all", "b", "a")) == Installed("all", "pop/b", "pop/a")
        assert arrivals(gateway, 100) == {"b": 100}
        await router.stop()

    routing(run())


def test_the_lines_of_a_plan_make_what_is_planned(gateway):
    given = spreading()
    choices = {"all": Choice("pop/a", "pop/c", (Share("pop/a", 0.6), Share("pop/b", 0.4)))}
    for line in plan(given, choices).lines:
        subprocess.run(shlex.split(line), check=True, timeout=10)
    assert plan(given, choices).lines == []
    assert plan(given, {}).lines == []
    assert "idle_timer 10 " in ip("nexthop", "list")


def test_without_nexthop_objects_the_choice_has_everything_and_says_so(gateway):
    async def run():
        router = Heard().router(replace(spreading(), nexthop_objects=False))
        await router.start()
        assert await router.steer(shared("a", "b", 0.5)) == Installed("all", "pop/a")
        assert arrivals(gateway, 100) == {"a": 100}
        await router.stop()

    routing(run())


@pytest.mark.nft
def test_pinned_connections_stay_and_new_ones_follow_the_parts_at_once(gateway):
    async def run():
        router = Heard().router(spreading(flows=Flows.AUTO, guard=Guard.USUAL))
        await router.start()
        await router.steer(shared("a", "b", 0.9))
        with ExitStack() as opened:
            sockets = [opened.enter_context(connection(gateway, number)) for number in range(100)]
            where = sent(gateway, sockets)
            assert Counter(where.values())["a"] > 60
            await router.steer(shared("a", "b", 0.1))
            assert sent(gateway, sockets) == where
            new = [opened.enter_context(connection(gateway, number)) for number in range(100, 200)]
            assert Counter(sent(gateway, new).values())["b"] > 60
            # Of a path that takes no part any more as well, as long as it lives.
            await router.steer(steer("all", "c"))
            assert sent(gateway, sockets) == where
        await router.stop()

    routing(run())


def connection(gateway, number):
    with entered(gateway.lan):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect((f"10.2.{number}.9", PORT))
    return one


def sent(gateway, sockets):
    for one in sockets:
        one.send(b"test")
    return came(gateway, len(sockets))
