"""An administrator at work: a TCP connection from outside to the gateway itself, which steering must not touch."""

import contextlib
import select
import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from steerd.lab.worker import Inbox, Worker, serve, setup

PORT = 2222
_EVERY = 0.05  # seconds
_GIVEN_UP = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Session:
    """``alive``: connected, and answered within a second. ``longest_gap``: seconds between answers, or since."""

    alive: bool
    answers: int
    longest_gap: float


class Admin:
    """Connects from ``source`` in ``namespace`` to a server that it starts on ``gateway``, and types ever after."""

    def __init__(self, namespace: str, source: str, gateway: str, address: str) -> None:
        self._server = Worker(gateway, __name__, {})
        self._client = Worker(namespace, __name__, {"source": source, "address": address})

    def session(self) -> Session:
        """How the connection is now. Raises `LabError`."""
        return Session(**self._client.ask())

    def close(self) -> None:
        """End both processes."""
        self._client.close()
        self._server.close()


def _serve() -> None:
    listener = socket.create_server(("", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    inbox = Inbox(lambda _: None)
    connections: list[socket.socket] = []
    while True:
        sources: list[Any] = [inbox, listener, *connections]
        for source in select.select(sources, [], [])[0]:
            if source is inbox:
                inbox.handle()
            elif source is listener:
                connections.append(listener.accept()[0])
            else:
                try:
                    source.send(source.recv(64))
                except OSError:
                    connections.remove(source)


def _type(source: str, address: str) -> None:
    connection = socket.create_connection((address, PORT), timeout=_GIVEN_UP, source_address=(source, 0))
    answers = 0
    longest = 0.0
    last = time.monotonic()
    connected = True

    def answer(_: dict[str, Any]) -> Any:
        silent = time.monotonic() - last
        return {"alive": connected and silent < 1, "answers": answers, "longest_gap": max(longest, silent)}

    inbox = Inbox(answer)
    connection.setblocking(False)
    due = last
    while True:
        if connected and time.monotonic() >= due:
            due = time.monotonic() + _EVERY
            with contextlib.suppress(BlockingIOError):
                connection.send(b".")
        sources: list[Any] = [inbox, connection] if connected else [inbox]
        readable = select.select(sources, [], [], _EVERY)[0]
        if inbox in readable:
            inbox.handle()
        if connection in readable:
            try:
                connected = bool(connection.recv(64))
            except OSError:
                connected = False
            now = time.monotonic()
            longest = max(longest, now - last)
            last = now
            answers += connected


if __name__ == "__main__":
    given = setup()
    serve(partial(_type, **given) if given else _serve)
