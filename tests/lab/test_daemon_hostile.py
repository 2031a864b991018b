"""The real daemon, and files that somebody else has had a hand in."""

import fcntl
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
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


def starved(room: int) -> Any:
    """The daemon may take ``room`` bytes more than it has; somebody touches our table of nftables; the path dies."""
    with World(rate=50) as world:
        daemon = start(world, world.gateway_config())
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        memory, before = lines(daemon.pid, "VmSize")[0] * 1024, threads(daemon.pid)
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (memory + room, memory + room))
        size = LOG.stat().st_size
        for n in range(30):
            script = f"table inet steerd {{\n chain x{n} {{\n }}\n}}\n"
            touch = namespaces.command("gw", ["nft", "-f", "-"])
            subprocess.run(touch, input=script, text=True, check=True, timeout=20)
            time.sleep(0.05)
        began = time.monotonic()
        stop, new = threading.Event(), set()

        def watch() -> None:
            while not stop.wait(0.005):
                new.update(set(threads(daemon.pid)) - set(before))

        watching = threading.Thread(target=watch)
        watching.start()
        world.pops["fra1"].set(dead=True)
        until(lambda: arrived(world, began) == "ams1")
        time.sleep(2.0)  # the trace that follows, and whatever goes on being said
        stop.set()
        watching.join()
        return {
            "lives": daemon.poll() is None,
            "new threads": len(new),
            "bytes of log": LOG.stat().st_size - size,
        }


def arrived(world: World, since: float) -> str | None:
    """The PoP at which the latest packets arrive, if it is one."""
    now = time.monotonic()
    seen = world.traffic.between(max(since, now - 1.5), now - 1.0).by_pop
    return next(iter(seen)) if len(seen) == 1 else None


def threads(pid: int) -> list[str]:
    return [one.name for one in Path(f"/proc/{pid}/task").iterdir()]


def lines(pid: int, key: str) -> list[int]:
    """The numbers in lines of its status that begin so."""
    text = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [int(line.split()[1]) for line in text if line.startswith(key + ":")]


@pytest.mark.nft
@pytest.mark.parametrize("room", [0, 9 << 20], ids=["none", "the stack of a thread"])
def test_without_memory_steering_goes_on_and_the_log_stays_small(room: int) -> None:
    found = run(f"{__name__}:starved", room)
    assert found["lives"]
    assert found["new threads"] == 0
    assert found["bytes of log"] < 40_000


def unread() -> Any:
    """Standard error is a small pipe that nobody reads, as of a journal whose disk hangs; the path dies."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with World(rate=50) as world:
        config = world.gateway_config()
        daemon = world.run_daemon(config, stderr=writing)
        until(lambda: status(world)["policies"][0]["choice"] is not None)
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        FILE.write_text("".join(f"[x{n}]\n" for n in range(200)))
        for _ in range(20):
            assert ask(world, "reload")[0] == 78
        began = time.monotonic()
        world.pops["fra1"].set(dead=True)
        until(lambda: arrived(world, began) == "ams1")
        daemon.terminate()
        ended = daemon.wait(60)
    os.close(reading)
    os.close(writing)
    return ended


def test_where_nobody_reads_the_log_steering_goes_on() -> None:
    assert run(f"{__name__}:unread") == 0
