"""Uplinks behind real queues: each path is a wire to a router of its own, whose way on to the PoP is a token bucket.

::

    lan (10.77.0.2) ---- gw ---- up-fra1 ---- router-fra1 [tbf] pop0: the PoP
                         |------ up-ams1 ---- router-ams1 [tbf] pop0: the PoP

What waits, waits in a router, where the gateway does not see it, and probes stand in the same queue as the users'
packets. ``python -m tests.lab.queues SHARE BURST SEED KIND`` is the users' process.
"""

import json
import random
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from steerd.lab import namespaces
from steerd.lab.worker import Worker
from steerd.lab.world import wiring
from steerd.lab.world.packets import TRAFFIC_PORT
from steerd.lab.world.pop import Pop, PopSpec
from steerd.lab.world.world import World

RATE = 500_000.0
"""Bytes a second that go through each token bucket: 4 Mbit/s."""

SIZE = 1_000
"""Bytes of a users' packet with its headers: 2 ms of the bucket."""

AT_ONCE, HELD = 3_000, 100_000
"""Bytes that the bucket lets through at once, and that its queue holds: 200 ms."""

HEADERS = 28
USER = "198.18.0.1"
LATE = 0.01
"""Seconds: what the users' process missed by more, since the machine stood still, is not made up for."""


class Queues(World):
    """The users send nothing until `load`."""

    def gateway_config(self, *, interval: str = "1s", tables: str = "") -> str:
        text = f"""\
[gateway]
name = "gw-lab"
region = "lab"

[probe]
interval = "{interval}"

[control]
socket = "{self.directory}/control.sock"

[store]
path = "{self.directory}/store"

[[policy]]
name = "users"
prefixes = ["198.18.0.0/15"]
flows = "move"
"""
        for number, pop in enumerate(self.pops.values(), 1):
            text += f"""
[[pop]]
name = "{pop.name}"
paths = [{{ dev = "up-{pop.name}", via = "10.99.{number}.2", target = "{pop.target}" }}]
"""
        return text + tables

    def load(self, share: float, *, burst: int, kind: str = "frames", seed: int = 1) -> None:
        """From now on the users fill this share of one queue's rate, in bursts of so many packets. ``kind``: `frames`,
        a burst somewhere in each period, so that the queue is empty again soon after; or `poisson`, bursts at any time,
        whose queue wanders for seconds."""
        self.spawn("lan", [sys.executable, "-m", __name__, str(share), str(burst), str(seed), kind])

    def passed(self) -> dict[str, int]:
        """Bytes that went through each queue so far."""
        return {name: _passed(f"router-{name}") for name in self.pops}

    def _build(self) -> None:
        wiring.wire(0)
        pops = [Pop(spec, number, self._ask) for number, spec in enumerate(self._specs, 1)]
        self.pops = {pop.name: pop for pop in pops}
        self._behind = {
            spec.name: self._router(f"router-{spec.name}", f"up-{spec.name}", spec, number)
            for number, spec in enumerate(self._specs, 1)
        }

    def _router(self, router: str, device: str, spec: PopSpec, number: int) -> Worker:
        namespaces.add(router)
        namespaces.sysctl(router, ipv4__ip_forward=1)
        namespaces.ip(f"link add {device} netns gw type veth peer name gw0 netns {router}")
        namespaces.ip(f"addr add 10.99.{number}.1/24 dev {device}\nlink set {device} up", "gw")
        pop = self.pops[spec.name]
        given = {
            "targets": [socket.inet_aton(pop.target).hex()],
            "conditions": asdict(spec.conditions),
            "device": "pop0",
            "number": number,
        }
        behind = self._worker(router, "steerd.lab.world.pop", pops={spec.name: given}, seed=self._seed)
        namespaces.ip(
            f"""addr add 10.99.{number}.2/24 dev gw0
                link set gw0 up
                link set pop0 up
                route add default dev pop0
                route add {wiring.HOST.address}/32 via 10.99.{number}.1""",
            router,
        )
        bucket = f"qdisc add dev pop0 root tbf rate {8 * RATE:.0f}bit burst {AT_ONCE} limit {HELD}"
        subprocess.run(["tc", "-n", router, *bucket.split()], check=True)
        return behind

    def _ask(self, **question: Any) -> Any:
        return self._behind[question["pop"]].ask(**question)


def _passed(router: str) -> int:
    told = subprocess.check_output(["tc", "-n", router, "-s", "-j", "qdisc", "show", "dev", "pop0", "root"])
    return int(json.loads(told)[0]["bytes"])


def _users(share: float, burst: int, draw: random.Random, kind: str) -> None:
    """Nobody waits for an answer."""
    users = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packet = bytes(SIZE - HEADERS)
    period = burst * SIZE / (share * RATE)
    begins = time.monotonic()
    while True:
        begins = max(begins + (period if kind == "frames" else draw.expovariate(1.0 / period)), time.monotonic() - LATE)
        due = begins + (draw.uniform(0.0, period) if kind == "frames" else 0.0)
        time.sleep(max(0.0, due - time.monotonic()))
        for _ in range(burst):
            users.sendto(packet, (USER, TRAFFIC_PORT))


if __name__ == "__main__":
    _users(float(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3])), sys.argv[4])
