"""Who may have removed what was ours: for the log, never for a decision."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from steerd.route.around.networkd import networkd_advice

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
    name = _name(root / "proc" / str(port)) if port else None
    if name:
        known = _MANAGERS.get(name)
        return f"it is {name} (process {port})" + (f": {_advice(known[1], root)}" if known else "")
    running = [_MANAGERS[one] for one in sorted(set(_processes(root)) & _MANAGERS.keys())]
    if not running:
        return "no network manager known to do so runs here; perhaps a script"
    return "these may, and run here: " + "; ".join(f"{name} ({_advice(what, root)})" for name, what in running)


def _advice(words: str, root: Path) -> str:
    return words.format(advice=networkd_advice(root) or "but here it is told not to")


def _processes(root: Path) -> Iterator[str]:
    for process in (root / "proc").glob("[0-9]*"):
        if name := _name(process):
            yield name


def _name(process: Path) -> str | None:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return None
