"""One engine for a thousand hours of bad weather, in virtual time: does what it holds stay as large as it was?"""

import gc
import sys
import time
from random import Random
from typing import Any

from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.sim.driver import Driver
from tests.sim.season import season

INTERVAL = 5.0  # seconds between the probes of a path
PATHS = 4


def soak(hours: int, samples: int) -> dict[str, Any]:
    """What the engine holds, in objects and bytes, ``samples`` times in so many hours."""
    rng = Random("soak")
    began = time.monotonic()
    paths = tuple(
        PathSettings(PathId(f"pop{number}/w"), f"pop{number}", f"uplink{number % 2}", interval=INTERVAL, timeout=1.0)
        for number in range(PATHS)
    )
    ids = tuple(path.path for path in paths)
    settings = Settings(paths=paths, policies=(PolicySettings(PolicyId("users")),), round=INTERVAL)
    # The last fifth is calm, as in every run of the simulation.
    lines = {path: season(rng, hours * 3600.0) for path in ids}
    driver = Driver(settings, lines, seed=1)
    found: list[dict[str, float]] = []
    events = switches = 0
    for number in range(1, samples + 1):
        driver.run(number * hours * 3600.0 / samples)
        events += sum(1 for _, event in driver.log if event is not None)
        switches += len(driver.switches())
        # What the driver keeps for its tests is not the engine's.
        driver.log.clear()
        driver.effects.clear()
        found.append(_held(driver.engine))
    seconds = round(time.monotonic() - began, 1)
    return {"hours": hours, "events": events, "switches": switches, "seconds": seconds, "samples": found}


def _held(root: object) -> dict[str, float]:
    """All that can be reached from ``root`` but classes, modules and functions."""
    seen: set[int] = set()
    stack: list[object] = [root]
    size = 0
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, type | type(sys) | type(_held)):
            continue
        seen.add(id(one))
        size += sys.getsizeof(one)
        stack.extend(gc.get_referents(one))
    return {"objects": float(len(seen)), "bytes": float(size)}
