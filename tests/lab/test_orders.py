"""Signed orders on the real daemon, through a real broker: what moves it, what does not, and what everybody is told."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, ask, metric, start, status
from tests.lab.test_daemon_reload import text
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def refused(reason: str) -> float:
    return metric(f'steerd_refused_total{{reason="{reason}",source="order"}}')


def operator(world: World, *arguments: str) -> tuple[int, str]:
    """Somebody with a key, who needs no daemon."""
    command = [sys.executable, "-m", "steerd.cli.steerctl", *arguments]
    process = world.spawn("gw", command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def choice(world: World) -> str:
    return str(status(world)["policies"][0]["choice"])


def ordered() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        keys = {name: str(world.directory / name) for name in ("alice", "mallory")}
        made = {name: operator(world, "keygen", file) for name, file in keys.items()}
        public = next(line for line in made["alice"][1].splitlines() if line.endswith("="))
        found["mode"] = Path(keys["alice"]).stat().st_mode & 0o777
        config = world.gateway_config().replace("[mqtt]", f'[mqtt]\ntrusted_keys = ["{public} alice"]')
        daemon = start(world, config)
        until(lambda: choice(world) == "fra1/tun-fra1" and metric("steerd_mqtt_connected"))

        def sign(*order: str, key: str = "alice") -> tuple[str, bytes]:
            code, printed = operator(world, "sign", *order, "--key", keys[key], "-c", str(FILE))
            assert code == 0, printed
            topic, payload = printed.splitlines()
            return topic, payload.encode()

        def tried(reason: str, topic: str, payload: bytes) -> None:
            before = refused(reason)
            world.broker.publish(topic, payload)
            until(lambda: refused(reason) == before + 1)
            found.setdefault("refused", []).append(reason)

        topic, drain = sign("drain", "fra1", "--to", "all", "--for", "2h")
        tried("signature", topic, drain.replace(b"fra1", b"ams1"))
        tried("unknown key", *sign("drain", "fra1", "--to", "all", key="mallory"))
        tried("wrong audience", "/".join([*topic.split("/")[:-3], "gw/gw-lab/pop/fra1"]), drain)
        tried("not yet valid", *sign("drain", "fra1", "--to", "all", "--after", "1h"))
        late = sign("drain", "fra1", "--to", "all", "--for", "1s")
        time.sleep(1.1)
        tried("expired", *late)
        tried("malformed", topic, b'{"drained": true}')
        tried("too large", topic, drain + b" " * 9000)
        found["unmoved"] = choice(world)

        code, found["sent"] = operator(
            world, "send", "drain", "fra1", "--to", "region/lab", "--for", "2h", "--key", keys["alice"], "-c", str(FILE)
        )
        assert code == 0, found["sent"]
        until(lambda: choice(world) != "fra1/tun-fra1")
        found["drains"] = status(world)["drains"]
        found["shown"], found["why"] = text(world, "status")[1], text(world, "why")[1]
        found["history"] = text(world, "history")[1]
        found["undrain"] = ask(world, "undrain", "fra1")
        theirs = f"{topic.partition('/ctl/')[0]}/ctl/region/lab/pop/fra1"
        signed = world.broker.latest[theirs]

        # Without the broker, and killed in between: what was ordered stays ordered.
        world.broker.stop()
        daemon.kill()
        daemon.wait(60)
        daemon = start(world, config)
        until(lambda: status(world)["policies"][0]["choice"])
        time.sleep(2.0)
        found["kept"] = choice(world)
        # The others die: an order never keeps this gateway from the last PoP there is.
        others = [name for name in world.pops if name != "fra1"]
        for name in others:
            world.pops[name].set(dead=True)
        until(lambda: choice(world) == "fra1/tun-fra1")
        for name in others:
            world.pops[name].set(dead=False)
        until(lambda: choice(world) != "fra1/tun-fra1")

        world.broker.start()
        until(lambda: metric("steerd_mqtt_connected"))
        world.broker.publish(*sign("undrain", "fra1", "--to", "region/lab"))
        until(lambda: not status(world)["drains"])
        tried("replayed", theirs, signed)
        found["after"] = status(world)["drains"]

        world.broker.publish(*sign("pin", "users", "nyc1", "--to", "gw/gw-lab"))
        until(lambda: choice(world) == "nyc1/tun-nyc1")
        found["pin"] = text(world, "why")[1]
        FILE.write_text(world.gateway_config())
        assert ask(world, "reload")[0] == 0
        until(lambda: status(world)["policies"][0]["pin"] is None)
    return found


def test_signed_orders_move_what_they_may_and_forged_ones_nothing() -> None:
    found = run(f"{__name__}:ordered", timeout=240)
    assert found["mode"] == 0o600
    assert len(found["refused"]) == 8
    assert found["unmoved"] == "fra1/tun-fra1"
    assert re.search(r"sent to steer/v1/\w+/ctl/region/lab/pop/fra1, until ", found["sent"])
    assert [(one["pop"], one["origin"]) for one in found["drains"]] == [("fra1", "signed by alice")]
    assert 7000 < found["drains"][0]["left_s"] <= 7200
    assert "signed by alice" in found["shown"]
    assert "fra1 is to be left (signed by alice)" in found["why"]
    assert "signed by alice" in found["history"]
    assert found["undrain"][0] == 1
    assert found["kept"] != "fra1/tun-fra1"
    assert found["after"] == []
    assert "signed by alice" in found["pin"]
