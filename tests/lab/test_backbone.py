"""The whole way, with the real daemon, real agents that measure real packets, and a real mosquitto.

``fra1`` and ``ams1`` are the PoPs that the policy may use. Behind each of them the service ``db`` is what another line
of the lab leads to: ``par1`` behind ``fra1``, ``nyc1`` behind ``ams1``.
"""

import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.line import Conditions
from steerd.lab.world.pop import PopSpec
from steerd.lab.world.world import TENANT, World
from tests.lab.test_daemon import FILE, ask, metric, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

NEAR, FAR = "fra1/tun-fra1", "ams1/tun-ams1"
BEHIND = {"fra1": "par1", "ams1": "nyc1"}
LONG = 150.0  # seconds: what was said of a link fades over 30 intervals, and is looked at each ten seconds
POPS = (
    PopSpec("fra1", "de", Conditions(delay_ms=20.0)),
    PopSpec("ams1", "nl", Conditions(delay_ms=30.0)),
    PopSpec("par1", "fr", Conditions(delay_ms=20.0)),
    PopSpec("nyc1", "us", Conditions(delay_ms=20.0)),
)
AGENT = """
[agent]
pop = "{pop}"
drain_for = "60s"
[mqtt]
url = "{broker}"
tenant = "{tenant}"
publish_interval = "500ms"
[probe]
interval = "100ms"
half_life = "500ms"
[[link]]
to = "db"
target = "{target}"
"""


def config(world: World, most: str = "100ms") -> str:
    text = world.gateway_config() + f'\n[fleet]\nbackbone_max = "{most}"\n'
    return text.replace('name = "users"\n', 'name = "users"\nservice = "db"\npops = ["fra1", "ams1"]\n')


def agent(world: World, pop: str) -> subprocess.Popen[Any]:
    file = world.directory / f"{pop}.toml"
    target = world.pops[BEHIND[pop]].target
    file.write_text(AGENT.format(pop=pop, broker=world.broker.url, tenant=TENANT, target=target))
    return world.spawn("gw", [sys.executable, "-m", "steerd.cli.steerd", "agent", "-c", str(file)])


def choice(world: World) -> str:
    return str(status(world)["policies"][0]["choice"])


def switches(world: World) -> list[str]:
    return [one["to"] for one in ask(world, "history")[1]["switches"]][::-1]


def further(world: World, path: str) -> float:
    """How far the service is from the path's PoP, in ms, as the gateway charges it."""
    return next((float(one["backbone_ms"]["users"]) for one in status(world)["paths"] if one["path"] == path), -1.0)


def known(world: World) -> bool:
    """Whether both agents were heard, and all is as it begins."""
    return choice(world) == NEAR and all(0.0 < further(world, path) < 60.0 for path in (NEAR, FAR))


def carried(world: World, since: float) -> set[str]:
    """By which PoPs the users' packets went."""
    until(lambda: world.traffic.between(since, time.monotonic() - 1.5).answered > 20)
    return set(world.traffic.between(since, time.monotonic() - 1.5).by_pop)


def slow_and_dead() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with World(POPS, rate=50) as world:
        agents = [agent(world, pop) for pop in BEHIND]
        start(world, config(world))
        until(lambda: known(world))

        world.pops["par1"].set(delay_ms=90)
        until(lambda: choice(world) == FAR)
        found["slow"] = sorted(carried(world, time.monotonic() + 1.0))
        found["why"] = any("further to db" in line for line in ask(world, "why")[1]["policies"][0]["text"])
        world.pops["par1"].set(delay_ms=20)
        until(lambda: choice(world) == NEAR)
        found["well"] = sorted(carried(world, time.monotonic() + 1.0))

        world.pops["par1"].set(delay_ms=90)
        until(lambda: choice(world) == FAR)
        before = len(switches(world))
        for one in agents:
            one.kill()
            one.wait(60)
        until(lambda: further(world, NEAR) == further(world, FAR) == 100.0, LONG)
        until(lambda: choice(world) == NEAR)
        found["dead"] = switches(world)[before:]
        found["drained"] = status(world)["drains"]
    return found


def test_a_slow_backbone_loses_and_wins_again_and_without_agents_first_legs_decide() -> None:
    assert run(f"{__name__}:slow_and_dead", timeout=400) == {
        "slow": ["ams1"],
        "why": True,
        "well": ["fra1"],
        "dead": [NEAR],
        "drained": [],
    }


def lies() -> dict[str, Any]:
    """Both are 20 ms from db. One agent is real; in the place of the other somebody lies by 200 ms."""
    found: dict[str, Any] = {}
    with World(POPS, rate=50) as world:

        def lie(pop: str, seq: int, rtt_ms: int) -> None:
            text = (
                f'{{"v":1,"pop":"{pop}","epoch":1700000000,"seq":{seq},"accepting":true,"interval_ms":60000,'
                f'"links":[{{"to":"db","rtt_us":{rtt_ms * 1000},"loss_ppm":0}}]}}'
            )
            world.broker.publish(f"steer/v1/{TENANT}/pop/{pop}/state", text.encode())

        honest = agent(world, "fra1")
        start(world, config(world, "8ms"))
        until(lambda: choice(world) == NEAR and metric("steerd_mqtt_connected"))
        for seq, (rtt_ms, charged) in enumerate([(0, 0.0), (220, 8.0)], 1):
            lie("ams1", seq, rtt_ms)
            until(lambda charged=charged: further(world, FAR) == pytest.approx(charged, abs=0.5))  # type: ignore[misc]
        honest.kill()
        honest.wait(60)
        found["10 ms are more than 8"] = switches(world)[1:]

        FILE.write_text(config(world, "15ms"))
        assert ask(world, "reload")[0] == 0
        lie("ams1", 3, 0)
        until(lambda: further(world, FAR) == 0.0)
        until(lambda: choice(world) == FAR)
        found["and less than 15"] = switches(world)[1:]
    return found


def test_a_lying_agent_costs_an_honest_gateway_the_bound_at_most() -> None:
    """The nearer PoP is 10 ms nearer: with a bound of 8 ms no lie moves anything, and with 15 ms it costs those 10."""
    assert run(f"{__name__}:lies", timeout=300) == {"10 ms are more than 8": [], "and less than 15": [FAR]}


def stopped() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with World(POPS, rate=50) as world:
        agents = {pop: agent(world, pop) for pop in BEHIND}
        start(world, config(world))
        until(lambda: known(world))
        agents["fra1"].send_signal(signal.SIGTERM)
        until(lambda: choice(world) == FAR)
        found["moved while it was there"] = agents["fra1"].poll() is None
        found["packets"] = sorted(carried(world, time.monotonic() + 1.0))
        found["and still there"] = agents["fra1"].poll() is None
        agents["fra1"].send_signal(signal.SIGTERM)
        found["code"] = agents["fra1"].wait(60)
        found["drained"] = [(one["pop"], one["origin"]) for one in status(world)["drains"]]
        agent(world, "fra1")
        until(lambda: choice(world) == NEAR)
    return found


def test_an_agent_that_is_stopped_has_its_gateways_move_before_it_goes() -> None:
    assert run(f"{__name__}:stopped", timeout=300) == {
        "moved while it was there": True,
        "packets": ["ams1"],
        "and still there": True,
        "code": 0,
        "drained": [["fra1", "pop"]],
    }
