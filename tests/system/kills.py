"""Kills of the daemon at random moments under systemd: ``python -m tests.system.kills [COUNT]``."""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.system import gateway
from tests.system.gateway import foreign, journal, killed, moved, ours, settled, started
from tests.system.machine import Machine
from tests.system.package import built

_LATEST = 2.0
"""Seconds from a process' start to its end, at most: it is ready after less than one."""


def scene(package: str, count: int, seed: int) -> Any:
    draw = random.Random(seed)
    with World(full_tunnel=True, rate=200) as world, Machine() as machine:
        gateway.start(machine, world, package)
        held, others, began = ours(), settled(), time.monotonic()
        wrong: list[str] = []
        pid = ""
        starts: list[float] = []
        for number in range(count):
            pid = started(machine, pid)
            starts.append(time.monotonic())
            time.sleep(draw.uniform(0.0, _LATEST))
            killed(machine)
            if change := moved(ours(), held):
                wrong.append(f"kill {number}: ours changed: {change}")
            if change := moved(foreign(), others):
                wrong.append(f"kill {number}: foreign changed: {change}")
        gateway.steering(machine)
        time.sleep(0.5)
        ended = time.monotonic() - 0.3
        log = journal(machine)
        users = world.traffic.between(began, ended)
        if set(users.by_pop) != {"fra1"}:
            wrong.append(f"traffic went by {users.by_pop}")
        if users.lost_from is not None:
            after = users.lost_from - max((one for one in starts if one < users.lost_from), default=began)
            wrong.append(f"{users.lost} of {users.sent} packets lost, the first {after:.2f} s after a start")
        if leaked := world.outside.leaked(began):
            wrong.append(f"{leaked} packets outside the tunnels")
        ready, adopted = log.count(" is ready: "), log.count("adopted fra1/tun-fra1 from the kernel")
        if adopted < ready - 1:
            wrong.append(f"ready {ready} times, adopted {adopted} times")
        return {"wrong": wrong, "restarts": int(machine.show("NRestarts")), "ready": ready, "packets": users.by_pop}


def judged(package: Path, count: int, seed: int = 1) -> list[str]:
    """What was not as it should be."""
    found = run(f"{__name__}:scene", str(package), count, seed, timeout=60 + 6 * count)
    print(f"{count} kills, {found['restarts']} restarts, {found['ready']} times ready, packets {found['packets']}")
    wrong: list[str] = found["wrong"]
    if found["restarts"] < count:
        wrong.append(f"only {found['restarts']} restarts")
    return wrong


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        wrong = judged(built(Path(folder)), int(sys.argv[1]) if sys.argv[1:] else 50)
    print("\n".join(wrong) or "nothing moved, nothing leaked, nothing foreign touched")
    return 1 if wrong else 0


if __name__ == "__main__":
    # By its name, not as __main__: the scene is found by it in the enclosure.
    from tests.system import kills

    sys.exit(kills.main())
