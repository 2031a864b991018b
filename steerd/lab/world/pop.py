"""The PoPs: a TUN device each, or, behind real tunnels, a UDP socket each, and what is behind them.

The lab's end is a `Pop` each; as a module this is the process of all. One process serves them all: 600 packets a
second are a twentieth of what it can do, so that its own queue adds nothing to a delay, while a process each would wait
for the processor behind the others.
"""

import contextlib
import math
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from steerd.lab import namespaces
from steerd.lab.worker import Inbox, serve, setup
from steerd.lab.world.line import Conditions, Line
from steerd.lab.world.packets import OUTER_PORT
from steerd.lab.world.tun import Tun

_BATCH = 64
_PACKET = 65_535


@dataclass(frozen=True, slots=True)
class PopSpec:
    """A PoP to be: its place in the config, and its conditions at the start."""

    name: str
    region: str = "default"
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def device(self) -> str:
        """Of the tunnel, on the gateway."""
        return f"tun-{self.name}"


POPS = (
    PopSpec("fra1", "de", Conditions(delay_ms=20.0)),
    PopSpec("ams1", "nl", Conditions(delay_ms=30.0)),
    PopSpec("par1", "fr", Conditions(delay_ms=40.0)),
    PopSpec("nyc1", "us", Conditions(delay_ms=90.0)),
)


class Pop:
    """One PoP: what its packets meet from now on, and what came to it. ``target``/``target6`` are what is probed."""

    def __init__(self, spec: PopSpec, number: int, ask: Callable[..., Any]) -> None:
        self.name = spec.name
        self.region = spec.region
        self.device = spec.device
        self.target = f"10.{64 + number // 256}.{number % 256}.1"
        self.target6 = f"fd64:0:0:{number}::1"
        self.outer = f"203.0.113.{number}" if number % 2 else f"2001:db8:113::{number}"
        self._ask = ask

    def set(self, *, at: float | None = None, **conditions: Any) -> None:
        """Change these of its `Conditions`, ``at`` a time or at once. Raises `LabError` for what is none of them."""
        self._ask(pop=self.name, change=conditions, at=time.monotonic() if at is None else at)

    def seen(self, since: float = -math.inf, until: float = math.inf) -> dict[str, int]:
        """How many packets came: ``probes4``, ``probes6``, ``pings4``, ``pings6`` (of users), ``traffic4``,
        ``traffic6``, ``dropped`` (of all these), ``strays`` (other PoPs' probes, tunnels' outer packets)."""
        return dict(self._ask(pop=self.name, since=since, until=until))

    def sequences(self, family: int, since: float = -math.inf, until: float = math.inf) -> list[int]:
        """The numbers of the users' datagrams that came, also of those that were then dropped."""
        return list(self._ask(pop=self.name, family=family, since=since, until=until))

    def link(self, up: bool) -> None:
        """Take the tunnel's device down, or up again."""
        namespaces.ip(f"link set {self.device} {'up' if up else 'down'}", "gw")

    def attach(self, attached: bool) -> None:
        """Delete the tunnel's device, or make it again with the same name and addresses. Not with ``full_tunnel``."""
        self._ask(pop=self.name, attached=attached)
        if attached:
            self.address()

    def address(self) -> None:
        """Give the tunnel's device its addresses, and bring it up."""
        own, own6 = self.target.removesuffix("1") + "2", self.target6.removesuffix("1") + "2"
        namespaces.ip(
            f"""link set {self.device} addrgenmode none
                addr add {own}/24 dev {self.device}
                addr add {own6}/64 dev {self.device} nodad
                link set {self.device} up""",
            "gw",
        )


class _Device:
    """Packets from and to a TUN device that comes and goes."""

    def __init__(self, name: str, line: Line) -> None:
        self.line = line
        self._name = name
        self._tun: Tun | None = Tun(name)

    def attach(self, attached: bool) -> None:
        """Delete the device, or make it again."""
        if self._tun and not attached:
            self._tun.close()
            self._tun = None
        elif attached and not self._tun:
            self._tun = Tun(self._name)

    def sources(self) -> list[Tun]:
        """What to `select` on."""
        return [self._tun] if self._tun else []

    def read(self) -> None:
        """Take in one packet. Raises `OSError` if there is none."""
        if self._tun:
            self.line.arrive(self._tun.read(), time.monotonic(), self._send)

    def _send(self, packet: bytes) -> None:
        if self._tun:
            with contextlib.suppress(OSError):
                self._tun.write(packet)


class _Outer:
    """Packets out of and into the datagrams of a tunnel whose other half is on the gateway."""

    def __init__(self, address: str, line: Line) -> None:
        self.line = line
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((address, OUTER_PORT))

    def attach(self, attached: bool) -> None:
        """Not possible."""
        raise ValueError(f"the device is not made here (attached: {attached})")

    def sources(self) -> list[socket.socket]:
        """What to `select` on."""
        return [self._socket]

    def read(self) -> None:
        """Take in one packet. Raises `OSError` if there is none."""
        packet, peer = self._socket.recvfrom(_PACKET)
        self.line.arrive(packet, time.monotonic(), partial(self._send, peer))

    def _send(self, peer: Any, packet: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(packet, peer)


def _main() -> None:
    given = setup()
    targets = {name: frozenset(map(bytes.fromhex, pop["targets"])) for name, pop in given["pops"].items()}
    everyone = frozenset[bytes]().union(*targets.values())
    ports: dict[str, _Device | _Outer] = {}
    for number, (name, pop) in enumerate(given["pops"].items(), 1):
        line = Line(pop.get("number", number), targets[name], everyone - targets[name], given["seed"] + number)
        line.change(pop["conditions"], 0.0)
        ports[name] = _Outer(pop["outer"], line) if "outer" in pop else _Device(pop["device"], line)

    def answer(question: dict[str, Any]) -> Any:
        port = ports[question["pop"]]
        if "change" in question:
            port.line.change(question["change"], question["at"])
        elif "attached" in question:
            port.attach(question["attached"])
        elif "family" in question:
            return port.line.sequences(question["family"], question["since"], question["until"])
        else:
            return port.line.seen(question["since"], question["until"])
        return None

    inbox = Inbox(answer)
    while True:
        now = time.monotonic()
        for port in ports.values():
            port.line.run(now)
        wait = max(0.0, min(port.line.next_at() for port in ports.values()) - time.monotonic())
        sources: dict[Any, _Device | _Outer] = {source: port for port in ports.values() for source in port.sources()}
        readable, _, _ = select.select([inbox, *sources], [], [], None if wait == math.inf else wait)
        for source in readable:
            if source is inbox:
                inbox.handle()
                continue
            with contextlib.suppress(OSError):
                for _ in range(_BATCH):
                    sources[source].read()


if __name__ == "__main__":
    serve(_main)
