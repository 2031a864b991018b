"""What sharing costs: bytes on the wire of one gateway with 50 PoPs, and a broker with 2,000 gateways.

Both over TLS with a certificate for each side, in network namespaces of their own. `python -m bench.mqtt [GATEWAYS]`
"""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from steerd.config.settings import MqttSettings
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, PolicyState
from steerd.core.views import PathView, PolicyView, View
from steerd.lab.enclosure import run
from steerd.share.gateway import Share

GIVEN: Final = Path(__file__).parent.parent / "config/mosquitto"
PORT: Final = 8883
POPS: Final = 50
MINUTES: Final = 2
ALLOWED: Final = 160.0
GATEWAYS: Final = 2000
PROCESSES: Final = 2
SECONDS: Final = 60.0


def scoreboard(draw: random.Random) -> View:
    """50 PoPs, each a path, with figures that no compression knows beforehand."""
    paths = tuple(
        PathView(
            path=PathId(f"{name}/wg-{name}"), pop=name, uplink="wan", state=PathState.UP, reason="", since=1.0, sd=1.0,
            n=draw.randint(5, 400), every=1.0, patience=0.1, hold=0.0, rtt=draw.uniform(5.0, 200.0),
            jitter=draw.uniform(0.1, 9.0), loss=draw.choice((0.0, 0.0, 0.0, draw.uniform(0.0, 0.05))),
            age=draw.uniform(0.0, 1.0),
        )
        for name in (f"{city}{number}" for city in ("fra", "ams", "nyc", "sin", "gru") for number in range(POPS // 5))
    )  # fmt: skip
    policy = PolicyView(
        policy=PolicyId("default"), state=PolicyState.STEERING, choice=paths[0].path, runner_up=paths[1].path,
        wanted=paths[0].path, error=None, since=1.0, pin=None, pin_hard=False, pin_for=None, candidates=(), last=None,
        outlook="",
    )  # fmt: skip
    return View(now=1.0, epoch=1, paths=paths, policies=(policy,), drains=(), declined={})


def share(folder: Path, name: str, draw: random.Random, certificate: str = "gw1") -> Share:
    """A gateway, with all that the daemon gives to its `Share`."""
    settings = MqttSettings(
        host="127.0.0.1", port=PORT, tls=True, tenant="acme", gateway=name, region="eu", username=None,
        password_file=None, publish_interval=10.0, ca=folder / "ca.pem", cert=folder / f"{certificate}.pem",
        key=folder / f"{certificate}.key",
    )  # fmt: skip
    return Share(
        settings, epoch=1, pops=(), snapshot=lambda: scoreboard(draw), on_pop_state=lambda _: None,
        refuse=lambda *_: None, on_connected=lambda _: None, on_message=lambda _: None, draw=draw.random,
    )  # fmt: skip


def broker(folder: Path, *, many: bool) -> subprocess.Popen[bytes]:
    """As config/mosquitto gives it. ``many``: one certificate is to serve for all, with the client ids they choose."""
    text = (GIVEN / "mosquitto.conf").read_text()
    text = text.replace("/etc/mosquitto/steerd", str(folder)).replace("persistence true", "persistence false")
    if many:
        text = text.replace("use_username_as_clientid true\n", "")
    (folder / "mosquitto.conf").write_text(text + "\nuser root\n")
    acl = (GIVEN / "acl").read_text()
    (folder / "acl").write_text(acl + ("\nuser gw1\ntopic readwrite steer/v1/acme/#\n" if many else ""))
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert program is not None
    return subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)


def authority(folder: Path) -> None:
    """Certificates of an afternoon."""
    for arguments in (["ca"], ["broker", "127.0.0.1"], ["client", "gw1"]):
        subprocess.run([GIVEN / "make-certificates", folder, *arguments], check=True, capture_output=True)


def on_the_wire() -> dict[str, float]:
    """Bytes/s of IP packets in both directions, TCP's and TLS' own included, from a minute after the start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority(folder)
        process = broker(folder, many=False)
        try:
            return asyncio.run(_counted(share(folder, "gw1", random.Random(1))))
        finally:
            process.kill()
            process.wait()


async def _counted(gateway: Share) -> dict[str, float]:
    await asyncio.sleep(1.0)
    task = asyncio.create_task(gateway.run())
    await asyncio.sleep(30.0)
    before, began = _loopback(), time.monotonic()
    await asyncio.sleep(60.0 * MINUTES)
    after, lasted = _loopback(), time.monotonic() - began
    await gateway.stop()
    task.cancel()
    packets = after[1] - before[1]
    return {"bytes_per_s": (after[0] - before[0] - 14 * packets) / lasted, "packets_per_s": packets / lasted}


def _loopback() -> tuple[int, int]:
    """Bytes and packets sent: on the loopback device each packet of either side once, with an Ethernet header."""
    # Not /sys, which shows the network of whoever mounted it.
    columns = next(line for line in Path("/proc/net/dev").read_text().splitlines() if "lo:" in line).split()
    return int(columns[9]), int(columns[10])


def fleet(gateways: int) -> dict[str, float]:
    """The broker's CPU and memory while they publish, each 50 PoPs each 10 s."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority(folder)
        process = broker(folder, many=True)
        command = [sys.executable, "-m", "bench.mqtt", "--part", str(folder)]
        each = gateways // PROCESSES
        parts = [subprocess.Popen([*command, f"{part * each}", str(each)]) for part in range(PROCESSES)]
        try:
            time.sleep(45.0)
            kept = _kept(process.pid)
            before, began = _cpu(process.pid), time.monotonic()
            time.sleep(SECONDS)
            used = (_cpu(process.pid) - before) / (time.monotonic() - began)
            return {"gateways": _connections(), "core": used, "resident_mib": kept}
        finally:
            for part in (*parts, process):
                part.kill()
                part.wait()


async def _part(folder: Path, first: int, count: int) -> None:
    draw = random.Random(first)
    tasks: set[asyncio.Task[None]] = set()
    for number in range(first, first + count):
        tasks.add(asyncio.create_task(share(folder, f"gw-{number}", draw).run()))
        await asyncio.sleep(0.02)
    await asyncio.wait(tasks)


def _connections() -> int:
    """Established, at the broker's side."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1].endswith(f":{PORT:04X}") and row[3] == "01" for row in rows)


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kept(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def main(arguments: Sequence[str]) -> int:
    """Prints both figures as JSON; 1 if the wire carries more than is allowed."""
    if arguments[:1] == ["--part"]:
        asyncio.run(_part(Path(arguments[1]), int(arguments[2]), int(arguments[3])))
        return 0
    gateways = int(arguments[0]) if arguments else GATEWAYS
    found: dict[str, Any] = {"wire": run("bench.mqtt:on_the_wire", timeout=400)}
    print(json.dumps(found["wire"]), flush=True)
    found["fleet"] = run("bench.mqtt:fleet", gateways, timeout=400)
    print(json.dumps(found["fleet"]))
    return int(found["wire"]["bytes_per_s"] > ALLOWED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
