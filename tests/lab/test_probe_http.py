"""Probing by HTTP on real connections: the expected answer counts, a captive portal's does not, and is named."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from steerd.config.probe_settings import HttpCheck
from steerd.core.effects import Cadence
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.probe.prober import Prober
from tests.lab import ticks
from tests.lab.probing import path, probe

pytestmark = pytest.mark.lab

GOOD = b"HTTP/1.1 204 No Content\r\n\r\n"
PORTAL = b"HTTP/1.1 302 Found\r\nLocation: http://10.9.0.2/login\r\n\r\n"
CHECK = HttpCheck("connectivity.example", "/generate_204")


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


class Server:
    """Answers each request with ``answer(connection)``; ``heard`` is what was asked."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.answer = answer
        self.heard: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _serve(self) -> None:
        namespaces.enter("far")
        with socket.create_server(("", 8080), backlog=200) as listening:
            listening.settimeout(0.02)
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listening.accept()
                    threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.heard.append(connection.recv(4096))
            self.answer(connection)


def saying(*parts: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.002)

    return answer


def dripping(connection: socket.socket) -> None:
    for byte in GOOD * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


ANSWERS = {
    "good": saying(GOOD),
    "in pieces": saying(GOOD[:5], GOOD[5:9], GOOD[9:]),
    "portal": saying(PORTAL),
    "no http": saying(b"220 mail.example ESMTP\r\n"),
    "nothing": lambda _: None,
    "drips": dripping,
    "floods": lambda connection: [connection.sendall(b"x" * 65_536) for _ in range(200)],
}


@contextlib.contextmanager
def wired() -> Iterator[None]:
    ticks.wire()
    yield


def answers() -> Any:
    found = {}
    with wired():
        for name, answer in ANSWERS.items():
            with Server(answer) as server:
                one = path(1, ["10.9.0.2"], method="http", port=8080, check=CHECK, interval=0.05, timeout=0.3)
                seen = probe([one], 1.2)
                found[name] = [sorted(seen["counts"]), *seen["findings"].values(), seen["median"], seen["lag"]]
                found.setdefault("asked", server.heard[0].decode())
        refused = probe([path(1, ["10.9.0.2"], method="http", port=8080, check=CHECK, interval=0.05, timeout=0.3)], 1.0)
        found["refused"] = [sorted(refused["counts"]), *refused["findings"].values()]
    return found


def test_only_the_expected_answer_is_one_and_the_others_are_named() -> None:
    found = scene("answers")
    assert found["asked"].startswith("GET /generate_204 HTTP/1.1\r\nHost: connectivity.example\r\n")
    for name in ("good", "in pieces"):
        outcomes, findings, median, _ = found[name]
        assert "reply" in outcomes, name
        assert not findings
        assert 0.0 < median < 0.1
    for name, said in (
        ("portal", "10.9.0.2 answered 302 (to http://10.9.0.2/login), not 204: a captive portal"),
        ("no http", "10.9.0.2 answered what is no HTTP"),
        ("nothing", "10.9.0.2 closed the connection without an answer"),
        ("floods", "10.9.0.2 answered what is no HTTP"),
        ("refused", "10.9.0.2 refuses the connection"),
    ):
        outcomes, findings = found[name][:2]
        assert "reply" not in outcomes, name
        assert "lost" in outcomes, name
        assert findings["captive"].startswith(said)
    outcomes, findings = found["drips"][:2]
    assert "reply" not in outcomes
    assert "lost" in outcomes


def logged_in() -> Any:
    with wired(), Server(saying(PORTAL)) as server:

        async def login(_: Any) -> None:
            import asyncio

            await asyncio.sleep(1.0)
            server.answer = saying(GOOD)

        one = path(1, ["10.9.0.2"], method="http", port=8080, check=CHECK, interval=0.05, timeout=0.3)
        seen = probe([one], 2.5, login)
        return {"told": [outcome for _, outcome, _ in seen["told"]], "findings": seen["findings"]}


def test_after_the_login_it_is_as_any_path() -> None:
    found = scene("logged_in")
    assert found["told"][-1] == "reply"
    assert list(found["findings"].values()) == [{}]


def thinking(connection: socket.socket) -> None:
    time.sleep(0.15)
    connection.sendall(GOOD)


def patient() -> Any:
    with wired(), Server(thinking):
        one = path(1, ["10.9.0.2"], method="http", port=8080, check=CHECK, interval=0.2, timeout=1.0)

        async def as_the_engine_asks(prober: Prober) -> None:
            prober.cadence(Cadence(one.path, every=0.2, patience=0.022))  # by the handshakes, of a millisecond

        return probe([one], 4.0, as_the_engine_asks)["counts"]


def test_a_server_that_takes_its_time_does_not_make_every_probe_overdue() -> None:
    counts = scene("patient")
    assert counts["reply"] > 5
    assert counts.get("overdue", 0) <= counts["reply"] / 3  # this machine stalls at times
