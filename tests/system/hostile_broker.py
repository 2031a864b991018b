"""What a hostile broker costs a gateway: ``python -m tests.system.hostile_broker [--seconds N] [ATTACK ...]``.

The real daemon steers real traffic over four PoPs, knows a hundred more, and trusts a key. Of each attack there is
printed what it had highest (memory, lag of the event loop, as the upper end of a bucket of its histogram), how many
probes it skipped and how many lines it logged: beside those of a calm time of the same length, for a machine that is
busy otherwise. Exit code 1: more than `BOUNDS`.
"""

import argparse
import re
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

from steerd.lab.enclosure import run
from steerd.lab.world.broker import PORT
from steerd.lab.world.world import World
from tests.lab.hostile_broker import ABSENT, ATTACKS
from tests.lab.test_daemon import FILE, LOG, ask, metric, metrics, start, status
from tests.lab.waiting import until

CALM = "calm"
BOUNDS = {"memory_mb": 100.0, "lag_ms": 100.0, "skipped": 0.0, "lines": 20.0}
"""At most of each; ``lines`` a minute."""

_BUCKET = re.compile(r'steerd_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)')
_KEY = b64encode(bytes(31) + b"\x01").decode()


def configuration(world: World) -> str:
    pops = "".join(
        f'[[pop]]\nname = "{name}"\npaths = [{{ dev = "{name}", target = "10.9.9.9" }}]\n' for name in ABSENT
    )
    return world.gateway_config(tables=pops).replace("[mqtt]\n", f'[mqtt]\ntrusted_keys = ["{_KEY}"]\n')


def buckets() -> dict[float, float]:
    """How often the loop was at most so many ms late."""
    return {float(le) * 1000.0: float(count) for le, count in _BUCKET.findall(metrics())}


def lag(before: dict[float, float], after: dict[float, float]) -> float:
    """The least bound, in ms, that all that came in between keeps."""
    grown = {bound: after[bound] - before[bound] for bound in after}
    return min(bound for bound, count in grown.items() if count == max(grown.values()))


def highest(pid: int) -> float:
    """The most memory, in MB, since `forget`."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def forget(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def played(seconds: float, attacks: list[str]) -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = configuration(world)
        daemon = start(world, config)
        reachable = len(world.pops)
        until(lambda: [path["state"] for path in status(world)["paths"]].count("up") == reachable)
        until(lambda: metric("steerd_mqtt_connected"))
        world.broker.stop()
        for place, attack in enumerate([CALM, *attacks]):
            command = [sys.executable, "-m", "tests.lab.hostile_broker", str(PORT), attack]
            broker = None if attack == CALM else world.spawn("gw", command)
            lines = len(LOG.read_text().splitlines())
            FILE.write_text(config.replace('publish_interval = "1s"', f'publish_interval = "{place + 2}s"'))
            assert ask(world, "reload")[0] == 0  # begins another session at once
            time.sleep(1.0)
            forget(daemon.pid)
            before, skipped, began = buckets(), metric("steerd_skipped_slots_total"), time.monotonic()
            time.sleep(seconds)
            found[attack] = {
                "memory_mb": highest(daemon.pid),
                "lag_ms": lag(before, buckets()),
                "skipped": metric("steerd_skipped_slots_total") - skipped,
            }
            if broker is not None:
                broker.kill()
                broker.wait(60)
            time.sleep(1.2)
            found[attack]["lines"] = len(LOG.read_text().splitlines()) - lines
            found[attack]["lost"] = world.traffic.between(began, time.monotonic() - 1.1).lost
    return found


def exceeded(cost: dict[str, float], seconds: float) -> list[str]:
    minutes = max(1.0, seconds / 60.0)
    bounds = {**BOUNDS, "lines": BOUNDS["lines"] * minutes}
    return [f"{name} {cost[name]:g} above {bound:g}" for name, bound in bounds.items() if cost[name] > bound]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.hostile_broker")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each attack (default: 60)")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"default: all of {', '.join(ATTACKS)}")
    options = parser.parse_args()
    attacks = options.attacks or list(ATTACKS)
    within = 120.0 + (len(attacks) + 1) * (options.seconds + 20.0)
    found = run(f"{__name__}:played", options.seconds, attacks, timeout=within)
    print(f"{'ATTACK':<18}{'MEMORY':>10}{'LAG':>10}{'SKIPPED':>10}{'LINES':>8}{'LOST':>8}")
    wrong: list[str] = []
    for attack, cost in found.items():
        late = "none" if cost["lag_ms"] == 0 else f"<{cost['lag_ms']:g} ms"
        figures = f"{cost['memory_mb']:>7.0f} MB{late:>10}{cost['skipped']:>10g}{cost['lines']:>8}{cost['lost']:>8}"
        print(f"{attack:<18}{figures}")
        wrong += [f"{attack}: {what}" for what in exceeded(cost, options.seconds)]
    print("\n".join(wrong) or "all within bounds")
    return 1 if wrong else 0


if __name__ == "__main__":
    # By its name, not as __main__: the scene is found by it in the enclosure.
    from tests.system import hostile_broker

    sys.exit(hostile_broker.main())
