"""The real daemon, and files that somebody else has had a hand in."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, LOG, ask, metric, start, state_of_kernel, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

CONTENTS = {
    "huge": b"[probe]\ninterval = 1" + 400 * b"0",
    "long": b"[route]\nmark = 0x" + 4000 * b"f",
    "deep": b"a = " + 5000 * b"[",
    "keys": b"[" + b".".join(5000 * [b"a"]) + b"]",
    "bytes": b"\xff\xfe\0",
    "zero": Path("/dev/zero"),
    "fifo": None,
    "folder": ...,
}


def put(content: Any) -> None:
    if FILE.is_dir():
        FILE.rmdir()
    else:
        FILE.unlink(missing_ok=True)
    if isinstance(content, bytes):
        FILE.write_bytes(content)
    elif isinstance(content, Path):
        FILE.symlink_to(content)
    elif content is None:
        os.mkfifo(FILE)
    else:
        FILE.mkdir()


def hostile() -> Any:
    with World(rate=50) as world:
        config = world.gateway_config()
        daemon = start(world, config)
        kernel, began = state_of_kernel(), time.monotonic()
        refused = []
        for name, content in CONTENTS.items():
            put(content)
            before = LOG.read_text().count("not reloaded")
            daemon.send_signal(signal.SIGHUP)
            until(lambda before=before: LOG.read_text().count("not reloaded") > before)
            if ask(world, "reload")[0] == 78:
                refused.append(name)
        found = {
            "refused": refused,
            "lives": daemon.poll() is None,
            "kernel": state_of_kernel() == kernel,
            "log": "Traceback" not in LOG.read_text(),
            "faults": metric('steerd_faults_total{part="task"}'),
            "policies": len(status(world)["policies"]),
        }
        put(config.encode())
        found["mended"] = ask(world, "reload")[0]
        ended = time.monotonic()
        time.sleep(1.1)
        found["lost"] = world.traffic.between(began, ended).lost
    return found


def test_no_file_in_the_place_of_the_configuration_stops_the_daemon_or_moves_a_packet() -> None:
    assert run(f"{__name__}:hostile") == {
        "refused": list(CONTENTS),
        "lives": True,
        "kernel": True,
        "log": True,
        "faults": 0.0,
        "policies": 1,
        "mended": 0,
        "lost": 0,
    }
