"""Whatever of ours somebody removes, in whatever order, comes back; meanwhile nothing leaves outside the tunnels."""

import asyncio
import random
import shlex
import statistics
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows, Guard, RouteSettings
from steerd.route.kernel.kernel import Kernel
from steerd.route.model import prefixes
from steerd.route.model.objects import Routes
from steerd.route.wanted import commands
from steerd.route.wanted.diff import Change, Verb
from tests.lab.test_route_guard import nft, ruleset
from tests.lab.test_route_world import Gateway, Heard, ip, ours, path, policy, routing, settings, steer
from tests.lab.waiting import BOUND, Awake

pytestmark = [pytest.mark.lab, pytest.mark.nft]

BACK_WITHIN = 1.0
"""Seconds, in the median."""
ROUNDS = 40
PATHS = tuple(replace(path(number, name), inbound_mark=(number + 100) << 24) for number, name in enumerate("abc", 1))
POLICIES = (
    policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL, flows=Flows.AUTO),
    policy("office", 1, "10.0.0.0/8", "10.7.0.0/16", "2001:db8::/32", guard=Guard.ALWAYS, flows=Flows.MOVE),
)
FOREIGN = (
    "-4 route add 10.99.0.0/16 dev wan table 77 protocol 99",
    "-4 rule add priority 30000 from 10.99.0.1 lookup 77 protocol 99",
    "-6 rule add priority 30000 from 2001:db8:99::1 lookup 77 protocol 99",
    "nexthop add id 7 dev wan protocol 99",
)


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        for words in FOREIGN:
            ip(*shlex.split(words))
        nft("table ip others { chain c { type filter hook forward priority 0; ip saddr 10.99.0.1 counter; }; }")
        yield one


def removals(config: RouteSettings) -> list[list[str]]:
    """A command for each single object of ours that there is."""
    with Kernel() as kernel:
        state = kernel.read(config).ours
    routes = [
        Routes(kind, entry) for kind, packed in state.routes.items() for entry in prefixes.split(kind.family, packed)
    ]
    things = [*sorted(state.rules), *state.nexthops.values(), *state.groups.values(), *routes]
    lines = [commands.first_line(Change(Verb.REMOVE, thing), config.protocol) for thing in things]
    return [*(shlex.split(line) for line in lines), ["nft", "delete", "table", "inet", config.nft_table]]


def foreign() -> str:
    """What is there of other programs."""
    rest = [
        ip(*words.split()) for words in ("-4 rule", "-6 rule", "-4 route show table all", "-6 route show table all")
    ]
    lines = [line for part in [*rest, ip("nexthop")] for line in part.splitlines()]
    mine = ("proto 210", "nhid 42", "id 42", "proto kernel")  # addresses come and go by themselves
    kept = [line for line in lines if not any(word in line for word in mine) and "cache" not in line]
    return "\n".join([*kept, nft("", "-s", "list", "table", "ip", "others")])


async def run_away(command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command


async def restored(before: tuple[str, str]) -> None:
    """Looked at from a thread: users and router go on meanwhile."""
    async with asyncio.timeout(BOUND):
        while await asyncio.to_thread(lambda: (ours(), ruleset())) != before:  # noqa: ASYNC110 (nobody tells of it)
            await asyncio.sleep(0.02)


async def traffic(gateway, sent):
    while True:
        gateway.send("10.7.1.1")
        gateway.send("192.0.2.9")
        gateway.send("2001:db8::1")
        gateway.send("2a00::1")
        sent.append(4)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("objects", [True, False], ids=["nexthop-objects", "plain-routes"])
@pytest.mark.parametrize("seed", [1, 2])
def test_each_object_comes_back_in_any_order_and_nothing_leaves_meanwhile(gateway, seed, objects):
    draw = random.Random(seed)
    config = settings(PATHS, POLICIES, objects=objects)
    heard = Heard()

    async def run():
        router = heard.router(config)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await router.steer(steer("office", "b", "c"))
        before, others = (ours(), ruleset()), foreign()
        every = removals(config)
        order = [*draw.sample(every, len(every)), *draw.choices(every, k=max(0, ROUNDS - len(every)))]
        sent = []
        gateway.arrivals()
        users = asyncio.create_task(traffic(gateway, sent))
        took, awake = [], Awake()
        for command in order[: max(ROUNDS, len(every))]:
            await run_away(command)
            began = awake.seconds()
            await restored(before)
            took.append(awake.seconds() - began)
        assert statistics.median(took) < BACK_WITHIN
        for _ in range(3):  # several at once, but not both what leads and what guards
            for command in draw.sample(every[:-1], 6):
                await asyncio.create_task(_tolerantly(command))
            await restored(before)
        users.cancel()
        seen = gateway.arrivals()
        assert seen["wan"] == 0
        assert seen["a"] > 0 < seen["b"]
        assert seen["a"] + seen["b"] + seen["c"] > 0.5 * sum(sent)
        assert foreign() == others
        assert heard.repairs.keys() == {"rule", "route", "nft"} | ({"nexthop", "group"} if objects else set())
        await router.stop()

    routing(run())


async def _tolerantly(command: list[str]) -> None:
    """What hangs on something removed just before is gone already."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    await process.wait()
