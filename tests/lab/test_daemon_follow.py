"""`steerctl history --follow` goes on with what comes, also over a restart of the daemon."""

import json
import signal
import sys
from typing import Any

import pytest

from steerd.lab.enclosure import RUN, run
from steerd.lab.world.world import World
from tests.lab.test_daemon import SOCKET, ask, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def scene() -> dict[str, Any]:
    told, said, orders = RUN / "told", RUN / "said", RUN / "orders"
    with World() as world:
        config = world.gateway_config()
        daemon = start(world, config)
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        command = [sys.executable, "-m", "steerd.cli.steerctl", "--socket", SOCKET, "history", "--follow"]
        with told.open("w") as out, said.open("w") as err, orders.open("w") as out2:
            one = world.spawn("gw", command, stdout=out, stderr=err)
            also = world.spawn("gw", [*command, "--json", "--kind", "order"], stdout=out2)
        until(lambda: "start" in told.read_text())
        ask(world, "drain", "fra1")
        until(lambda: "drain fra1" in told.read_text())
        daemon.kill()
        daemon.wait()
        until(lambda: "waiting" in said.read_text())
        start(world, config)
        ask(world, "undrain", "fra1")
        until(lambda: "undrain fra1" in told.read_text() and "undrain fra1" in orders.read_text())
        one.send_signal(signal.SIGINT)
        also.send_signal(signal.SIGINT)
        return {
            "codes": [one.wait(30), also.wait(30)],
            "told": told.read_text().splitlines(),
            "said": said.read_text().splitlines(),
            "orders": [json.loads(line)["text"] for line in orders.read_text().splitlines()],
        }


def test_history_is_followed_over_a_restart() -> None:
    found = run(f"{__name__}:scene", timeout=240.0)
    assert found["codes"] == [0, 0]
    (start_of_all,) = (line for line in found["told"] if "nothing -> fra1/tun-fra1: start" in line)
    assert found["told"][0] == start_of_all
    assert len(set(found["told"])) == len(found["told"])
    assert [text.split(",")[0] for text in found["orders"]] == ["drain fra1", "undrain fra1"]
    assert len(found["said"]) == 1
