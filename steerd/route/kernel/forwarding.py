"""Whether this machine forwards at all what comes in by a device."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from steerd.config.family import IPV4

_ROOT: Final = Path("/proc/sys")


def read(protocol: str, device: str, key: str) -> str:
    """A device's sysctl; empty: there is no such device now, or no such protocol."""
    try:
        return (_ROOT / "net" / protocol / "conf" / device / key).read_text().strip()
    except OSError:
        return ""


def stopped(family: int, device: str, conf: Callable[[str, str, str], str] = read) -> str | None:
    """The sysctl that keeps packets of the family which come in by the device from being forwarded; None: none does.
    In IPv4 the device's own counts, which that of all sets too; in IPv6 that of all, unless the device's overrules it
    (since Linux 6.17). ``conf`` says what they are, as `read` does."""
    if family == IPV4:
        if conf("ipv4", device, "forwarding") != "0":
            return None
        everywhere = conf("ipv4", "all", "forwarding") == "0"
        return "net.ipv4.ip_forward" if everywhere else name("ipv4", device, "forwarding")
    if conf("ipv6", "all", "forwarding") != "0" or conf("ipv6", device, "force_forwarding") == "1":
        return None
    return name("ipv6", "all", "forwarding")


def name(protocol: str, device: str, key: str) -> str:
    """What `sysctl` calls it, which spells a dot within a device's name as a slash."""
    return f"net.{protocol}.conf.{device.replace('.', '/')}.{key}"
