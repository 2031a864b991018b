"""Who moves prefixes from one device to another: steerd, and what else there is. A scene for each, in an enclosure."""

import asyncio
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from bench.route_world import FAMILIES, LENGTH, Passage, World, passage, prefixes, routing, settings, steer, switches
from bench.stream import address
from steerd.config.route_settings import RouteSettings
from steerd.lab.enclosure import RUN
from steerd.net.netlink import Connection, NetlinkError, attribute
from steerd.route.kernel.codec import route as route_codec
from steerd.route.kernel.kernel import Kernel
from steerd.route.kernel.listing import Listing
from steerd.route.nft.protect import Protection
from steerd.route.reconcile.peers import Peers
from steerd.route.reconcile.reconciler import Reconciler

TABLE = 100
_IDLE = 6  # switches of which the median is told
_IDLE_SLOW = 2
_LOOK = 0.02
_PATIENCE = 60.0
_RTA_OIF = 4


def peak(pid: int | str = "self") -> float:
    """The most memory that a process ever had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def texts(family: int, number: int) -> Iterator[str]:
    kind = {4: socket.AF_INET, 6: socket.AF_INET6}[family]
    for at in range(number):
        yield f"{socket.inet_ntop(kind, address(family, at))}/{LENGTH[family]}"


def _told(install: float, switch: float, read: float | None, rss: float | None, amid: Passage) -> dict[str, Any]:
    return {"install_s": install, "switch_ms": switch, "read_s": read, "rss_mb": rss, **asdict(amid)}


def steerd(number: int, compat: int) -> dict[str, Any]:
    """Its routes have shadows: twice as many as others install. Its memory is measured as a daemon's, elsewhere."""

    async def inside() -> dict[str, Any]:
        router = routing(given)
        began = time.perf_counter()
        await router.start()
        await router.steer(steer("a"))
        install = time.perf_counter() - began

        async def move(new: str) -> None:
            installed = await router.steer(steer(new))
            if installed.best != new or installed.error:
                raise RuntimeError(f"not moved to {new}: {installed}")

        idle = await switches(move, _IDLE)
        amid = await passage(world, move, number, "a", "b")
        await router.stop()
        return _told(install, idle, await asyncio.to_thread(_compared, given), None, amid)

    given = settings(prefixes(number))
    with World(compat=compat) as world:
        return asyncio.run(inside())


def _compared(given: RouteSettings) -> float:
    """How long one comparison of everything takes, in seconds: of what a router left."""
    with Kernel() as kernel, Protection() as protection, Peers(given) as peers:
        reconciler = Reconciler(given, kernel, protection, peers)
        reconciler.start(given)
        began = time.perf_counter()
        outcome = reconciler.repair(time.monotonic())
        took = time.perf_counter() - began
    if outcome.repairs:
        raise RuntimeError(f"something was repaired: {outcome}")
    return took


def _rules() -> None:
    for family in FAMILIES:
        subprocess.run(["ip", f"-{family}", *f"rule add not iif lo lookup {TABLE} priority 100".split()], check=True)


def ip_batch(number: int) -> dict[str, Any]:
    """``ip -batch`` with a ``route replace`` for each prefix."""

    def write(device: str) -> None:
        for family in FAMILIES:
            lines = (f"route replace {text} dev {device} table {TABLE}\n" for text in texts(family, number))
            (RUN / f"{device}{family}").write_text("".join(lines))

    def replace(device: str) -> None:
        for family in FAMILIES:
            subprocess.run(["ip", f"-{family}", "-batch", str(RUN / f"{device}{family}")], check=True)

    def compare(device: str) -> None:
        for family in FAMILIES:
            command = ["ip", f"-{family}", *f"route show table {TABLE} dev {device}".split()]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            if {line.split()[0] for line in shown.splitlines()} != wanted[family]:
                raise RuntimeError("not what was asked for")

    async def move(device: str) -> None:
        await asyncio.to_thread(replace, device)

    async def inside() -> dict[str, Any]:
        began = time.perf_counter()
        await move("a")
        install = time.perf_counter() - began
        idle = await switches(move, _IDLE_SLOW)
        amid = await passage(world, move, number, "a", "b")
        began = time.perf_counter()
        await asyncio.to_thread(compare, "b")
        return _told(install, idle, time.perf_counter() - began, None, amid)

    wanted = {family: set(texts(family, number)) for family in FAMILIES}
    with World() as world:
        _rules()
        for device in "ab":
            write(device)
        return asyncio.run(inside())


def pyroute2(number: int) -> dict[str, Any]:
    """One `IPRoute.route("replace")` for each prefix."""
    from pyroute2 import IPRoute  # noqa: PLC0415 -- nobody else's memory

    def replace(device: str) -> None:
        index = socket.if_nametoindex(device)
        for family in FAMILIES:
            for text in texts(family, number):
                routes.route("replace", dst=text, oif=index, table=TABLE)

    def compare() -> None:
        found = {one.get_attr("RTA_DST") for family in (2, 10) for one in routes.get_routes(family=family, table=TABLE)}
        if len(found) != 2 * number:
            raise RuntimeError("not what was asked for")

    async def move(device: str) -> None:
        await asyncio.to_thread(replace, device)

    async def inside() -> dict[str, Any]:
        began = time.perf_counter()
        await move("a")
        install = time.perf_counter() - began
        amid = await passage(world, move, number, "a", "b")
        began = time.perf_counter()
        await asyncio.to_thread(compare)
        return _told(install, amid.took, time.perf_counter() - began, peak(), amid)

    with World() as world, IPRoute() as routes:
        _rules()
        return asyncio.run(inside())


BIRD = """\
router id 192.0.2.1;
protocol device {{ }}
ipv4 table t4;
ipv6 table t6;
protocol kernel {{ kernel table {table}; scan time 3600; ipv4 {{ table t4; import none; export all; }}; }}
protocol kernel {{ kernel table {table}; scan time 3600; ipv6 {{ table t6; import none; export all; }}; }}
protocol static {{ ipv4 {{ table t4; }};
include "{folder}/{device}4";
}}
protocol static {{ ipv6 {{ table t6; }};
include "{folder}/{device}6";
}}
"""


def bird(number: int) -> dict[str, Any]:
    """BIRD 2 with static routes, whose device is changed in its configuration. It works on after ``birdc configure``
    has answered: it is done when the kernel has no route by the old device."""
    control, file = RUN / "bird.ctl", RUN / "bird.conf"

    def write(device: str) -> None:
        file.write_text(BIRD.format(table=TABLE, folder=RUN, device=device))

    def by(connection: Connection, device: str) -> int:
        """How many routes of the table lead by the device, as the kernel picks them."""
        index = attribute(_RTA_OIF, struct.pack("=I", socket.if_nametoindex(device)))
        try:
            found = 0
            for family in FAMILIES:
                request = route_codec.dump_request(family, table=TABLE) + index
                found += connection.dump_into(route_codec.RTM_GETROUTE, request, partial(Listing, family, {})).size
        except NetlinkError:  # no such table yet, or changing too fast to be read
            return -1
        return found

    def configure(device: str) -> None:
        write(device)
        subprocess.run(["birdc", "-s", str(control), "configure"], check=True, capture_output=True)
        wait("a" if device == "b" else "b", 0)

    def wait(device: str, count: int) -> None:
        until = time.monotonic() + _PATIENCE
        with Connection() as connection:
            while by(connection, device) != count:
                if time.monotonic() > until:
                    raise RuntimeError("BIRD does not get there")
                time.sleep(_LOOK)

    async def move(device: str) -> None:
        await asyncio.to_thread(configure, device)

    async def inside(pid: int, install: float) -> dict[str, Any]:
        idle = await switches(move, _IDLE_SLOW)
        amid = await passage(world, move, number, "a", "b")
        return _told(install, idle, None, peak(pid), amid)

    with World() as world:
        _rules()
        for device in "ab":
            for family in FAMILIES:
                lines = (f'route {text} via "{device}";\n' for text in texts(family, number))
                (RUN / f"{device}{family}").write_text("".join(lines))
        write("a")
        began = time.perf_counter()
        command = ["bird", "-f", "-c", str(file), "-s", str(control), "-P", str(RUN / "bird.pid")]
        with subprocess.Popen(command) as process:
            try:
                wait("a", 2 * number)
                return asyncio.run(inside(process.pid, time.perf_counter() - began))
            finally:
                process.terminate()
                process.wait(10)
