"""Many prefixes, fast packets, sudden ends: what a switch and a dying device cost, and what a kill leaves behind.

Losses are stated for 20,000 packets a second. Where the machine does not manage that, they are what as many
milliseconds of its stream come to.
"""

import asyncio
import os
from dataclasses import asdict
from typing import Any

import pytest

from bench.route_world import FAMILIES, RATE, Move, World, passage, prefixes, routing, settings, steer
from steerd.lab.enclosure import run
from steerd.lab.namespaces import ip
from steerd.route.once import cleanup

pytestmark = [pytest.mark.alone, pytest.mark.lab]

NUMBER = 10_000
SEEDS = range(int(os.environ.get("CRASHES", "5")))
"""``CRASHES=50`` kills fifty."""


def scene(what: str, number: int) -> dict[str, Any]:
    """What becomes of a stream when ``what`` happens to all prefixes. In an enclosure."""

    async def inside() -> dict[str, Any]:
        router = routing(given)
        await router.start()
        await router.steer(steer("a"))
        happening: dict[str, Move] = {
            "switch": lambda new: router.steer(steer(new)),
            "down": lambda _: asyncio.to_thread(ip, "link set dev a down"),
            "deleted": lambda _: asyncio.to_thread(ip, "link del dev a"),
        }
        found = await passage(world, happening[what], number, "a", "b")
        await router.stop()
        return asdict(found)

    given = settings(prefixes(number))
    with World() as world:
        found = asyncio.run(inside())
        cleanup(given)
    return found


def happens(what: str, number: int = NUMBER) -> dict[str, Any]:
    found = run(f"{__name__}:scene", what, number)
    print(what, found)
    assert found["rate"] > RATE / 10, "this machine is too slow for the test to say anything"
    return found


def test_a_switch_loses_no_packet_and_is_there_within_its_time():
    found = happens("switch")
    for family in map(str, FAMILIES):
        assert found["lost"][family] == 0
        assert found["first_new"][family] is not None
        assert 0 <= found["first_new"][family] <= found["took"]
        # Of the old device nothing is left when the switch is reported.
        assert found["last_old"][family] <= found["took"]


@pytest.mark.parametrize(("what", "most"), [("down", 40), ("deleted", 200)])
def test_a_device_that_goes_costs_some_packets(what, most):
    """The least of three: what is lost while the machine stands still is not the kernel's doing, nor ours."""
    seen = []
    for _ in range(3):
        found = happens(what)
        assert all(found["first_new"][family] is not None for family in map(str, FAMILIES))
        scaled = most * min(1.0, found["rate"] / RATE)
        seen.append(found["lost"])
        if max(found["lost"].values()) <= scaled / len(FAMILIES):
            return
    raise AssertionError(seen)


def test_what_a_kill_in_a_reload_leaves_is_mended_to_the_plan():
    """One scene for all seeds: the world and the undisturbed run serve them all."""
    found = run("tests.lab.crashes:scene", list(SEEDS), timeout=60 + 5 * len(SEEDS))
    wrong = [one for one in found if not one["same"] or one["plans"]]
    assert not wrong
    assert len(found) == len(SEEDS)
