"""The network beyond the gateway's uplink, which must never see a user's packet: it listens, and answers nothing."""

import contextlib
import math
import select
import socket
import time
from typing import Any

from steerd.lab.worker import Inbox, Worker, serve, setup
from steerd.lab.world.line import Log
from steerd.lab.world.packets import Kind, read

_ALL_PROTOCOLS = 3
_PACKET = 65_535


class Outside(Worker):
    """Counts what left the gateway by ``device``'s other end."""

    def __init__(self, namespace: str, device: str) -> None:
        super().__init__(namespace, __name__, {"device": device})

    def leaked(self, since: float = -math.inf, until: float = math.inf) -> int:
        """How many users' packets went out by the uplink itself (seen from ``since`` on, before ``until``)."""
        return int(self.ask(kind=Kind.TRAFFIC.value, since=since, until=until))

    def outer(self, since: float = -math.inf, until: float = math.inf) -> int:
        """How many tunnel packets went out by the uplink, as they should."""
        return int(self.ask(kind=Kind.OUTER.value, since=since, until=until))


def _main() -> None:
    logs = {kind: Log() for kind in Kind}

    def answer(question: dict[str, Any]) -> Any:
        return len(logs[Kind(question["kind"])].between(question["since"], question["until"]))

    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
    wire.bind((setup()["device"], _ALL_PROTOCOLS))
    wire.setblocking(False)
    inbox = Inbox(answer)
    while True:
        sources: list[Any] = [inbox, wire]
        if inbox in select.select(sources, [], [])[0]:
            inbox.handle()
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, _, direction, *_) = wire.recvfrom(_PACKET)
                seen = read(packet)
                if seen and direction != socket.PACKET_OUTGOING:
                    logs[seen.kind].add(time.monotonic(), seen.sequence)


if __name__ == "__main__":
    serve(_main)
