"""`steerd fleet` with thousands of gateways: does it keep up, on how much of a core, in how much memory?

usage: python -m bench.fleet [--gateways 10000] [--pops 50] [--interval 10] [--seconds 60] [--hold]

A real mosquitto on loopback, one client that publishes for all gateways, and the real service. Printed: messages that
were published and that it heard, its CPU (of one core), its memory, and how long its page's figures took.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from steerd.core.states import PathState
from steerd.share.messages import GatewayState, Message, PathScore, PopReport, Score, encode
from tests.lab.sharing import Broker, free_port

ROOT = "steer/v1/acme"
SEEN = 14
"""PoPs that a gateway's score has."""
_TICK = os.sysconf("SC_CLK_TCK")


class Gateways:
    """What all of them say, by one client."""

    def __init__(self, count: int, pops: int, client: aiomqtt.Client) -> None:
        self.names = [(f"r{number % 8}", f"gw{number:05d}") for number in range(count)]
        self.sent = 0
        self._random = random.Random(7)
        self._pops = [f"pop{number:03d}" for number in range(pops)]
        self._client = client
        self._seq = 0
        self._mine = {name: self._random.sample(self._pops, min(SEEN, pops)) for _, name in self.names}

    async def say(self, topic: str, message: Message, *, expiry: int = 0) -> None:
        payload, kind = encode(message)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = kind
        if expiry:
            properties.MessageExpiryInterval = expiry
        await self._client.publish(f"{ROOT}/{topic}", payload, qos=0, retain=True, properties=properties)
        self.sent += 1

    async def come(self) -> None:
        for pop in self._pops:
            await self.say(f"pop/{pop}/state", PopReport(pop=pop, epoch=1, seq=1, accepting=True, load_ppm=400_000))
        for region, name in self.names:
            await self.say(f"gw/{region}/{name}/state", GatewayState(gw=name, epoch=1, online=True, version="0.2.0"))

    async def score(self, region: str, name: str, interval: float) -> None:
        self._seq += 1
        mine = self._mine[name]
        paths = [
            PathScore(
                pop=pop, path=f"{pop}/wg0", state=PathState.UP, rtt_us=self._random.randrange(5_000, 90_000),
                jitter_us=500, loss_ppm=0, n=100, age_ms=300,
            )
            for pop in mine
        ]  # fmt: skip
        choice = f"{mine[0]}/wg0"
        said = Score(gw=name, epoch=1, seq=self._seq, ts_ms=1, policies={"default": choice}, paths=paths)
        await self.say(f"gw/{region}/{name}/score", said, expiry=int(3 * interval))


def used(process: int) -> tuple[float, float, float]:
    """CPU seconds, and resident and peak MB."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    memory = [int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM")]
    return (int(fields[11]) + int(fields[12])) / _TICK, memory[0], memory[1]


def fetch(port: int, path: str) -> tuple[float, bytes]:
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        body = answer.read()
    return time.monotonic() - began, body


async def bench(options: argparse.Namespace, folder: Path) -> None:
    broker = Broker(folder)
    broker.start()
    port = free_port()
    gateways = [(f"r{number % 8}", f"gw{number:05d}") for number in range(options.gateways)]
    (folder / "inventory").write_text("".join(f"{region}/{name}\n" for region, name in gateways))
    config = folder / "fleet.toml"
    config.write_text(
        f'[fleet]\nname = "middle"\ninventory = "inventory"\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
        f'tenant = "acme"\n[export]\nlisten = "127.0.0.1:{port}"\n'
    )
    service = None
    try:
        async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            fleet = Gateways(options.gateways, options.pops, client)
            await fleet.come()
            service = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "steerd.cli.steerd", "fleet", "-c", str(config)
            )
            await turns(fleet, options, 2 * options.interval)  # all have spoken, and what was retained is through
            began, before, sent, heard = time.monotonic(), used(service.pid), fleet.sent, messages(port)
            await turns(fleet, options, options.seconds)
            took, after = time.monotonic() - began, used(service.pid)
            await asyncio.sleep(1.0)
            print(
                f"{options.gateways} gateways, {options.pops} PoPs, a score each {options.interval:g} s, {took:.0f} s:"
            )
            print(f"published {fleet.sent - sent}, heard {messages(port) - heard}")
            print(
                f"{100 * (after[0] - before[0]) / took:.1f} % of a core, {after[1]:.0f} MB (at most {after[2]:.0f} MB)"
            )
            for path in ("/fleet.json", "/gateways.json?text=gw09", "/metrics"):
                seconds, body = await asyncio.to_thread(fetch, port, path)
                print(f"{path}: {1000 * seconds:.0f} ms, {len(body)} bytes")
            _, body = await asyncio.to_thread(fetch, port, "/fleet.json")
            print("presence:", json.loads(body)["presence"].get("r0"))
            while options.hold:
                await turns(fleet, options, options.interval)
    finally:
        if service is not None:
            service.terminate()
            await asyncio.wait_for(service.wait(), 30)
        broker.kill()


def messages(port: int) -> int:
    """How many the service has heard."""
    for line in fetch(port, "/metrics")[1].decode().splitlines():
        if line.startswith('steerd_mqtt_messages_total{direction="in"}'):
            return int(float(line.split()[-1]))
    return 0


async def turns(fleet: Gateways, options: argparse.Namespace, seconds: float) -> None:
    """Every gateway speaks once in each interval, evenly spread, for so long."""
    began, number = time.monotonic(), 0
    rate = len(fleet.names) / options.interval
    while (elapsed := time.monotonic() - began) < seconds:
        while number < elapsed * rate:
            await fleet.score(*fleet.names[number % len(fleet.names)], options.interval)
            number += 1
        await asyncio.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gateways", type=int, default=10_000)
    parser.add_argument("--pops", type=int, default=50)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--hold", action="store_true", help="go on until it is interrupted, to look at the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(bench(options, Path(folder)))


if __name__ == "__main__":
    main()
