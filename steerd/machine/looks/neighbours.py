"""Other programs that think the same devices, routes or rules theirs."""

from collections.abc import Iterator
from pathlib import Path

from steerd.config.settings import Config
from steerd.machine.finding import Finding, of_path, put, run, warning
from steerd.machine.record import Machine
from steerd.route.around.networkd import DROP_IN, RESTARTING

_MANAGER = "NetworkManager"
_UNMANAGED = "/etc/NetworkManager/conf.d/90-steerd.conf"


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """systemd-networkd; and NetworkManager where it has a tunnel: what it does with uplinks, as DHCP, is wanted."""
    found = machine.networkd
    if found and found.writing and config.route.policies:
        yield warning(
            "networkd-removes",
            "systemd-networkd",
            "systemd-networkd removes routes and rules that it did not make.",
            "Whenever it configures a link, traffic stops until steerd has put its own back.",
            run(f"mkdir -p {Path(DROP_IN).parent}", found.writing, RESTARTING),
        )
    if found and found.old and config.route.nexthop_objects and config.route.policies:
        yield warning(
            "networkd-nexthops",
            "systemd-networkd",
            f"systemd-networkd {found.old} removes nexthops of others whatever it is told.",
            "Whenever it configures a link, traffic stops for some 50 ms.",
            put("route.nexthop_objects = false"),
        )
    for path in config.route.paths:
        device = machine.main.devices.get(path.device)
        if _MANAGER in machine.programs and path.device in machine.managed and device and not device.hardware:
            lines = f"[keyfile]\\nunmanaged-devices+=interface-name:{path.device}\\n"
            yield warning(
                "networkmanager-has-it",
                of_path(path.path, "dev"),
                f"NetworkManager manages {path.device}.",
                "It may give the tunnel routes of its own, and take its addresses away.",
                run(f"printf '{lines}' >>{_UNMANAGED}", "nmcli general reload"),
            )
