"""Paths that count as two and are one, or fail together; and what uplinks cost, that is charged to nobody."""

from collections.abc import Collection, Iterator
from itertools import combinations

from steerd.config.route_settings import Actuator, RoutePath
from steerd.config.settings import Config
from steerd.core.settings import PathId
from steerd.machine.finding import Finding, do, error, of_path, put, warning
from steerd.machine.record import Machine
from steerd.route.around.remarks import all_of, together_on
from steerd.route.around.surroundings import based


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Same device and next hop, same outer endpoint, same uplink; uplinks that are not there, or not named."""
    settings = config.route
    pops = {path.path: path.pop for path in config.probe.paths}
    endpoints = {path.path: _endpoint(machine, path) for path in settings.paths}
    for one, other in combinations(settings.paths, 2):
        if _way(one) == _way(other) and (settings.actuator is Actuator.NETLINK or one.peer == other.peer):
            by = f"to the same next hop by {one.device}" if one.via or one.via6 else f"by {one.device}"
            yield error(
                "paths-are-one",
                of_path(other.path),
                f"It leaves {by}, as path {one.path} does.",
                "What is measured of one is true of both, and a switch between them moves nothing.",
                do(f"Remove one of the two from the file, or give {other.path} a device or next hop of its own."),
            )
        elif (
            endpoints[one.path] and endpoints[one.path] == endpoints[other.path] and pops[one.path] != pops[other.path]
        ):
            yield warning(
                "same-endpoint",
                of_path(other.path, "dev"),
                f"{one.device} and {other.device} send their outer packets to one address, {endpoints[one.path]}.",
                f"PoPs {pops[one.path]} and {pops[other.path]} are one machine, or behind one: they fail together.",
                do(f"Give {other.device} the endpoint of {pops[other.path]}, or make both paths those of one PoP."),
            )
    told: set[PathId] = set()
    for together, name in together_on(settings, based(machine.main.devices, machine.underlays)):
        told.update(together)
        yield warning(
            "uplink-shared",
            f"paths {', '.join(together)}",
            f"{all_of(together)} leave by {name}, so they fail together.",
            "steerd takes them for independent, and may keep a standby that dies with the path in use.",
            put(f'uplink = "{name}"'),
        )
    yield from _priced(config, machine, told)


def _priced(config: Config, machine: Machine, told: Collection[PathId]) -> Iterator[Finding]:
    """Beside those paths that are told already to name their uplink."""
    names = [uplink.name for uplink in config.uplinks]
    for name in names:
        if name not in machine.main.devices:
            yield warning(
                "uplink-missing",
                f"uplink {name}, name",
                f"Device {name} does not exist.",
                "What goes over it is not counted.",
                do(f"Bring {name} up, or give the [[uplink]] the name of its device, and its paths too."),
            )
    for path in config.route.paths:
        under = machine.underlays.get(path.device)
        if under is not None and under.device in names and path.uplink != under.device and path.path not in told:
            yield warning(
                "uplink-unnamed",
                of_path(path.path, "uplink"),
                f"{path.device} sends its outer packets by {under.device}.",
                f"What the [[uplink]] {under.device} costs is not charged to this path.",
                put(f'uplink = "{under.device}"'),
            )


def _way(path: RoutePath) -> tuple[str, str, str]:
    return path.device, path.via or "", path.via6 or ""


def _endpoint(machine: Machine, path: RoutePath) -> str:
    """Where the outer packets of the path's device go; empty: nowhere in particular."""
    if device := machine.wireguard.get(path.device):
        found = {peer.endpoint for peer in device.peers.values()}
        return found.pop() if len(found) == 1 else ""
    known = machine.main.devices.get(path.device)
    return known.remote if known else ""
