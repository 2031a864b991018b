"""The real `steerd fleet` beside a real mosquitto with the access rules that are given, and real gateways' sessions."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from steerd.core.events import Hints
from steerd.core.states import PathState
from steerd.core.views import PathView, View
from tests.lab.sharing import MOSQUITTO, ROOT, Broker, Gateway, body, free_port, heard, running, say
from tests.lab.waiting import BOUND, until, until_async

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


class Service:
    """The process, and what it serves."""

    def __init__(self, folder: Path, port: int, inventory: str = "", more: str = "") -> None:
        self.port = free_port()
        self.config = folder / "fleet.toml"
        self.inventory = folder / "inventory"
        self.log = folder / "log"
        self.inventory.write_text(inventory or "eu/nobody\n")
        self.config.write_text(
            f'[fleet]\nname = "middle"\ninventory = "inventory"\nrollup_interval = "1s"\n{more}'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\ntenant = "acme"\n[export]\nlisten = "127.0.0.1:{self.port}"\n'
        )
        self.process: subprocess.Popen[bytes]

    @contextmanager
    def running(self) -> Iterator["Service"]:
        command = [sys.executable, "-m", "steerd.cli.steerd", "fleet", "-c", str(self.config)]
        with self.log.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as self.process:
            try:
                until(lambda: self.asked("/readyz", good=False) == b"hears the broker\n")
                yield self
            finally:
                self.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(30)
                self.process.kill()

    def asked(self, path: str, *, good: bool = True) -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                found: bytes = answer.read()
                return found
        except OSError:
            if good:
                raise
            return b""

    def figures(self) -> Any:
        return json.loads(self.asked("/fleet.json"))

    def pops(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.figures()["pops"]}

    def gateways(self, query: str = "") -> dict[str, Any]:
        return {one["name"]: one for one in json.loads(self.asked(f"/gateways.json?{query}"))["rows"]}


def view(rtt: float, pop: str = "fra1") -> View:
    path = PathView(
        path=f"{pop}/wg0", pop=pop, uplink="u", state=PathState.UP, reason="", since=1.0, rtt=rtt, jitter=0.5, loss=0.0,
        sd=1.0, n=9, age=0.2, every=1.0, patience=0.5, hold=0.0,
    )  # fmt: skip
    return View(now=1.0, epoch=7, paths=(path,), policies=(), drains=(), declined={})


def test_it_shows_who_is_there_rolls_up_what_they_measure_and_hears_who_goes(broker, tmp_path):
    names = [f"gw{number}" for number in range(1, 7)]

    async def scenario(service: Service):
        gateways: list[Gateway] = []
        async with AsyncExitStack() as stack:
            for number, name in enumerate(names):
                gateway = Gateway(broker.port, gateway=name)
                gateway.view = view(10.0 + number)
                await stack.enter_async_context(running(gateway))
                gateways.append(gateway)
            await say(broker.port, f"{ROOT}/pop/fra1/state", REPORT)
            await until_async(lambda: service.pops().get("fra1", {}).get("states") == {"up": 6})
            await until_async(lambda: service.pops()["fra1"]["load"] == 0.25)
            assert service.pops()["fra1"]["rtt"] == 12.5
            rollup = body(await heard(broker.port, f"{ROOT}/region/eu/rollup"))
            (seen,) = rollup["paths"]
            assert (rollup["region"], seen["pop"], seen["gateways"]) == ("eu", "fra1", 5)
            assert seen["median_rtt_us"] == 12_000  # gw6 is not in the inventory
            assert service.figures()["strangers"] == 1
            await until_async(lambda: all(one.hints == [Hints(("fra1",))] for one in gateways))
            assert not service.gateways("text=gw6")["gw6"]["known"]
            # The inventory is read again when it is asked for.
            service.inventory.write_text("".join(f"eu/{name}\n" for name in names))
            service.process.send_signal(signal.SIGHUP)
            six = await heard(broker.port, f"{ROOT}/region/eu/rollup", lambda one: one["paths"][0]["gateways"] == 6)
            assert body(six)["paths"][0]["median_rtt_us"] == 12_500
            # One that is wrong changes nothing.
            service.inventory.write_text("nonsense\n")
            service.process.send_signal(signal.SIGHUP)
            await until_async(lambda: "the inventory of before stays" in service.log.read_text())
            await until_async(lambda: service.figures()["strangers"] == 0)
        await until_async(lambda: all(one["presence"] == "offline" for one in service.gateways().values()))
        assert service.gateways()["gw1"]["reason"] == "test ended"
        await say(broker.port, f"{ROOT}/gw/eu/gw1/state", b"")
        await until_async(lambda: "gw1" not in service.gateways())

    with Service(tmp_path, broker.port, "".join(f"eu/{name}\n" for name in names[:5])).running() as service:
        asyncio.run(scenario(service))
        offline = b'steerd_fleet_gateways{presence="offline",region="eu"} 5.0\n'
        until(lambda: offline in service.asked("/metrics"))
        assert b"steerd_mqtt_connected 1.0\n" in service.asked("/metrics")


REPORT = {"v": 1, "pop": "fra1", "epoch": 5, "seq": 1, "accepting": True, "load_ppm": 250_000}


def test_what_was_retained_is_there_after_a_restart_of_it_and_of_the_broker(broker, tmp_path):
    async def scenario(service: Service):
        async with running(Gateway(broker.port)) as gateway:
            gateway.view = view(10.0)
            await until_async(lambda: "gw1" in service.gateways("presence=online"))
            broker.kill()
            await until_async(lambda: service.asked("/readyz", good=False) == b"")
            assert not service.figures()["connected"]
            broker.start()
            await until_async(lambda: service.figures()["connected"])
            await until_async(lambda: gateway.connected[-1] and "gw1" in service.gateways("presence=online"))

    made = Service(tmp_path, broker.port)
    with made.running() as service:
        asyncio.run(say(broker.port, f"{ROOT}/gw/eu/gw9/state", {**STATE, "gw": "gw9"}))
        asyncio.run(scenario(service))
    farewell = body(asyncio.run(heard(broker.port, f"{ROOT}/fleet/middle/state")))
    assert (farewell["online"], farewell["reason"]) == (False, "stopped")


STATE = {"v": 1, "gw": "gw1", "epoch": 5, "online": True, "version": "1"}


def test_whatever_is_published_it_goes_on_and_counts_what_it_refuses(broker, tmp_path):
    async def scenario(service: Service):
        async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as rogue:
            for payload in (b"{", b"\xff" * 60_000, b"[]", b'{"v":1}', json.dumps({**STATE, "gw": "x"}).encode()):
                for topic in ("gw/eu/gw1/state", "gw/eu/gw1/score", "gw/eu/gw1/event", "pop/fra1/state"):
                    await rogue.publish(f"{ROOT}/{topic}", payload, qos=1)
            for number in range(3000):
                name = f"g{number}"
                await rogue.publish(f"{ROOT}/gw/eu/{name}/state", json.dumps({**STATE, "gw": name}), qos=0)
        await until_async(lambda: sum(service.figures()["presence"].get("eu", {}).values()) == 3000)

    with Service(tmp_path, broker.port).running() as service:
        asyncio.run(scenario(service))
        metrics = service.asked("/metrics").decode()
        assert 'steerd_refused_total{reason="malformed",source="gateway"}' in metrics
        assert 'steerd_refused_total{reason="another gateway\'s topic",source="gateway"}' in metrics
        assert len(service.log.read_text().splitlines()) < 20
        assert len(service.gateways("text=g2")) == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda service: service.inventory.write_text(""), "inventory: is empty"),
        (lambda service: service.inventory.unlink(), "inventory: No such file"),
        (lambda service: service.config.write_text("[fleet]\nx = 1\n"), "fleet.x"),
    ],
)
def test_it_says_why_it_cannot_run(tmp_path, change, words):
    service = Service(tmp_path, 1)
    change(service)
    command = [sys.executable, "-m", "steerd.cli.steerd", "fleet", "-c", str(service.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode in {1, 78}
    assert words in done.stderr
    assert "Traceback" not in done.stderr
