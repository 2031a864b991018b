"""The devices that paths leave by and policies' packets come in by."""

import difflib
from collections.abc import Iterator, Sequence

from steerd.config.family import IPV6
from steerd.config.probe_settings import ProbePath
from steerd.config.route_settings import RoutePath
from steerd.config.settings import Config
from steerd.machine.finding import Cure, Finding, as_written, do, error, of_path, of_policy, put, run, warning
from steerd.machine.looks.tunnels import quick_name, table_off
from steerd.machine.record import Machine, QuickFile
from steerd.route.kernel.forwarding import name
from steerd.route.model import prefixes

_NEAR = 0.6
_NAMED = 8


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Devices that are missing, down or no way out, and addresses to probe from that are not there."""
    for path in config.route.paths:
        yield from _device(config, machine, path)
    for probed in config.probe.paths:
        yield from _sources(machine, probed)
    for policy in config.route.policies:
        for device in policy.iifs:
            if device not in machine.main.devices:
                near = _near(config, machine, device, policy.iifs)
                listed = ", ".join(f'"{near if one == device else one}"' for one in policy.iifs)
                yield error(
                    "input-missing",
                    of_policy(policy.policy, "iif"),
                    f"Device {device} does not exist.",
                    "Nothing comes in by it, so the policy steers nothing of it.",
                    put(f"iif = [{listed}]") if near else _there(config, machine, device),
                )


def _device(config: Config, machine: Machine, path: RoutePath) -> Iterator[Finding]:
    place, device = of_path(path.path, "dev"), machine.main.devices.get(path.device)
    if device is None:
        near = _near(config, machine, path.device)
        yield error(
            "device-missing",
            place,
            f"Device {path.device} does not exist.",
            "No packet can leave by this path until it is there.",
            _up(path.device, machine.quick[path.device])
            if path.device in machine.quick
            else put(f'dev = "{near}"')
            if near
            else _there(config, machine, path.device),
        )
        return
    if not device.up:
        off = path.device not in machine.enabled
        yield error(
            "device-down",
            place,
            f"Device {path.device} is down." if off else f"Device {path.device} has no carrier.",
            "No packet can leave by this path until it is up.",
            run(f"ip link set {path.device} up")
            if off
            else do(f"See to its cable, or to its other end: `ip link show {path.device}` says NO-CARRIER."),
        )
    bridge = next((one for one in machine.main.devices.values() if one.index == device.master and one.bridge), None)
    if bridge is not None:
        yield error(
            "device-is-a-port",
            place,
            f"Device {path.device} is a port of bridge {bridge.name}.",
            "A port has no routes of its own: packets leave by the bridge.",
            put(f'dev = "{bridge.name}"'),
        )
    where = "all" if machine.sysctl("ipv6", "all", "disable_ipv6") == "1" else path.device
    off6 = machine.sysctl("ipv6", path.device, "disable_ipv6") == "1"
    if device.up and off6 and IPV6 in path.families and _sends(config, path, IPV6):
        yield warning(
            "ipv6-off",
            place,
            f"IPv6 is switched off on {path.device}.",
            "IPv6 of the policies that use this path goes nowhere while it is their choice.",
            run(f"sysctl -w {name('ipv6', where, 'disable_ipv6')}=0"),
        )


def _up(device: str, quick: QuickFile) -> Cure:
    """Without routes of wg-quick's own."""
    commands = (table_off(quick), f"wg-quick up {quick_name(device, quick)}")
    return as_written(*filter(None, commands))


def _sends(config: Config, path: RoutePath, family: int) -> bool:
    """Whether any policy that may use the path has prefixes of the family."""
    return any(
        prefixes.of_family(policy.prefixes, family) and (policy.allowed is None or path.path in policy.allowed)
        for policy in config.route.policies
    )


def _near(config: Config, machine: Machine, device: str, named: Sequence[str] = ()) -> str:
    """The device that was meant, by its name; empty: none is near, or it is another path's, or ``named`` already."""
    free = [one for one in _free(config, machine) if one not in named]
    found = difflib.get_close_matches(device, free, n=1, cutoff=_NEAR)
    return found[0] if found else ""


def _free(config: Config, machine: Machine) -> list[str]:
    used = {path.device for path in config.route.paths}
    return sorted(machine.main.devices.keys() - used - {"lo"})


def _there(config: Config, machine: Machine, device: str) -> Cure:
    free = _free(config, machine)
    named = ", ".join(free[:_NAMED]) + (", ..." if len(free) > _NAMED else "")
    return do(f"Bring {device} up, or name a device of this machine: {named or 'there is no other'}.")


def _sources(machine: Machine, path: ProbePath) -> Iterator[Finding]:
    for target in path.targets:
        if target.source is None or target.source in machine.own or path.device not in machine.main.devices:
            continue
        key = "source6" if target.family == IPV6 else "source"
        own = [one for one in machine.addresses.get(path.device, ()) if one.version == target.family]
        better = next((str(one.ip) for one in own if not one.ip.is_link_local), "")
        yield error(
            "source-missing",
            of_path(path.path, key),
            f"{target.source} is not an address of this machine.",
            "No probe can be sent from it, so the path is never known to work.",
            put(f'{key} = "{better}"') if better else do(f"Give {path.device} this address, or leave {key} out."),
        )
