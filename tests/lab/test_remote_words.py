"""What a PoP says over MQTT, on the real daemon: it moves traffic, and it has an end."""

import json
import re
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import TENANT, World
from tests.lab.test_daemon import FILE, ask, metric, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

TOPIC = f"steer/v1/{TENANT}/pop/fra1/state"
FUTURE = 'steerd_refused_total{reason="future epoch",source="pop"}'


def report(seq: int, *, accepting: bool, epoch: int = 1_700_000_000) -> bytes:
    return json.dumps({"v": 1, "pop": "fra1", "epoch": epoch, "seq": seq, "accepting": accepting}).encode()


def choice(world: World) -> str:
    return str(status(world)["policies"][0]["choice"])


def drains(world: World) -> Any:
    return [(one["pop"], one["origin"]) for one in status(world)["drains"]]


def without_mqtt(config: str) -> str:
    return re.sub(r"\[mqtt\][^\[]*", "", config)


def said() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = world.gateway_config()
        daemon = start(world, config)
        until(lambda: choice(world) == "fra1/tun-fra1" and metric("steerd_mqtt_connected"))

        world.broker.publish(TOPIC, report(1, accepting=False, epoch=4_000_000_000))
        until(lambda: metric(FUTURE) == 1.0)
        found["future"] = drains(world)

        world.broker.publish(TOPIC, report(1, accepting=False))
        until(lambda: choice(world) != "fra1/tun-fra1")
        found["drained"] = drains(world)
        found["undrain"] = ask(world, "undrain", "fra1")[0]
        found["undrained"] = drains(world)

        # Not even after a restart, when the broker says it again.
        daemon.terminate()
        daemon.wait(60)
        daemon = start(world, config)
        until(lambda: metric("steerd_mqtt_connected") and metric('steerd_mqtt_messages_total{direction="in"}') >= 2)
        found["restarted"] = drains(world)

        before = metric('steerd_mqtt_messages_total{direction="in"}')
        world.broker.publish(TOPIC, report(2, accepting=True))
        until(lambda: metric('steerd_mqtt_messages_total{direction="in"}') > before)
        world.broker.publish(TOPIC, report(3, accepting=False))
        until(lambda: drains(world))
        FILE.write_text(without_mqtt(config))
        found["reload"] = ask(world, "reload")[0]
        found["without"] = drains(world)

        FILE.write_text(config)
        assert ask(world, "reload")[0] == 0
        until(lambda: drains(world))
        daemon.kill()
        daemon.wait(60)
        start(world, without_mqtt(config))
        found["started"] = drains(world)
    return found


def test_what_a_pop_says_ends_with_an_operators_order_and_with_its_broker() -> None:
    assert run(f"{__name__}:said", timeout=180) == {
        "future": [],
        "drained": [["fra1", "pop"]],
        "undrain": 0,
        "undrained": [],
        "restarted": [],
        "reload": 0,
        "without": [],
        "started": [],
    }
