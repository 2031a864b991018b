"""Whether targets answer, asked by the daemon's own prober, by the paths' own devices, and without any rule or route.

Bounded in time: as long as `FIRST` for what the configuration names, and once more `SECOND` where that was silent, for
what it might name instead.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from steerd.config.family import IPV4, IPV6
from steerd.config.probe_settings import ProbePath, ProbeSettings, Target
from steerd.config.route_settings import AUTO, RoutePath
from steerd.config.settings import Config, MqttSettings
from steerd.core.events import Outcome, Probed
from steerd.core.settings import PathId
from steerd.core.views import Finding
from steerd.machine.record import Interface, Machine
from steerd.probe.error import ProbeError
from steerd.probe.prober import Prober
from steerd.route.around.gateways import learn

FIRST: Final = 2.0
SECOND: Final = 1.0
"""Seconds."""
_EVERY: Final = 0.25  # seconds between two probes of a target
_PATIENCE: Final = 1.0  # seconds until a probe counts as lost
_HEARD: Final = {Outcome.REPLY, Outcome.LATE, Outcome.DUPLICATE}
_ICMP: Final = "icmp"


@dataclass(frozen=True, slots=True)
class Answers:
    """``answered``: the places of each path's targets that did; ``said``: what the prober found of each path;
    ``others``: addresses that are not what the configuration names, and that answer echo requests by the path's device.
    ``refused``: why nothing was probed, empty: it was; ``broker``: why the broker cannot be reached."""

    answered: Mapping[PathId, AbstractSet[int]] = field(default_factory=dict)
    said: Mapping[PathId, Mapping[Finding, str]] = field(default_factory=dict)
    others: Mapping[PathId, Sequence[str]] = field(default_factory=dict)
    refused: str = ""
    broker: str = ""


async def ask(config: Config, machine: Machine) -> Answers:
    """Probes the targets of all paths, and their next hops, so that the kernel looks for these; connects to the broker.
    Takes `FIRST` and `SECOND` seconds at most."""
    broker = asyncio.create_task(_broker(config.mqtt))
    paths = [path for path in config.probe.paths if path.device in machine.main.devices]
    hops = list(_hops(config, machine))
    try:
        first = _together(paths, await _heard([one for path in paths for one in _apart(path)] + hops, FIRST))
        silent = [path for path in paths if len(first.answered.get(path.path, ())) < len(path.targets)]
        second = await _heard([one for path in silent for one in _instead(path, machine)], SECOND)
    except ProbeError as error:
        return Answers(refused=str(error), broker=await broker)
    others: dict[PathId, list[str]] = {}
    for path in silent:
        for one in _instead(path, machine):
            if second.answered.get(one.path):
                others.setdefault(path.path, []).append(one.targets[0].address)
    return Answers(first.answered, first.said, others, broker=await broker)


def _apart(path: ProbePath) -> list[ProbePath]:
    """Each of a path's targets by itself: of several the prober tells as of one."""
    return [
        replace(path, path=PathId(f"{path.path} {place}"), targets=(target,), quorum=0)
        for place, target in enumerate(path.targets)
    ]


def _together(paths: Iterable[ProbePath], found: Answers) -> Answers:
    """What was found of each target, by the paths that they are of."""
    answered: dict[PathId, set[int]] = {}
    said: dict[PathId, dict[Finding, str]] = {}
    for path in paths:
        for place, one in enumerate(_apart(path)):
            said.setdefault(path.path, {}).update(found.said.get(one.path, {}))
            if found.answered.get(one.path):
                answered.setdefault(path.path, set()).add(place)
    return Answers(answered, said)


async def _heard(paths: Sequence[ProbePath], seconds: float) -> Answers:
    """Probes these until all have answered, or for so long. Raises `ProbeError`."""
    answered: dict[PathId, set[int]] = {}
    everyone = asyncio.Event()

    def hear(probed: Probed) -> None:
        if probed.outcome in _HEARD:
            answered.setdefault(probed.path, set()).add(probed.leg)
            if sum(map(len, answered.values())) == legs:
                everyone.set()

    if not paths:
        return Answers()
    quick = tuple(replace(path, interval=_EVERY, timeout=_PATIENCE, budget=None) for path in paths)
    legs = sum(len(path.targets) for path in quick)
    with closing(Prober(ProbeSettings(quick, _EVERY), on_outcome=hear, seed=0)) as prober:
        prober.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await everyone.wait()
        return Answers(answered, {path.path: prober.findings.of(path.path) for path in quick})


def _hops(config: Config, machine: Machine) -> Iterable[ProbePath]:
    """The next hops of paths, to be asked by their devices: whoever is on the link answers for its address at least.
    Without the path's mark, by which steerd's table would lead to another next hop, as of an earlier configuration."""
    known = learn(machine.main)
    ways = {path.path: path for path in config.route.paths}
    for path in config.probe.paths:
        for family, via in _vias(ways[path.path]):
            gateway = known.get((family, path.device))
            address = (gateway.via if gateway else "") if via == AUTO else via
            if address and path.device in machine.main.devices:
                yield replace(_echo(path, family, address.split()[0]), mark=0)


def _vias(path: RoutePath) -> list[tuple[int, str]]:
    return [(family, via) for family, via in ((IPV4, path.via), (IPV6, path.via6)) if via]


def _instead(path: ProbePath, machine: Machine) -> list[ProbePath]:
    """What may answer in the place of the targets: these themselves, by ICMP, and who is first on the device's
    networks."""
    own = machine.own
    found = [] if path.method == _ICMP else [(one.family, one.address) for one in path.targets if one.address]
    for family in {one.family for one in path.targets}:
        found += [(family, first_of(one)) for one in machine.addresses.get(path.device, ()) if one.version == family]
    return [_echo(path, *one) for one in dict.fromkeys(found) if one[1] and one[1] not in own]


def first_of(interface: Interface) -> str:
    """The first address of an address's network that another host may have; empty: it has none."""
    hosts = () if interface.ip.is_link_local else interface.network.hosts()
    return next((str(one) for one in hosts if one != interface.ip), "")


def _echo(path: ProbePath, family: int, address: str) -> ProbePath:
    name = PathId(f"{path.path} {address}")
    return replace(
        path,
        path=name,
        targets=(Target(family, address),),
        method=_ICMP,
        port=0,
        size=0,
        dscp=0,
        key_file=None,
        check=None,
    )


async def _broker(settings: MqttSettings | None) -> str:
    """Why no connection to the broker comes about; empty: it does, or there is to be none."""
    if settings is None:
        return ""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def tell(words: str) -> None:
        if not told.done():
            told.set_result(words)

    def connect() -> None:
        words = _connected(settings.host, settings.port)
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(tell, words)

    # A thread of its own: who waits for asyncio's at the end would wait for a name server that says nothing.
    threading.Thread(target=connect, name="broker", daemon=True).start()
    try:
        async with asyncio.timeout(FIRST):
            return await told
    except TimeoutError:
        return f"no answer within {FIRST:g} s"


def _connected(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), FIRST).close()
    except socket.gaierror as error:
        return f"{host}: {error.strerror}"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return ""
