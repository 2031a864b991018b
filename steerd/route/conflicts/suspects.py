"""Who may have removed what was ours: for the log, never for a decision."""

from pathlib import Path
from typing import Final

from steerd.route.around.networkd import command, networkd_advice, running

_MANAGERS: Final = {
    "systemd-network": ("systemd-networkd", "{advice}"),
    "NetworkManager": ("NetworkManager", "let it leave the paths' devices alone (unmanaged-devices in its keyfile)"),
    "zebra": ("FRR", "let zebra keep to its own: `zebra nexthop proto only`, and no protocol number of steerd's"),
    "bird": ("BIRD", "its kernel protocol must not use steerd's tables"),
    "keepalived": ("keepalived", "its virtual_rules and virtual_routes must not use steerd's priorities and tables"),
    "dhcpcd": ("dhcpcd", "let it leave the paths' devices alone (denyinterfaces)"),
    "firewalld": ("firewalld", "FlushAllOnReload=no keeps it to its own tables"),
}
"""By the name that the kernel knows a process by (15 characters): what people call it, and what stops it."""


def suspects(port: int, root: Path = Path("/")) -> str:
    """Who removed it, as far as can be told, in one line, with what stops them where that is known. ``port`` is the
    netlink address that the removal came from, by habit the number of the process; 0: not known."""
    name = command(root / "proc" / str(port)) if port else ""
    if name:
        known = _MANAGERS.get(name)
        return f"it is {name} (process {port})" + (f": {_advice(known[1], root)}" if known else "")
    known_to = [_MANAGERS[one] for one in sorted(running(root) & _MANAGERS.keys())]
    if not known_to:
        return "no network manager known to do so runs here; perhaps a script"
    return "these may, and run here: " + "; ".join(f"{name} ({_advice(what, root)})" for name, what in known_to)


def _advice(words: str, root: Path) -> str:
    return words.format(advice=networkd_advice(root) or "but here it is told not to")
