"""What the tests of sharing have in common: a real mosquitto, a gateway's `Share`, and somebody who looks on."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt

from steerd.config.settings import MqttSettings
from steerd.core.events import Hints, PopState
from steerd.core.views import View
from steerd.share.gateway import Share
from steerd.share.orders import Orders
from tests.lab.waiting import BOUND

Refuse = Callable[[str, str, str], None]

GIVEN = Path(__file__).parents[2] / "config/mosquitto"
SEARCHED = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
MOSQUITTO = shutil.which("mosquitto", path=SEARCHED)
ROOT = "steer/v1/acme"
STATE, SCORE, EVENT = (f"{ROOT}/gw/eu/gw1/{kind}" for kind in ("state", "score", "event"))
VIEW = View(now=1.0, epoch=7, paths=(), policies=(), drains=(), declined={})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """A mosquitto on a high loopback port; `start` again after a `kill` keeps the port."""

    def __init__(self, folder: Path, config: str = "allow_anonymous true", port: int = 0) -> None:
        self.port = port or free_port()
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"listener {self.port} 127.0.0.1\npersistence false\n{config}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        user = [] if os.getuid() else ["user root"]
        if user and user[0] not in self._file.read_text():
            self._file.write_text(self._file.read_text() + "user root\n")
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self._process.poll() is None, "mosquitto ended"
            time.sleep(0.02)
        raise TimeoutError("mosquitto does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def freeze(self, *, frozen: bool) -> None:
        self.signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def signal(self, which: int) -> None:
        assert self._process is not None
        self._process.send_signal(which)


class Gateway:
    """A `Share` and all that it called back."""

    def __init__(
        self,
        port: int,
        *,
        backoff: tuple[float, float] = (0.05, 0.2),
        orders: Callable[[Refuse], Orders | None] = lambda _: None,
        draw: Callable[[], float] = lambda: 0.5,
        **settings: Any,
    ) -> None:
        self.view = VIEW
        self.states: list[PopState] = []
        self.hints: list[Hints] = []
        self.obeyed = 0
        self.refused: list[tuple[str, str]] = []
        self.connected: list[bool] = []
        self.messages: list[str] = []
        values = {
            "host": "127.0.0.1", "port": port, "tls": False, "tenant": "acme", "gateway": "gw1", "region": "eu",
            "username": None, "password_file": None, "ca": None, "cert": None, "key": None, "publish_interval": 0.4,
        }  # fmt: skip
        self.share = Share(
            MqttSettings(**{**values, **settings}),
            epoch=7,
            pops={"fra1", "ams1"},
            snapshot=lambda: self.view,
            on_pop_state=self.states.append,
            on_hints=self.hints.append,
            refuse=self._refuse,
            orders=orders(self._refuse),
            on_orders=self._obey,
            on_connected=self.connected.append,
            on_message=self.messages.append,
            draw=draw,
            backoff=backoff,
        )

    def _refuse(self, source: str, reason: str, _: str) -> None:
        self.refused.append((source, reason))

    def _obey(self) -> None:
        self.obeyed += 1


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[Gateway]:
    task = asyncio.create_task(gateway.share.run())
    try:
        yield gateway
    finally:
        await gateway.share.stop("test ended")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def observer(port: int, **more: Any) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, **more)


def body(message: aiomqtt.Message) -> dict[str, Any]:
    data = message.payload
    kind = getattr(message.properties, "ContentType", None)
    decoded: dict[str, Any] = json.loads(zlib.decompress(data) if kind == "application/json+zlib" else data)
    return decoded


async def heard(
    port: int, topic: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True, *, kept: bool = False
) -> aiomqtt.Message:
    """The first message on `topic` that is wanted. `kept`: one that the broker retains, not one that comes live."""
    async with asyncio.timeout(BOUND), observer(port) as client:
        await client.subscribe(topic, qos=1)
        async for message in client.messages:
            if message.payload and wanted(body(message)) and (message.retain or not kept):
                return message
    raise AssertionError


async def say(port: int, topic: str, payload: bytes | dict[str, Any], *, retain: bool = True, **more: Any) -> None:
    async with observer(port, **more) as client:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await client.publish(topic, data, qos=1, retain=retain)


def certificates(folder: Path, *arguments: str, **environment: str) -> None:
    subprocess.run(
        [GIVEN / "make-certificates", folder, *arguments],
        check=True, capture_output=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
    )  # fmt: skip


def make_authority(folder: Path) -> Path:
    """An authority in `folder`, with a certificate for everybody in these tests."""
    certificates(folder, "ca")
    certificates(folder, "broker", "localhost", "127.0.0.1")
    certificates(folder, "client", "gw1", "gw2", "gw3", "fra1", "ams1", "operator", "monitor", "fleet")
    for file in folder.iterdir():  # the broker may run as somebody else
        file.chmod(0o755 if file.is_dir() else 0o644)
    folder.chmod(0o755)
    return folder


class GivenBroker(Broker):
    """Just the given files, but for where they lie and listen."""

    def __init__(self, folder: Path, authority: Path) -> None:
        super().__init__(folder, port=free_port())
        shutil.copy(GIVEN / "acl", folder / "acl")
        for name in ("ca.pem", "broker.pem", "broker.key"):
            shutil.copy(authority / name, folder / name)
        (folder / "kept").mkdir()
        text = (GIVEN / "mosquitto.conf").read_text()
        for old, new in (
            ("/etc/mosquitto/steerd", str(folder)),
            ("/var/lib/mosquitto/", f"{folder}/kept/"),
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
        ):
            assert old in text
            text = text.replace(old, new)
        self._file.write_text(text)


def member(broker: Broker, authority: Path, name: str = "gw1", **more: Any) -> Gateway:
    files = {"ca": authority / "ca.pem", "cert": authority / f"{name}.pem", "key": authority / f"{name}.key"}
    return Gateway(broker.port, tls=True, gateway=name, **{**files, **more})


def client(broker: Broker, authority: Path, name: str, **more: Any) -> aiomqtt.Client:
    """Anybody with a certificate, who does as they please."""
    context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    context.load_cert_chain(authority / f"{name}.pem", authority / f"{name}.key")
    return aiomqtt.Client("127.0.0.1", broker.port, tls_context=context, protocol=aiomqtt.ProtocolVersion.V5, **more)


class Watcher:
    """Who may read all: what is retained, and what came."""

    def __init__(self) -> None:
        self.latest: dict[str, dict[str, Any]] = {}
        self.count: dict[str, int] = {}


@asynccontextmanager
async def watching(broker: Broker, authority: Path):
    seen = Watcher()

    async def look(one: aiomqtt.Client) -> None:
        async for message in one.messages:
            topic = str(message.topic)
            seen.count[topic] = seen.count.get(topic, 0) + 1
            with suppress(ValueError, zlib.error):
                seen.latest[topic] = body(message) if message.payload else {}

    async with client(broker, authority, "monitor") as one:
        await one.subscribe(f"{ROOT}/#", qos=1)
        task = asyncio.create_task(look(one))
        try:
            yield seen
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
