"""The whole world: a LAN host, the gateway, the network outside, and PoPs behind tunnels.

::

    lan (10.77.0.2) ---- gw ---- wan (192.0.2.2, the admin at 198.51.100.10, the tunnels' outer side 203.0.113.0/24)
                         |
                         tun-fra1, tun-ams1, ...: a PoP behind each

Inside an enclosure (see `steerd.lab.enclosure`)::

    with World() as world:
        world.run_daemon(world.gateway_config())
        world.pops["fra1"].set(delay_ms=80)
        time.sleep(10)
        print(world.traffic.between(time.monotonic() - 5).by_pop)

Times are those of ``time.monotonic()``, everywhere.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, LabError
from steerd.lab.worker import Worker
from steerd.lab.world import wiring
from steerd.lab.world.admin import Admin
from steerd.lab.world.broker import Broker
from steerd.lab.world.outside import Outside
from steerd.lab.world.pop import POPS, Pop, PopSpec
from steerd.lab.world.traffic import Traffic

METRICS = "127.0.0.1:9911"
TENANT = "lab"
BYPASS_MARK = 0x00100000
STEERED = ("198.18.0.0/15", "2001:2::/48")
EVERYTHING = ("0.0.0.0/0", "::/0")
_USERS = {4: [f"198.18.0.{n}" for n in range(1, 33)], 6: [f"2001:2::{n:x}" for n in range(1, 33)]}


class World:
    """Builds it all on entry, and raises `LabError` where it cannot. With ``full_tunnel`` everything is steered and the
    tunnels' outer packets leave by the uplink, an ``admin`` is at work, and the config says so; else `STEERED` prefixes
    are, and the devices lead straight to the PoPs. ``rp_filter`` is the gateway's, on all its devices; ``rate`` the
    users' datagrams a second in each family, 0 until set."""

    pops: dict[str, Pop]
    traffic: Traffic
    broker: Broker
    outside: Outside
    admin: Admin | None = None

    def __init__(
        self,
        pops: Sequence[PopSpec] = POPS,
        *,
        full_tunnel: bool = False,
        rp_filter: int = 0,
        rate: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.directory: Path = RUN
        self.full_tunnel = full_tunnel
        self.steered = EVERYTHING if full_tunnel else STEERED
        self._specs = pops
        self._rp_filter = rp_filter
        self._rate = rate
        self._seed = seed
        self._open = contextlib.ExitStack()
        self._tunnels: Worker | None = None

    def __enter__(self) -> Self:
        if not RUN.is_dir():
            raise LabError("a world is built in an enclosure only")
        try:
            self._build()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all that was started. What is left of the world goes with the enclosure."""
        self._open.close()

    def gateway_config(self, *, interval: str = "200ms", tables: str = "") -> str:
        """The gateway's TOML, as its operator would write it for this world: these PoPs, one policy ``users`` for what
        is steered, the broker, everything else under ``directory``, and ``tables``."""
        listed = ", ".join(f'"{prefix}"' for prefix in self.steered)
        text = f"""\
[gateway]
name = "gw-lab"
region = "lab"

[probe]
interval = "{interval}"

[route]
bypass_mark = "{BYPASS_MARK if self.full_tunnel else 0:#010x}"

[mqtt]
url = "{self.broker.url}"
tenant = "{TENANT}"
publish_interval = "1s"

[export]
listen = "{METRICS}"

[control]
socket = "{self.directory}/control.sock"

[store]
path = "{self.directory}/store"

[[policy]]
name = "users"
prefixes = [{listed}]
flows = "move"  # users talk without an end here: what a switch does would never be seen
"""
        for pop in self.pops.values():
            text += f"""
[[pop]]
name = "{pop.name}"
region = "{pop.region}"
paths = [{{ dev = "{pop.device}", target = "{pop.target}", target6 = "{pop.target6}" }}]
"""
        return text + ("\n" + tables if tables else "")

    def run_daemon(self, config: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
        """Start the real daemon in ``gw``; ``options``: `subprocess.Popen`'s. It ends with the world at the latest."""
        file = self.directory / "steerd.toml"
        file.write_text(config)
        command = [sys.executable, "-m", "steerd.cli.steerd", "run", "-c", str(file), *arguments]
        return self.spawn("gw", command, **options)

    def spawn(self, namespace: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process in ``lan``, ``gw`` or ``wan`` that ends with the world at the latest."""
        process = namespaces.spawn(namespace, argv, **options)
        self._open.callback(_end, process)
        return process

    def nested(self) -> dict[str, int]:
        """With ``full_tunnel``: how many outer packets were routed into each tunnel. Never any, if all is well."""
        return dict(self._tunnels.ask()) if self._tunnels else {}

    def _build(self) -> None:
        wiring.wire(self._rp_filter)
        pops = [Pop(spec, number, self._ask) for number, spec in enumerate(self._specs, 1)]
        self.pops = {pop.name: pop for pop in pops}
        if self.full_tunnel:
            self._dig_tunnels()
        given = {
            spec.name: {
                "targets": [_packed(self.pops[spec.name].target), _packed(self.pops[spec.name].target6)],
                "conditions": asdict(spec.conditions),
                **({"outer": self.pops[spec.name].outer} if self.full_tunnel else {"device": spec.device}),
            }
            for spec in self._specs
        }
        where = "wan" if self.full_tunnel else "gw"
        self._pops = self._worker(where, "steerd.lab.world.pop", pops=given, seed=self._seed)
        for pop in pops:
            pop.address()
        self.outside = self._open.enter_context(contextlib.closing(Outside("wan", wiring.OUTSIDE.device)))
        self.broker = self._open.enter_context(contextlib.closing(Broker("gw", self.directory)))
        self.traffic = self._open.enter_context(contextlib.closing(Traffic("lan", list(self.pops), _USERS, self._rate)))
        if self.full_tunnel:
            self.admin = self._open.enter_context(
                contextlib.closing(Admin("wan", wiring.ADMIN, "gw", wiring.UPLINK.address))
            )

    def _dig_tunnels(self) -> None:
        for pop in self.pops.values():
            wiring.outside(pop.outer)
        tunnels = {
            pop.name: {"device": pop.device, "outer": pop.outer, "mark": BYPASS_MARK} for pop in self.pops.values()
        }
        self._tunnels = self._worker("gw", "steerd.lab.world.tunnel", tunnels=tunnels)

    def _ask(self, **question: Any) -> Any:
        return self._pops.ask(**question)

    def _worker(self, namespace: str, module: str, **setup: Any) -> Worker:
        return self._open.enter_context(contextlib.closing(Worker(namespace, module, setup)))


def _packed(address: str) -> str:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address).hex()


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
