"""Whether this machine forwards at all what comes in by a device."""

from pathlib import Path
from typing import Final

from steerd.config.settings import IPV4

_ROOT: Final = Path("/proc/sys")


def stopped(family: int, device: str) -> str | None:
    """The sysctl that keeps packets of the family which come in by the device from being forwarded; None: none does.
    In IPv4 the device's own counts, which that of all sets too; in IPv6 that of all, unless the device's overrules it
    (since Linux 6.17)."""
    if family == IPV4:
        if not _off("ipv4", device, "forwarding"):
            return None
        return "net.ipv4.ip_forward" if _off("ipv4", "all", "forwarding") else _name("ipv4", device, "forwarding")
    if not _off("ipv6", "all", "forwarding") or _read("ipv6", device, "force_forwarding") == "1":
        return None
    return _name("ipv6", "all", "forwarding")


def _off(protocol: str, device: str, key: str) -> bool:
    return _read(protocol, device, key) == "0"


def _read(protocol: str, device: str, key: str) -> str:
    try:
        return (_ROOT / "net" / protocol / "conf" / device / key).read_text().strip()
    except OSError:  # no such device now, or no such protocol
        return ""


def _name(protocol: str, device: str, key: str) -> str:
    # As sysctl spells a dot within a name.
    return f"net.{protocol}.conf.{device.replace('.', '/')}.{key}"
