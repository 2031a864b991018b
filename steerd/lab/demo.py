"""`steerd demo`: the script in the lab, with the real daemon; shows what happens, and rates it at the end."""

import json
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from steerd.lab.acts import INTERVAL, RATE, SCRIPT
from steerd.lab.enclosure import RUN, LabError, enclose
from steerd.lab.script import told
from steerd.lab.stage import Stage
from steerd.lab.world.world import World


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
