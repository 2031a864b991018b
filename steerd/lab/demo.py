"""`steerd demo`: what happens to the PoPs of the lab, what the real daemon does about it, and whether it should."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from steerd.lab.enclosure import RUN, LabError, enclose
from steerd.lab.script import Act, told
from steerd.lab.stage import Stage
from steerd.lab.world.world import TENANT, World

INTERVAL: Final = "200ms"
RATE: Final = 100.0
"""The users' datagrams a second, in each family."""


def _fra1(**conditions: Any) -> Callable[[World], None]:
    return lambda world: world.pops["fra1"].set(**conditions)


def _ams1_accepts(accepting: bool) -> Callable[[World], None]:
    """Over MQTT: first that it does not, then that it does again."""
    state = {"v": 1, "pop": "ams1", "epoch": 1, "seq": 1 + accepting, "accepting": accepting}
    return lambda world: world.broker.publish(f"steer/v1/{TENANT}/pop/ams1/state", state)


def _burst(world: World) -> None:
    """15 ms more for 2.5 s is 37.5 ms*s: less than half of a price of 100 ms*s."""
    now = time.monotonic()
    world.pops["ams1"].set(delay_ms=45.0, jitter_ms=15.0, at=now)
    world.pops["ams1"].set(delay_ms=30.0, jitter_ms=0.0, at=now + 2.5)


# In simulations of this script (tests/scenarios/price.toml has the like) the brown-out is left after 2.4 s, and 10 ms
# less are followed after 8 s.
SCRIPT: Final[Sequence[Act[World]]] = (
    Act("calm", "four PoPs at 20, 30, 40 and 90 ms", lambda _: None, 6.0),
    Act("brown-out", "fra1, in use, becomes 40 ms slower", _fra1(delay_ms=60.0), 8.0, to="ams1", within=3.0),
    Act("recovery", "fra1 is as fast as before", _fra1(delay_ms=20.0), 16.0, to="fra1", within=15.0),
    Act("outage", "fra1, in use, answers nothing", _fra1(dead=True), 4.0, to="ams1", within=1.0, lost_max=1.0),
    Act("drain", "ams1, in use, tells MQTT that it stops accepting", _ams1_accepts(False), 4.0, to="par1", within=1.0),
    Act("undrain", "ams1 accepts again", _ams1_accepts(True), 16.0, to="ams1", within=15.0),
    Act("jitter burst", "ams1, in use: 15 ms more and as much jitter, for 2.5 s; half a price", _burst, 10.0),
)


def demo(*, as_json: bool, hold: bool, config: Path | None) -> int:
    """Run the script. Returns 0 if the daemon did what it is for, else 1."""
    tables = (config or files("steerd.lab") / "demo.toml").read_text()
    try:
        enclose()
        with World(rate=RATE) as world:
            stage = Stage(world, LabDaemon(world, tables), SCRIPT, rate=RATE, quiet=as_json)
            report = stage.report(stage.play())
            print(json.dumps(report) if as_json else "\n".join(told(report)), flush=True)
            if hold:
                _hold()
            return 0 if report["ok"] else 1
    except LabError as error:
        print(f"steerd demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is left behind", file=sys.stderr)
        return 130


class LabDaemon:
    """The daemon as a process in the lab: a `steerd.lab.stage.Daemon`."""

    def __init__(self, world: World, tables: str) -> None:
        self._world = world
        self._log = (RUN / "steerd.log").open("w")
        config = world.gateway_config(interval=INTERVAL, tables=tables)
        self._process = world.run_daemon(config, stderr=self._log)
        self.pid = self._process.pid

    def ended(self) -> str | None:
        return None if self._process.poll() is None else f"exit code {self._process.returncode}"

    def answers(self) -> bool:
        return (RUN / "control.sock").exists()

    def ctl(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "steerd.cli.steerctl", "--socket", str(RUN / "control.sock"), *arguments]
        process = self._world.spawn("gw", [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate(timeout=10)
        if process.returncode:
            raise LabError(f"steerctl {arguments[0]}: {errors.decode().strip()}{self.last_words()}")
        return dict(json.loads(output))

    def last_words(self) -> str:
        self._log.flush()
        return "".join(f"\n  {line}" for line in (RUN / "steerd.log").read_text().splitlines()[-8:])


def _hold() -> None:
    print(
        "\nThe lab stays up until Ctrl-C. To look inside, as root:\n"
        "  nsenter -a -t $(pgrep -n -f 'steerd demo') ip netns exec gw bash\n"
        f"  steerctl --socket {RUN}/control.sock status",
        flush=True,
    )
    while True:
        time.sleep(3600.0)
