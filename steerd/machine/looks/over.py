"""Tunnels that the file leads over an uplink, and that are not."""

from collections.abc import Iterator

from steerd.config.settings import Config
from steerd.machine.finding import Finding, do, of_path, run, warning
from steerd.machine.record import Machine
from steerd.route.around.detours import detours
from steerd.route.around.gateways import learn


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """What the daemon would not do, as the machine is now."""
    marks = {name: device.mark for name, device in machine.wireguard.items()}
    hidden = any("WireGuard" in one.what for one in machine.unread)
    strict = {name for name in machine.main.devices if _rp_filter(machine, name) == "1"}
    silent = frozenset() if hidden else machine.main.devices.keys() - marks.keys()
    _, troubles = detours(config.route, learn(machine.main), marks, machine.rules, strict, silent)
    for path, why, cure, command in troubles:
        yield warning(
            "not-led-over",
            of_path(path, "over"),
            f"{why}.",
            "Its own packets go as main leads them, and the tunnel shares the fate of whatever uplink that is.",
            run(cure) if command else do(f"{cure[0].upper()}{cure[1:]}."),
        )


def _rp_filter(machine: Machine, device: str) -> str:
    """What is in effect: the larger of the device's and that of all."""
    return max(machine.sysctl("ipv4", name, "rp_filter") or "" for name in ("all", device))
