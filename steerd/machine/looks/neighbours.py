"""Other programs that think the same devices, routes or rules theirs."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from steerd.config.settings import Config
from steerd.machine.finding import Finding, as_written, put, warning
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
            as_written(f"mkdir -p {Path(DROP_IN).parent}", found.writing, RESTARTING),
        )
    if found and found.old and config.route.nexthop_objects and config.route.policies:
        yield warning(
            "networkd-nexthops",
            "systemd-networkd",
            f"systemd-networkd {found.old} removes nexthops of others whatever it is told.",
            "Whenever it configures a link, traffic stops for some 50 ms.",
            put("route.nexthop_objects = false"),
        )
    tunnels = [
        path.device
        for path in config.route.paths
        if path.device in machine.managed
        and (device := machine.main.devices.get(path.device))
        and not device.hardware
        and _MANAGER in machine.programs
    ]
    if names := list(dict.fromkeys(tunnels)):
        listed = ";".join(f"interface-name:{name}" for name in names)
        lines = f"[keyfile]\\nunmanaged-devices+={listed}\\n"
        yield warning(
            "networkmanager-has-it",
            f"{'devices' if len(names) > 1 else 'device'} {', '.join(names)}",
            f"NetworkManager manages {', '.join(names)}.",
            "It may give a tunnel routes of its own, and take its addresses away.",
            as_written(f"printf {quote(lines)} >{_UNMANAGED}", "nmcli general reload"),
        )
