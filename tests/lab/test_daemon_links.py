"""A device that comes back makes its paths' probes others than before; that a reload tells of it once more does not."""

import json
import subprocess
import sys
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def joined() -> Any:
    with World(rate=0) as world:
        FILE.write_text(world.gateway_config())
        command = [sys.executable, "-m", "tests.lab.joined", str(FILE), "tun-ams1"]
        process = world.spawn("gw", command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return json.loads(output)


def test_a_reload_is_no_news_of_a_device_and_its_return_is() -> None:
    assert run(f"{__name__}:joined", timeout=180) == {"kept": True, "renewed": True}
