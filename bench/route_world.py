"""A gateway for measuring routes: three TUN devices, of which ``src`` is where packets come from and ``a`` and ``b``
are two ways out. In the network namespace of this process, which an enclosure made."""

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.stream import CORES, Stream, address
from steerd.config.route_settings import OnStop, Prefixes, RoutePath, RoutePolicy, RouteSettings
from steerd.core.effects import Steer
from steerd.core.settings import PathId, PolicyId
from steerd.lab.enclosure import RUN
from steerd.lab.namespaces import ip
from steerd.lab.world.tun import Tun
from steerd.route.router import Router

RATE = 20_000.0
"""Packets a second, both families together."""
FAMILIES = (4, 6)
LENGTH = {4: 24, 6: 48}
POLICY = PolicyId("all")
_AROUND = 0.3  # seconds of traffic before and after a switch

Move = Callable[[str], Awaitable[Any]]


def prefixes(number: int, first: int = 0) -> Prefixes:
    """``number`` of each family, from the ``first`` on."""
    packed = {
        family: b"".join(address(family, at) + bytes((LENGTH[family],)) for at in range(first, first + number))
        for family in FAMILIES
    }
    return Prefixes(packed[4], packed[6])


def path(number: int, device: str) -> RoutePath:
    return RoutePath(PathId(device), device, None, None, frozenset(FAMILIES), device, number << 24, 4300 + number)


def settings(steered: Prefixes) -> RouteSettings:
    """One policy about these prefixes, with the devices as its paths."""
    return RouteSettings(
        protocol=210,
        table=4200,
        rule_priority=4200,
        nexthop_base=42_000_000,
        mark_mask=0xFF000000,
        bypass_mark=0,
        management=(),
        on_stop=OnStop.KEEP,
        paths=(path(1, "a"), path(2, "b")),
        policies=(RoutePolicy(POLICY, 4200, 0, steered),),
    )


def steer(best: str) -> Steer:
    """The other device is the runner-up."""
    return Steer(POLICY, PathId(best), PathId("b" if best == "a" else "a"), "1-1")


def routing(given: RouteSettings) -> Router:
    """A router that tells nothing."""
    return Router(given, on_link=lambda *_: None, on_installed=lambda _: None, on_repair=lambda _: None)


class World:
    """``compat`` is what the sysctl ``nexthop_compat_mode`` is set to."""

    def __init__(self, *, compat: int = 1) -> None:
        self._compat = compat
        self._open = contextlib.ExitStack()
        self.devices: dict[str, Tun] = {}

    def __enter__(self) -> Self:
        # For what this process starts, too; the stream has the rest.
        os.sched_setaffinity(0, CORES[:-1] or CORES)
        for name, value in {
            "ipv4/ip_forward": 1,
            "ipv6/conf/all/forwarding": 1,
            "ipv4/conf/all/rp_filter": 0,
            "ipv4/conf/default/rp_filter": 0,
            "ipv4/nexthop_compat_mode": self._compat,
            "ipv6/route/max_size": 1 << 24,
        }.items():
            Path("/proc/sys/net", name).write_text(str(value))
        for name in ("src", "a", "b"):
            self.devices[name] = Tun(name)
            self._open.callback(self.devices[name].close)
            ip(f"link set dev {name} txqueuelen 10000 addrgenmode none\nlink set dev {name} up")
        ip("addr add 192.168.50.1/24 dev src\naddr add fd00:50::1/64 dev src nodad")
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def stream(self, number: int) -> Stream:
        """Packets to the first ``number`` prefixes of each family."""
        sinks = [self.devices["a"], self.devices["b"]]
        return Stream(self.devices["src"], sinks, prefixes=number, rate=RATE, folder=RUN)


@dataclass(frozen=True)
class Passage:
    """A switch under traffic. Times in ms from when it was asked for: when it was answered, and, by family, when the
    first packet came that went to the new device, and when the last went to the old one."""

    took: float
    rate: float
    lost: dict[int, int]
    first_new: dict[int, float | None]
    last_old: dict[int, float | None]


async def passage(world: World, move: Move, number: int, old: str, new: str) -> Passage:
    """Moves all from ``old`` to ``new`` amid a stream."""
    with world.stream(number) as stream:
        await asyncio.sleep(_AROUND)
        began = time.monotonic_ns()
        await move(new)
        took = time.monotonic_ns() - began
        await asyncio.sleep(_AROUND)
        flow = await asyncio.to_thread(stream.finish)

    def ms(at: int | None) -> float | None:
        return None if at is None else (at - began) / 1e6

    return Passage(
        took / 1e6,
        flow.rate,
        {family: flow.lost(family) for family in FAMILIES},
        {family: ms(next(iter(flow.times(new, family)), None)) for family in FAMILIES},
        {family: ms(next(reversed(flow.times(old, family)), None)) for family in FAMILIES},
    )


async def switches(move: Move, times: int) -> float:
    """The median of some, in ms, from ``a`` to ``b`` and back, without traffic; ends at ``a``."""
    took = []
    for place in range(2 * ((times + 1) // 2)):
        began = time.perf_counter()
        await move("ab"[(place + 1) % 2])
        took.append(1e3 * (time.perf_counter() - began))
        await asyncio.sleep(0.05)
    return statistics.median(took)
