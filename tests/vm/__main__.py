"""Tunnels of the kernel, and the daemon from its package under systemd: inside the VM that tools/vm boots.

Prints what it saw, and writes it as JSON to ``$OUT/report.json``. Exits with 1 if it was not as it should be.
"""

import faulthandler
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

from steerd.lab.enclosure import LabError
from steerd.lab.script import told
from steerd.lab.stage import Stage
from tests.vm.acts import INTERVAL, RATE, SCRIPT
from tests.vm.service import CONFIG, Service
from tests.vm.world import KernelWorld

LONGEST = 480.0
"""Seconds that all of it may take. It takes 150, and 300 if each act takes what it may."""


def main() -> int:
    print(f"Linux {platform.release()}, {platform.freedesktop_os_release()['PRETTY_NAME']}", flush=True)
    began = time.monotonic()
    with KernelWorld() as world:
        print(f"the tunnels are up after {time.monotonic() - began:.1f} s", flush=True)
        CONFIG.write_text(world.config(INTERVAL))
        shutil.chown(CONFIG, group="steerd")
        # Python alone takes seconds to start on an emulated processor; and a first probe may have waited for its
        # tunnel's handshake, so that another PoP seemed nearer.
        stage = Stage(world, Service(), SCRIPT, rate=RATE, ready_within=90.0, first="fra1")
        report = stage.report(stage.play())
        print("\n".join(told(report)), flush=True)
        (Path(os.environ["OUT"]) / "report.json").write_text(json.dumps(report, indent=1) + "\n")
        return 0 if report["ok"] else 1


if __name__ == "__main__":
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    try:
        sys.exit(main())
    except LabError as problem:
        sys.exit(str(problem))
