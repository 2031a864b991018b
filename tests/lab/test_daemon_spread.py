"""The real daemon with `spread = 2`: as its user sees it, over a reload and a restart."""

from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, ask, metric, start, state_of_kernel, status
from tests.lab.test_daemon_reload import flowing, text
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def parts(world: World) -> dict[str, float]:
    return {share["path"]: share["part"] for share in status(world)["policies"][0].get("shares", [])}


def sharing() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        alone = flowing(world.gateway_config(), "move")
        config = alone.replace("[[policy]]", "[[policy]]\nspread = 2")
        daemon = start(world, config)
        until(lambda: parts(world))
        found["shares"] = parts(world)
        best = status(world)["policies"][0]["choice"]
        found["first"] = next(iter(found["shares"])) == best
        found["metric"] = metric(f'steerd_policy_share_ratio{{policy="users",pop="{best[:4]}",path="{best}"}}')
        found["shown"], found["why"] = text(world, "status")[1], text(world, "why")[1]
        before = state_of_kernel()
        daemon.terminate()
        assert daemon.wait(60) == 0
        daemon = start(world, config)
        until(lambda: parts(world))
        found["kept"] = [parts(world) == found["shares"], state_of_kernel() == before]
        other = next(path for path in found["shares"] if path != best)
        assert ask(world, "drain", other[:4])[0] == 0
        until(lambda: not any(path == other for path in parts(world)))
        found["drained"] = status(world)["policies"][0]["choice"] == best
        assert ask(world, "undrain", other[:4])[0] == 0
        FILE.write_text(alone)
        assert ask(world, "reload")[0] == 0
        until(lambda: not parts(world))
    return found


def test_several_paths_carry_a_policy_and_everybody_is_told():
    found = run(f"{__name__}:sharing")
    assert len(found["shares"]) == 2
    assert sum(found["shares"].values()) == pytest.approx(1.0, abs=0.01)
    assert found["first"]
    assert found["metric"] == pytest.approx(next(iter(found["shares"].values())), abs=0.01)
    assert " % + " in found["shown"]
    assert "Its traffic is shared, by capacity and cost: " in found["why"]
    assert found["kept"] == [True, True]
    assert found["drained"]
