"""What the real daemon's switch leaves behind: said, and moved on order."""

import time
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import LOG, ask, start, status
from tests.lab.test_daemon_reload import AMS, FRA, choice, flowing, settled, text
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker, pytest.mark.nft]


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def staying(world: World) -> dict[str, int]:
    return {one["path"]: one["staying"] for one in status(world)["paths"] if one["staying"]}


def brown_out(flows: str) -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        daemon = start(world, flowing(world.gateway_config(), flows))
        settled(world)
        until(lambda: world.traffic.between().by_pop.get("fra1", 0) > 0)
        found["before"] = [staying(world), ask(world, "move", "users", "--now"), ask(world, "move", "user", "--now")]
        world.pops["fra1"].set(delay_ms=150.0)
        until(lambda: choice(world) == AMS)
        until(lambda: staying(world).get(FRA, 0) > 0)
        found["staying"] = staying(world)
        found["shown"] = text(world, "status")[1]
        found["moved"] = text(world, "move", "users", "--now")
        began = time.monotonic()
        until(lambda: not staying(world))
        until(lambda: sum(world.traffic.between(began + 1.0).by_pop.values()) > 50)
        found["by_pop"] = list(world.traffic.between(began + 1.0).by_pop)
        found["shown after"] = text(world, "status")[1]
        daemon.terminate()
        found["stopped"] = daemon.wait(60)
    found["log"] = LOG.read_text()
    return found


@pytest.mark.parametrize("flows", ["pin", "client"])
def test_what_a_brown_out_leaves_behind_is_said_and_moves_on_order(flows: str) -> None:
    found = scene("brown_out", flows)
    nothing, (code, answer), (unknown, refused) = found["before"]
    assert (nothing, code, answer["let_go"], answer["paths"]) == ({}, 0, 0, [FRA])
    assert answer["text"] == f"nothing of users is pinned to another path: all of it goes by {FRA}"
    assert (unknown, refused["error"]) == (1, 'there is no policy "user"; did you mean "users"?')
    many = found["staying"][FRA]
    assert f"{many} connections still on {FRA}" in found["shown"]
    code, said, _ = found["moved"]
    assert (code, said) == (0, f"{many} connections of users let go; all of it goes by {AMS} now\n")
    assert found["by_pop"] == ["ams1"]
    assert "still on" not in found["shown after"]
    assert found["stopped"] == 0
    assert f"by an operator's order: {many} connections of users let go" in found["log"]
    assert "Traceback" not in found["log"]
