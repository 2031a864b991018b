"""Probing by DNS with real packets: what a resolver answers counts; that it cannot, and what others forge, does not."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.probe.methods.dns import question
from tests.lab import ticks
from tests.lab.probing import path, probe

pytestmark = pytest.mark.lab

PORT = 5353
NAME = "www.example.net"
Answer = Callable[[socket.socket, bytes, Any], None]


def answering(flags: int, *, forged: int = 0, name: str = NAME) -> Answer:
    """With these flags; before that comes so many answers with numbers next to the right one."""

    def answer(sock: socket.socket, asked: bytes, to: Any) -> None:
        number = int.from_bytes(asked[:2])
        for wrong in range(1, forged + 1):
            sock.sendto(struct.pack("!6H", number ^ wrong, 0x8180, 1, 0, 0, 0) + question(name), to)
        sock.sendto(struct.pack("!6H", number, flags, 1, 0, 0, 0) + question(name), to)

    return answer


def elsewhere(_: socket.socket, asked: bytes, to: Any) -> None:
    """From another port than was asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        answering(0x8180)(other, asked, to)


ANSWERS: dict[str, Answer] = {
    "good": answering(0x8180),
    "forged before": answering(0x8180, forged=20),
    "cannot": answering(0x8182),
    "will not": answering(0x8185),
    "no such name": answering(0x8183),
    "another question": answering(0x8180, name="www.example.org"),
    "echoes": lambda sock, asked, to: sock.sendto(asked, to),
    "elsewhere": elsewhere,
    "nothing": lambda *_: None,
}


@contextlib.contextmanager
def resolver(answer: Answer, heard: list[bytes]) -> Iterator[None]:
    """One in ``far``."""
    stop, ready = threading.Event(), threading.Event()

    def serve() -> None:
        namespaces.enter("far")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("", PORT))
            sock.settimeout(0.02)
            ready.set()
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    asked, to = sock.recvfrom(512)
                    heard.append(asked)
                    answer(sock, asked, to)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def answers() -> Any:
    ticks.wire()
    one = path(1, ["10.9.0.2"], method="dns", port=PORT, query=NAME, interval=0.05, timeout=0.3)
    found: dict[str, Any] = {}
    for name, answer in ANSWERS.items():
        heard: list[bytes] = []
        with resolver(answer, heard):
            seen = probe([one], 1.2)
        found[name] = [sorted(seen["counts"]), *seen["findings"].values(), seen["median"]]
        found.setdefault("asked", [asked[2:].hex() for asked in heard[:1]] + [len({asked[:2] for asked in heard})])
    nobody = probe([one], 1.0)
    found["nobody there"] = [sorted(nobody["counts"]), *nobody["findings"].values()]
    return found


def test_an_answer_without_an_error_counts_and_nothing_else_does() -> None:
    found = run(f"{__name__}:answers")
    packet, numbers = found["asked"]
    assert packet == "01000001000000000000" + question(NAME).hex()
    assert numbers > 3
    for name in ("good", "forged before"):
        outcomes, findings, median = found[name]
        assert "reply" in outcomes, name
        assert not findings
        assert 0.0 < median < 0.1
    for name, said in (("cannot", "SERVFAIL"), ("will not", "REFUSED"), ("no such name", "NXDOMAIN")):
        outcomes, findings = found[name][:2]
        assert "reply" not in outcomes, name
        assert "lost" in outcomes, name
        assert findings["refused"].startswith(f"10.9.0.2 answered {said} to a query for {NAME}: ")
        assert "captive" not in findings
    for name in ("another question", "echoes", "elsewhere", "nothing"):
        outcomes = found[name][0]
        assert "reply" not in outcomes, name
        assert "lost" in outcomes, name
    assert "error" in found["nobody there"][0]
    assert "reply" not in found["nobody there"][0]
