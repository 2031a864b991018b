"""Prober and router as the daemon joins them: ``python -m tests.lab.joined CONFIG DEVICE``, in the gateway's namespace.

Prints as JSON whether the identifiers of probes stayed over what a reload tells the engine again (``kept``), and
whether those by DEVICE are others once it was down and came up (``renewed``).
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from steerd.config.gateway.load import load
from steerd.core.engine import Engine
from steerd.core.memory import Memory
from steerd.daemon.driver import Driver
from steerd.daemon.probing import Probing
from steerd.daemon.steering import Steering
from steerd.daemon.tasks import Tasks
from steerd.web.metrics import Metrics
from tests.lab.waiting import until_async


async def main(file, device):
    config, metrics = load(Path(file)), Metrics()
    driver = Driver(Engine(config.core, Memory(), now=time.monotonic(), epoch=1, draw=lambda: 0.5))
    steering = Steering(config, driver, metrics, Tasks())
    prober = Probing(config, driver, steering, metrics, seed=1, addresses={}).prober

    def identifiers():
        return {(leg.settings.path, leg.index): leg.identifier for leg in prober.roster}

    prober.open()
    await steering.start()
    prober.start()
    await until_async(lambda: all(prober.report(path.path) for path in config.probe.paths))
    await asyncio.sleep(1.0)  # the first envelopes are made
    before = identifiers()
    steering.believe()
    kept = identifiers() == before
    subprocess.run(["ip", "link", "set", device, "down"], check=True)  # noqa: ASYNC221 (nothing is missed)
    await until_async(lambda: not all(link.up for link in steering.router.links().values()))
    subprocess.run(["ip", "link", "set", device, "up"], check=True)  # noqa: ASYNC221
    await until_async(lambda: all(link.up for link in steering.router.links().values()))
    after = identifiers()
    concerned = {key for key in before if device in key[0]}
    renewed = {key for key in before if after[key] != before[key]}
    prober.close()
    await steering.router.stop()
    print(json.dumps({"kept": kept, "renewed": renewed == concerned != set()}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
