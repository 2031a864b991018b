"""The PoPs' process: a TUN device each, or, behind real tunnels, a UDP socket each, and what is behind them.

One process serves them all: 600 packets a second are a twentieth of what it can do, so that its own queue adds nothing
to a delay, while a process each would wait for the processor behind the others.
"""

import contextlib
import math
import select
import socket
import time
from functools import partial
from typing import Any

from steerd.lab.worker import Inbox, serve, setup
from steerd.lab.world.line import Line
from steerd.lab.world.packets import OUTER_PORT
from steerd.lab.world.tun import Tun

_BATCH = 64
_PACKET = 65_535


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
