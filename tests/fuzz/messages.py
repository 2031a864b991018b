"""What brokers, PoPs, operators and clients say."""

import asyncio
import json
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from steerd.config.settings import ExportSettings
from steerd.control import requests
from steerd.control.server import ControlServer
from steerd.control.server import RefusedError as Refusal
from steerd.core.views import View
from steerd.fleet.drains import Drains
from steerd.fleet.heard import Heard
from steerd.fleet.inventory import Inventory
from steerd.fleet.rollup import rolled_up
from steerd.fleet.view import Search, page, rows, view
from steerd.share.messages import JSON, ZLIB, PopReport, RefusedError, decode
from steerd.share.mqtt.framing import BrokenError, Framing
from steerd.share.orders import Orders
from steerd.share.reports import Reports
from steerd.share.signing import WantedState, public_text, sign, signers
from steerd.share.topics import FleetTopics, Topics
from steerd.status.snapshot import Snapshot
from steerd.web.http import Server
from steerd.web.metrics import Metrics
from steerd.web.pages import Pages
from tests.fuzz.target import Target

_WALL = 1_800_000_000.0
_TOPICS = Topics("acme", "eu", "gw1")
_ROOT = "steer/v1/acme"
_KEY = SigningKey(bytes(range(32)))
_REPORT = (
    b'{"v":1,"pop":"fra1","epoch":5,"seq":9,"accepting":false,"load_ppm":500000,"capacity":7,'
    b'"links":[{"to":"ams1","rtt_us":1,"loss_ppm":0}]}'
)
_SCORE = (
    b'\1{"v":1,"gw":"gw1","epoch":7,"seq":2,"ts_ms":1,"policies":{"p":"fra1/w"},"paths":[{"pop":"fra1","path":"fra1/w",'
    b'"state":"up","rtt_us":1,"jitter_us":1,"loss_ppm":0,"n":1,"age_ms":1}]}'
)
_PUBLISH = b"\x32\x16\x00\x05a/b/c\x00\x07\x03\x01\x02\x03hello you"


def _framed(data: bytes) -> None:
    framing = Framing()
    for packet in framing.packets(data[: len(data) // 2]):
        assert packet.data
    list(framing.packets(data[len(data) // 2 :]))


def _message(data: bytes) -> None:
    decode(PopReport, data[1:], (JSON, ZLIB, None, "text/plain")[data[0] % 4] if data else None)


def _orders() -> Iterator[bytes]:
    at = int(_WALL * 1000)
    fields: dict[str, Any] = {"tenant": "acme", "counter": at, "nbf_ms": at, "exp_ms": at + 3_600_000}
    wanted: tuple[dict[str, Any], ...] = ({"pop": "fra1", "drained": True}, {"policy": "default", "pin": "ams1"})
    for number, what in enumerate(wanted):
        for to in ("all", "region/eu", "gw/gw1"):
            yield bytes([number]) + sign(_KEY, WantedState(**fields, to=to, **what))


def _order(data: bytes) -> None:
    orders = Orders(
        _TOPICS, signers({public_text(_KEY.verify_key): "alice"}), pops=("fra1", "ams1"), policies=("default",),
        refuse=lambda *_: None, wall=lambda: _WALL, clock=lambda: 0.0,
    )  # fmt: skip
    topics = ("all/pop/fra1", "all/policy/default", "region/eu/pop/fra1", "gw/gw1/policy/default")
    orders.take(f"{_ROOT}/ctl/{topics[data[0] % 4] if data else ''}", data[1:], JSON)
    orders.look()
    Orders(
        _TOPICS, {}, pops=(), policies=(), refuse=lambda *_: None, wall=lambda: _WALL,
        kept={"a": data[1:].decode(errors="replace"), **orders.keep()},
    )  # fmt: skip


def _report(data: bytes) -> None:
    said: list[object] = []
    reports = Reports(_TOPICS, {"fra1", "ams1"}, said.append, lambda *_: None, wall=lambda: _WALL)
    for payload in data.split(b"\n---\n"):
        reports.take(f"{_ROOT}/pop/fra1/state", payload, JSON, retained=True)
        reports.look()


def _fleet(data: bytes) -> None:
    topics = ("gw/eu/gw1/state", "gw/eu/gw1/score", "gw/eu/gw1/event", "pop/fra1/state", "ctl/all/pop/fra1")
    heard = Heard(lambda: Inventory(frozenset({("eu", "gw1")})), lambda *_: None, lambda: 1.0, lambda: _WALL)
    drains = Drains(signers({public_text(_KEY.verify_key): "alice"}), lambda: _WALL)
    for payload in data.split(b"\n---\n"):
        topic = topics[payload[0] % len(topics)] if payload else topics[0]
        said = FleetTopics("acme", "middle", ()).said(f"{_ROOT}/{topic}")
        assert said is not None
        if said.kind == "ctl":
            with suppress(RefusedError):
                drains.take(said, payload[1:])
        else:
            heard.take(said, topic, payload[1:], JSON, retained=False)
    json.dumps(page(view(heard, drains, 2.0, 30.0)))
    json.dumps(rows(heard, Search(), 2.0, 30.0))
    rolled_up(heard.gateways.values(), 2.0, 30.0)


class _Served:
    """A server of ours in a loop of this thread's: `said` gives what one client got."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory()
        self._address: str | tuple[str, int] = ""

    def control(self, data: bytes) -> None:
        if not self._address:
            self._address = f"{self._folder.name}/s"
            self._loop.run_until_complete(ControlServer(Path(self._address), _handled).start())
        for line in self._loop.run_until_complete(self._said(data + b"\n")).splitlines():
            assert "internal error" not in str(json.loads(line)), line

    def http(self, data: bytes) -> None:
        if not self._address:
            view = View(0.0, 1, (), (), (), {})
            pages = Pages(Metrics(), lambda: Snapshot(view), lambda: True, lambda: (True, "ok"))
            server = Server(ExportSettings("127.0.0.1", 0), pages.answer, lambda _: None)
            self._loop.run_until_complete(server.start())
            self._address = ("127.0.0.1", server.port)
        said = self._loop.run_until_complete(self._said(data + b"\r\n\r\n"))
        assert not said or said.startswith(b"HTTP/1.1 ")
        assert not said.startswith(b"HTTP/1.1 500"), said

    async def _said(self, data: bytes) -> bytes:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        with socket.socket(family) as client:
            client.setblocking(False)
            await self._loop.sock_connect(client, self._address)
            try:
                await self._loop.sock_sendall(client, data)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has had enough, and may have said why
            found = b""
            try:
                while part := await self._loop.sock_recv(client, 1 << 16):
                    found += part
            except ConnectionResetError:
                pass
            return found


async def _handled(request: dict[str, Any]) -> dict[str, Any]:
    """As the daemon's answers read requests, which tells what they are about and does nothing."""
    known = {"fra1": ("fra1/wg0",)}
    match request["verb"]:
        case "history":
            return {"since": requests.since(request)}
        case "reload":
            return {"confirm": requests.confirm_within(request)}
        case "trace":
            return {"trace": requests.traced(request, known)[0]}
        case "drain" | "undrain" | "pin" | "unpin":
            return {"order": str(requests.order(request, 0.0, pops={"fra1", "ams1"}, policies={"users"}))}
    raise Refusal(f"unknown verb {request['verb']!r}")


_CONNECTED = b"\x20\x03\x00\x00\x00"

TARGETS = (
    Target(
        "mqtt-framing",
        _framed,
        lambda: (_CONNECTED + _PUBLISH, _CONNECTED + b"\x90\x04\x00\x01\x00\x00"),
        (BrokenError,),
    ),
    Target("mqtt-message", _message, lambda: (b"\0" + _REPORT, b"\1" + zlib.compress(_REPORT)), (RefusedError,)),
    Target("signed-order", _order, _orders),
    Target("pop-state", _report, lambda: (_REPORT, _REPORT + b"\n---\n" + _REPORT.replace(b'"seq":9', b'"seq":10'))),
    Target(
        "fleet-message",
        _fleet,
        lambda: (
            b'\0{"v":1,"gw":"gw1","epoch":7,"online":true,"version":"1"}\n---\n' + _SCORE,
            b'\2{"v":1,"gw":"gw1","epoch":7,"seq":1,"ts_ms":1,"event_id":"a","policy":"p","from":null,"to":"fra1/w",'
            b'"reason":"better","gain_us":5}\n---\n\3' + _REPORT,
        ),
    ),
    Target(
        "control-request",
        _Served().control,
        lambda: (
            b'{"verb":"drain","pop":"fra1","for":60}',
            b'{"verb":"pin","policy":"users","pop":"ams1","hard":true}',
            b'{"verb":"history","since":"1h"}\n{"verb":"reload","confirm":60}',
            b'{"verb":"trace","pop":"fra1","path":"fra1/wg0"}',
        ),
    ),
    Target(
        "http-request",
        _Served().http,
        lambda: (
            b"GET /metrics HTTP/1.1\r\nHost: a",
            b"HEAD http://a/healthz?x HTTP/1.0",
            b"GET /readyz HTTP/1.1",
            b"POST / HTTP/1.1",
        ),
    ),
)
