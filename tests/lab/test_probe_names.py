"""Names as targets, against a name server of our own: the C library's resolver, in an enclosure of its own."""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import RUN, run
from steerd.probe.names import resolution
from steerd.probe.names import resolver as names
from steerd.probe.names.resolver import Names
from tests.lab.waiting import Awake, until_async

pytestmark = pytest.mark.lab

_A, _AAAA = 1, 28
_NO_SUCH_NAME = 3


def scene(name: str) -> Any:
    return run(f"{__name__}:{name}")


class NameServer:
    """Answers for ``zone``, by name: addresses, or None for a question that is never answered."""

    def __init__(self) -> None:
        self.zone: dict[str, list[str] | None] = {}
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(1500)
            answer = self._answer(question)
            if answer:
                self._socket.sendto(answer, client)

    def _answer(self, question: bytes) -> bytes | None:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        (kind,) = struct.unpack_from("!H", question, at + 1)
        name = ".".join(labels)
        self.asked.append(name)
        known = self.zone.get(name, [])
        if known is None:
            return None
        family, wanted = (socket.AF_INET6, ":") if kind == _AAAA else (socket.AF_INET, ".")
        packed = [socket.inet_pton(family, one) for one in known if wanted in one and kind in (_A, _AAAA)]
        flags = 0x8180 | (0 if name in self.zone else _NO_SUCH_NAME)
        records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(raw)) + raw for raw in packed)
        return question[:2] + struct.pack("!HHHHH", flags, 1, len(packed), 0, 0) + question[12 : at + 5] + records


def resolver(options: str) -> None:
    """From here on names are asked of 127.0.0.1, and of nothing else. Before the first look-up of the process."""
    for file, text in (
        ("/etc/resolv.conf", f"nameserver 127.0.0.1\noptions {options}\n"),
        ("/etc/nsswitch.conf", "hosts: dns\n"),
    ):
        own, there = RUN / Path(file).name, Path(os.path.realpath(file))
        own.write_text(text)
        if str(there).startswith("/run/"):  # empty here, whatever the file is a link to
            there.parent.mkdir(parents=True, exist_ok=True)
            there.touch()
        if there.exists():
            subprocess.run(["mount", "--bind", str(own), str(there)], check=True)


class Watcher:
    """`Names`, and all that it told."""

    def __init__(self, known: dict[tuple[str, int], str] | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.names = Names(lambda *address: self.told.append(address), lambda *note: self.told.append(note), known)

    async def until(self, sure: Callable[[], object]) -> None:
        await until_async(sure, told=lambda: str(self.told))

    def address(self, name: str, family: int = 4) -> str | None:
        return self.names.known().get((name, family))


def watching(
    during: Callable[[Watcher], Awaitable[None]], known: dict[tuple[str, int], str] | None = None
) -> list[tuple[Any, ...]]:
    async def main() -> list[tuple[Any, ...]]:
        watcher = Watcher(known)
        watcher.names.start(asyncio.get_running_loop())
        try:
            await during(watcher)
        finally:
            watcher.names.stop()
        return watcher.told

    return asyncio.run(main())


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    again, retry = resolution.AGAIN, resolution.RETRY
    resolution.AGAIN, resolution.RETRY = 0.3, 0.1
    try:
        yield
    finally:
        resolution.AGAIN, resolution.RETRY = again, retry


def life() -> Any:
    resolver("timeout:1 attempts:1")

    async def during(watcher: Watcher) -> None:
        watcher.names.watch({("fra1.example", 4)})
        assert watcher.told == []  # nothing from within
        await watcher.until(lambda: watcher.told)  # nothing listens: refused at once
        server = NameServer()
        server.zone = {"fra1.example": ["10.0.0.1"]}
        await watcher.until(lambda: watcher.address("fra1.example") == "10.0.0.1")
        server.zone = {"fra1.example": ["10.0.0.2", "10.0.0.1", "fd00::2"]}
        asked = len(server.asked)
        await watcher.until(lambda: len(server.asked) > asked + 1)
        assert watcher.address("fra1.example") == "10.0.0.1"
        server.zone = {"fra1.example": ["10.0.0.3", "10.0.0.2"]}
        await watcher.until(lambda: watcher.address("fra1.example") in ("10.0.0.3", "10.0.0.2"))
        server.zone = {}
        await watcher.until(lambda: "no such name" in str(watcher.told[-1]))
        server.zone = {"fra1.example": ["0.0.0.0"]}
        await watcher.until(lambda: "0.0.0.0 is no" in str(watcher.told[-1]))
        server.zone = {"fra1.example": ["10.0.0.4"]}
        # Two families of one name, and a name of one family only.
        server.zone["both.example"] = ["10.0.1.1", "fd00::1"]
        keys = {("fra1.example", 4), ("fra1.example", 6), ("both.example", 4), ("both.example", 6)}
        watcher.names.watch(keys)
        await watcher.until(lambda: len(watcher.names.known()) == 3)
        await watcher.until(lambda: ("fra1.example", 6, "not resolved: no IPv6 address; not probed before it is", True)
                            in watcher.told)  # fmt: skip
        await watcher.until(lambda: watcher.address("fra1.example") == "10.0.0.4")
        watcher.names.watch({("both.example", 6)})
        assert watcher.names.known() == {("both.example", 6): "fd00::1"}
        await asyncio.sleep(0.05)
        del server.asked[:]
        await asyncio.sleep(0.7)
        assert set(server.asked) == {"both.example"}
        assert 2 <= len(server.asked) <= 3

    with quickly():
        return watching(during)


def test_a_name_is_followed_through_its_life() -> None:
    told = scene("life")
    assert told[0] == [
        "fra1.example", 4, "not resolved: no name server could tell; not probed before it is", True,
    ]  # fmt: skip
    assert told[1] == ["fra1.example", 4, "resolved: 10.0.0.1", False]
    assert told[2] == ["fra1.example", 4, "10.0.0.1"]
    changed, address, gone, refused = told[3:7]
    assert changed[2].startswith(f"resolved: {address[2]} (the first of 2 addresses), instead of 10.0.0.1")
    assert address[2] in ("10.0.0.2", "10.0.0.3")  # as the C library sorts them
    assert gone[2:] == [f"not resolved: there is no such name; {address[2]} stays in use", True]
    assert refused[2:] == [
        f"not resolved: 0.0.0.0 is no address that can be probed; {address[2]} stays in use",
        True,
    ]
    assert ["both.example", 6, "fd00::1"] in told
    assert ["both.example", 4, "10.0.1.1"] in told


def remembered() -> Any:
    resolver("timeout:1 attempts:1")

    async def during(watcher: Watcher) -> None:
        watcher.names.watch({("fra1.example", 4), ("ams1.example", 4)})
        await watcher.until(lambda: len(watcher.told) == 6)
        server = NameServer()
        server.zone = {"fra1.example": ["10.0.0.1"], "ams1.example": ["10.0.0.2"]}
        await watcher.until(lambda: len(watcher.told) == 9)

    with quickly():
        return watching(
            during, {("fra1.example", 4): "10.0.0.1", ("ams1.example", 4): "10.0.0.9", ("old", 4): "10.1.1.1"}
        )


def test_addresses_of_an_earlier_run_serve_until_there_is_an_answer() -> None:
    told = scene("remembered")
    fra1, ams1 = ([each[2] for each in told if each[0] == name] for name in ("fra1.example", "ams1.example"))
    assert fra1 == [
        "10.0.0.1, which an earlier run found, is used until the name is resolved",
        "10.0.0.1",
        "not resolved: no name server could tell; 10.0.0.1 stays in use",
        "resolved: 10.0.0.1",
    ]
    assert ams1[3:] == ["resolved: 10.0.0.2, instead of 10.0.0.9, which is not among its addresses", "10.0.0.2"]
    assert len(told) == 9


def hanging() -> Any:
    resolver("timeout:1 attempts:2")
    server = NameServer()
    hung = [f"hang{number}.example" for number in range(3)]
    server.zone = {"good.example": ["10.0.0.1"], **dict.fromkeys(hung)}
    found: dict[str, Any] = {}

    async def during(watcher: Watcher) -> None:
        watcher.names.watch({(name, 4) for name in [*hung, "good.example"]})
        await watcher.until(lambda: watcher.address("good.example"))
        found["first"] = len(watcher.told)  # those that hang are told of after their time-out of a second
        await asyncio.sleep(0.5)
        found["at most"] = max(server.asked.count(name) for name in hung)  # before the C library asks a second time
        found["threads"] = threading.active_count()
        # Six that hung before, again and again: two threads are left to others.
        server.zone.update(dict.fromkeys(more := [f"hang{number}.example" for number in range(3, 6)]))
        watcher.names.watch({(name, 4) for name in [*hung, *more, "good.example"]})
        await watcher.until(lambda: sum(1 for each in watcher.told if each[-1] is True) == 6)
        del server.asked[:]
        await watcher.until(lambda: server.asked.count("good.example") >= 4)  # every 0.3 s or so
        found["hanging"] = len(server.asked) - server.asked.count("good.example")

    with quickly():
        found["told"] = watching(during)
    return found


def test_a_name_that_hangs_holds_up_no_other() -> None:
    found = scene("hanging")
    assert found["first"] == 2  # that it is resolved, and its address
    assert found["at most"] == 1
    assert found["threads"] <= 2 + 4  # with this one and the name server's
    assert found["hanging"] <= 6
    assert ["good.example", 4, "10.0.0.1"] in found["told"]


def stopping() -> Any:
    resolver("timeout:30 attempts:5")
    server = NameServer()
    server.zone = {f"hang{number}.example": None for number in range(9)}
    found: dict[str, Any] = {}
    awake = Awake()

    async def during(watcher: Watcher) -> None:
        resolution.SILENCE = names.SILENCE = 0.5
        watcher.names.watch({(name, 4) for name in server.zone})
        await watcher.until(lambda: len(watcher.told) == 4)
        found["asked"] = len(server.asked)
        found["began"] = awake.seconds()
        watcher.names.stop()
        found["stopped"] = awake.seconds() - found["began"]

    found["told"] = watching(during)
    found["closed"] = awake.seconds() - found["began"]
    return found


def test_stopping_waits_for_no_resolver() -> None:
    found = scene("stopping")
    assert found["asked"] == 4
    assert [each[2] for each in found["told"]] == ["not resolved: no answer yet; not probed before it is"] * 4
    assert found["stopped"] < 0.2
    assert found["closed"] < 1.0  # and the process ends, where the resolver's patience is 150 s
