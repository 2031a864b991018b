"""The real daemon with a provider's catalogue of 300 PoPs: four that answer, and 296 that do not."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from steerd.config.catalogue.signed import sign
from steerd.lab.enclosure import RUN, run
from steerd.lab.world.world import TENANT, World
from steerd.share.signing import public_text, secret_text
from tests.lab.test_daemon import FILE, LOG, ask, metric, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

KEY, FOREIGN = SigningKey(b"1" * 32), SigningKey(b"2" * 32)
LIST = RUN / "list.json"
TABLE = f"""
[catalogue]
name = "provider"
file = "{LIST}"
interval = "1s"
trusted_keys = ["{public_text(KEY.verify_key)} alice"]
dev = "tun-{{name}}"
"""


def scene(name: str) -> Any:
    return run(f"{__name__}:{name}")


def put(payload: bytes) -> None:
    new = LIST.with_suffix(".new")
    new.write_bytes(payload)
    new.replace(LIST)


def signed(
    serial: int,
    pops: list[dict[str, Any]],
    key: SigningKey = KEY,
    issued: float | None = None,
    lasts: float = 86_400.0,
) -> bytes:
    at = int((issued or time.time()) * 1000)
    ends = at + int(lasts * 1000)
    return sign(key, name="provider", serial=serial, issued_ms=at, expires_ms=ends, pops=pops)


def serial(world: World) -> Any:
    return status(world).get("catalogue", {}).get("serial")


def refused(world: World) -> Any:
    return status(world).get("catalogue", {}).get("refused")


def configured(world: World) -> tuple[str, list[dict[str, Any]]]:
    """A file without any PoP, with a policy for each family that stay apart, and the catalogue's entries instead."""
    config = re.sub(r"\n\[\[pop\]\]\n.*?\n(?=\n|$)", "\n", world.gateway_config(), flags=re.DOTALL)
    assert "[[pop]]" not in config
    config = config.replace("[route]", '[route]\nmark = "0x3ff00000"')
    config = config.replace("[[policy]]", TABLE + "\n[[policy]]")
    real = [{"name": p.name, "target": p.target, "target6": p.target6, "region": p.region} for p in world.pops.values()]
    silent = [{"name": f"far{n}", "target": f"10.99.{n >> 8}.{n & 255}"} for n in range(1, 297)]
    return config, [*real, *silent]


def followed() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config, pops = configured(world)
        put(signed(1, pops[1:]))  # without the best
        start(world, config)
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/provider")
        found["pops"] = status(world)["catalogue"]["pops"]
        quiet = time.monotonic()
        # Far ones come, change and go: nobody's traffic is there.
        put(signed(2, [*pops[1:-2], {**pops[-2], "bias": "5ms"}, {"name": "new", "target": "10.99.9.9"}]))
        until(lambda: serial(world) == 2)
        for name, payload in (
            ("stale", signed(1, pops)),
            ("forged", signed(3, pops[1:]).replace(b'"far7"', b'"far8"')),
            ("foreign", signed(3, pops, FOREIGN)),
            ("cut", signed(3, pops)[:-100]),
            ("clash", signed(3, [*pops, pops[0]])),
            ("future", signed(3, pops, issued=time.time() + 3600)),
        ):
            before = refused(world)
            put(payload)
            until(lambda before=before: refused(world) not in (None, before))
            found[name] = refused(world)
        LIST.unlink()
        until(lambda: "cannot be had" in (refused(world) or ""))
        found["serial"] = serial(world)
        found["lost"] = world.traffic.between(quiet, time.monotonic() - 1.0).lost
        found["carried"] = sorted(world.traffic.between(quiet, time.monotonic() - 1.0).by_pop)
        found["refusals"] = metric('steerd_refused_total{reason="signature",source="catalogue"}')
        # The best one comes, and is moved to; then it is withdrawn.
        put(signed(4, pops))
        until(lambda: status(world)["policies"][0]["choice"] == "fra1/provider")
        put(signed(5, pops[1:]))
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/provider")
        found["metrics"] = metric("steerd_catalogue_serial"), metric("steerd_catalogue_pops")
        found["history"] = ask(world, "history")[1]["switches"][0]
    found["log"] = LOG.read_text()
    return found


def test_300_pops_are_followed_and_whatever_is_wrong_is_refused() -> None:
    found = scene("followed")
    assert found["pops"] == 299
    assert "serial 1 does not follow serial 2" in found["stale"]
    assert "the signature of alice does not fit" in found["forged"]
    assert "a key that is not trusted" in found["foreign"]
    assert "no signed catalogue, or a part of one" in found["cut"]
    assert "must be unique" in found["clash"]
    assert "signed in the future" in found["future"]
    assert found["serial"] == 2
    assert found["lost"] == 0
    assert found["carried"] == ["ams1"]
    assert found["refusals"] >= 1
    assert found["metrics"] == [5.0, 299.0]
    assert "catalogue provider, serial 2: 1 PoP added, 1 changed, 1 withdrawn" in found["log"]
    assert "Traceback" not in found["log"]


def restarted() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config, pops = configured(world)
        daemon = start_without(world, config)
        found["before"] = world.traffic.between(time.monotonic() - 1.0).by_pop
        put(signed(7, pops))
        until(lambda: status(world)["policies"][0]["choice"] == "fra1/provider")
        daemon.terminate()
        daemon.wait(30)
        LIST.unlink()
        start(world, config)
        found["after"] = status(world)["catalogue"]
        put(signed(6, pops[1:]))
        until(lambda: "serial 6 does not follow serial 7" in (refused(world) or ""))
        code, answer = ask(world, "reload")
        found["reload"] = code, answer.get("changed")
        found["choice"] = status(world)["policies"][0]["choice"]
    return found


def start_without(world: World, config: str) -> subprocess.Popen[Any]:
    with LOG.open("a") as log:
        daemon = world.run_daemon(config, stderr=log)
    until(lambda: "cannot be had" in (refused(world) or ""))
    return daemon


def test_the_last_good_one_outlives_a_restart_and_a_source_that_is_gone() -> None:
    found = scene("restarted")
    assert found["after"]["serial"] == 7
    assert found["reload"] == [0, []]
    assert found["choice"] == "fra1/provider"


def by_topic() -> Any:
    found: dict[str, Any] = {}
    topic = f"steer/v1/{TENANT}/catalogue/provider"
    with World(rate=50) as world:
        config, pops = configured(world)
        config = config.replace(f'file = "{LIST}"', "topic = true")
        world.broker.publish(topic, signed(1, pops[1:]))  # without the best
        start(world, config)
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/provider")
        found["pops"] = status(world)["catalogue"]["pops"]
        quiet = time.monotonic()
        # Far ones come, change and go: nobody's traffic is there.
        found["sent"] = sent(
            world, 2, [*pops[1:-2], {**pops[-2], "bias": "5ms"}, {"name": "new", "target": "10.99.9.9"}]
        )
        until(lambda: serial(world) == 2)
        for name, payload in (
            ("stale", signed(1, pops)),
            ("forged", signed(3, pops[1:]).replace(b'"far7"', b'"far8"')),
            ("foreign", signed(3, pops, FOREIGN)),
            ("cut", signed(3, pops)[:-100]),
        ):
            before = refused(world)
            world.broker.publish(topic, payload)
            until(lambda before=before: refused(world) not in (None, before))
            found[name] = refused(world)
        world.broker.publish(topic, b"")
        world.broker.stop()
        world.broker.start()
        until(lambda: metric("steerd_mqtt_connected") == 1.0)
        found["serial"] = serial(world)
        found["lost"] = world.traffic.between(quiet, time.monotonic() - 1.0).lost
        found["carried"] = sorted(world.traffic.between(quiet, time.monotonic() - 1.0).by_pop)
        found["refusals"] = metric('steerd_refused_total{reason="signature",source="catalogue"}')
        # The best one comes, and is moved to.
        sent(world, 4, pops)
        until(lambda: status(world)["policies"][0]["choice"] == "fra1/provider")
        found["changed"] = status(world)["catalogue"]
        # Away from the topic and back to it, by reloads.
        put(signed(5, pops[1:]))
        FILE.write_text(config.replace("topic = true", f'file = "{LIST}"'))
        found["to file"] = ask(world, "reload")[1]["changed"]
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/provider")
        FILE.write_text(config)
        ask(world, "reload")
        sent(world, 6, pops)
        until(lambda: status(world)["policies"][0]["choice"] == "fra1/provider")
    found["log"] = LOG.read_text()
    return found


def sent(world: World, number: int, pops: list[dict[str, Any]]) -> str:
    """By steerctl; what it says."""
    folder = Path(RUN)
    (folder / "secret").write_text(secret_text(KEY))
    entries = "".join("[[pop]]\n" + "".join(f"{key} = {json.dumps(one)}\n" for key, one in p.items()) for p in pops)
    (folder / "pops.toml").write_text(f'name = "provider"\nserial = {number}\n{entries}')
    command = [
        sys.executable,
        "-m",
        "steerd.cli.steerctl",
        "send-catalogue",
        str(folder / "pops.toml"),
        "-c",
        str(FILE),
    ]
    command += ["--key", str(folder / "secret")]
    process = world.spawn("gw", command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return str(process.communicate(timeout=60)[0])


def test_300_pops_from_a_topic() -> None:
    found = scene("by_topic")
    assert found["pops"] == 299
    assert found["sent"] == f"sent to steer/v1/{TENANT}/catalogue/provider: catalogue provider, serial 2, 299 PoPs\n"
    assert "serial 1 does not follow serial 2" in found["stale"]
    assert "the signature of alice does not fit" in found["forged"]
    assert "a key that is not trusted" in found["foreign"]
    assert "no signed catalogue, or a part of one" in found["cut"]
    assert found["serial"] == 2
    assert found["lost"] == 0
    assert found["carried"] == ["ams1"]
    assert found["refusals"] >= 1
    assert (found["changed"]["serial"], found["changed"]["refused"]) == (4, None)
    assert found["changed"]["source"] == f"steer/v1/{TENANT}/catalogue/provider"
    assert sorted(found["to file"]) == [
        f'[catalogue] file: its default -> "{LIST}"',
        "[catalogue] topic: true -> its default",
    ]
    assert "catalogue provider, serial 2: 1 PoP added, 1 changed, 1 withdrawn" in found["log"]
    assert "Traceback" not in found["log"]


def signed_by_steerctl() -> Any:
    folder = Path(RUN)
    (folder / "secret").write_text(secret_text(KEY))
    (folder / "pops.toml").write_text('name = "provider"\nserial = 9\n[[pop]]\nname = "a"\ntarget = "10.1.1.1"\n')
    command = [sys.executable, "-m", "steerd.cli.steerctl", "sign-catalogue", str(folder / "pops.toml")]
    command += ["--key", str(folder / "secret"), "-o", str(LIST)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    return done.returncode, done.stdout, done.stderr, json.loads(LIST.read_text())["catalogue"]["serial"]


def test_steerctl_signs_one() -> None:
    code, said, errors, number = scene("signed_by_steerctl")
    assert (code, errors, number) == (0, "", 9)
    assert said == f"{LIST}: catalogue provider, serial 9, 1 PoPs\n"
