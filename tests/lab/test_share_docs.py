"""The commands of docs/mqtt.md, run as they stand there, make a broker at which a gateway works."""

import asyncio
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from steerd.config.gateway.load import load
from steerd.core.views import View
from steerd.lab.enclosure import RUN, run
from steerd.share.gateway import Share
from tests.lab.sharing import MOSQUITTO, VIEW
from tests.lab.waiting import until, until_async

pytestmark = [
    pytest.mark.lab,
    pytest.mark.broker,
    pytest.mark.fleet,
    pytest.mark.skipif(MOSQUITTO is None or shutil.which("openssl") is None, reason="needs mosquitto and openssl"),
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to mosquitto's user, as root"),
]

PROJECT = Path(__file__).parents[2]
GATEWAY = """
[gateway]
name = "gw-lyon-1"
[[pop]]
name = "fra1"
paths = [{ dev = "lo", target = "192.0.2.1" }]
[[policy]]
name = "default"
prefixes = ["10.0.0.0/8"]
"""


def block(kind: str) -> str:
    """The first of this kind below the heading."""
    text = (PROJECT / "docs/mqtt.md").read_text().partition("## The broker's side")[2]
    return text.partition(f"```{kind}\n")[2].partition("```")[0]


def followed() -> dict[str, Any]:
    for folder in ("/etc/mosquitto", "/var/lib/mosquitto"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", folder], check=True)
    shutil.chown("/var/lib/mosquitto", "mosquitto")
    commands = block("sh")
    assert commands.rstrip().splitlines()[-1].startswith("mosquitto -c ")
    broker = subprocess.Popen(["bash", "-ec", f"PATH=$PATH:/usr/sbin\n{commands}"], cwd=PROJECT)
    theirs = RUN / "gateway"
    theirs.mkdir()
    given = Path("/etc/mosquitto/steerd")
    until(lambda: (given / "broker.key").exists() or broker.poll() is not None)
    assert broker.poll() is None
    for name in ("ca.pem", "gw-lyon-1.pem", "gw-lyon-1.key"):
        shutil.copy(given / "authority" / name, theirs / name)
    file = RUN / "steerd.toml"
    file.write_text(GATEWAY + block("toml").replace("/etc/steerd", str(theirs)))
    said: list[str] = []
    settings = load(file).mqtt
    assert settings is not None

    def snapshot() -> View:
        return VIEW

    async def work() -> None:
        share = Share(
            settings, epoch=1, pops=(), snapshot=snapshot, on_pop_state=lambda _: None,
            refuse=lambda *what: said.append(" ".join(what)), on_connected=lambda now: said.append(f"connected {now}"),
            on_message=said.append, draw=random.random,
        )  # fmt: skip
        task = asyncio.create_task(share.run())
        await until_async(lambda: said.count("out") >= 2)
        await share.stop()
        await task

    try:
        asyncio.run(work())
    finally:
        broker.terminate()
        broker.wait(60)
    return {"said": said, "owner": Path("/etc/mosquitto/steerd/broker.key").stat().st_mode & 0o777}


def test_the_commands_of_the_docs_make_a_broker_at_which_a_gateway_works() -> None:
    found = run(f"{__name__}:followed")
    assert [one for one in found["said"] if one != "in"] == ["connected True", "out", "out", "out", "connected False"]
    assert found["owner"] == 0o600
