"""Whether systemd-networkd runs here and is free to remove what it did not write itself."""

import re
from collections.abc import Iterator
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Final, NamedTuple

_KEYS: Final = ("ManageForeignRoutingPolicyRules", "ManageForeignRoutes", "ManageForeignNextHops")
"""networkd.conf(5). With yes, the default, networkd removes what it does not know whenever it configures a link."""
_FOLDERS: Final = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")
_NO: Final = {"no", "false", "off", "0"}
DROP_IN: Final = "/etc/systemd/networkd.conf.d/steerd.conf"
RESTARTING: Final = "systemctl restart systemd-networkd"
_NEXTHOPS: Final = "ManageForeignNextHops"
_KNOWS_NEXTHOPS: Final = 256
"""The version of systemd that has this key. Earlier ones remove nexthops whatever they are told."""
_LIBRARY: Final = "libsystemd-shared-*.so"
"""Of this version, in a folder of its own; networkd is of the same."""
_COMM: Final = "systemd-network"
"""systemd-networkd as the kernel calls it: 15 characters."""


class Removes(NamedTuple):
    """What of others systemd-networkd removes: ``writing`` its drop-in, and `RESTARTING` it, keep it from some of
    that (empty: there is nothing to keep it from); ``old``: its version, if it removes nexthops whatever it is told
    and we have some (0: it does not)."""

    writing: str = ""
    old: int = 0


def removes(root: Path = Path("/"), *, nexthops: bool = True) -> Removes | None:
    """None: it does not run. Only files under ``root`` are read. ``nexthops``: we have nexthop objects."""
    if _COMM not in running(root):
        return None
    version = _version(root)
    knows = version is None or version >= _KNOWS_NEXTHOPS
    settings = _settings(root)
    free = [key for key in _KEYS if settings.get(key, "yes").strip().lower() not in _NO]
    free = [key for key in free if key != _NEXTHOPS or (knows and nexthops)]
    lines = "\\n".join(["[Network]", *(f"{key}=no" for key in free)])
    return Removes(f"printf '{lines}\\n' >{DROP_IN}" if free else "", 0 if knows or not nexthops else version or 0)


def networkd_advice(root: Path = Path("/"), *, nexthops: bool = True) -> str | None:
    """As `removes`: what to do so that it keeps the rules, routes and nexthops of others, in one line; None: it does
    not run, or has nothing to remove."""
    found = removes(root, nexthops=nexthops)
    if found is None:
        return None
    advice = []
    if found.writing:
        advice.append(
            f"systemd-networkd removes what it does not know; `{found.writing}` and `{RESTARTING}` keep it from that"
        )
    if found.old:
        advice.append(
            f"systemd-networkd {found.old} removes nexthops of others whatever it is told, and traffic stops for some "
            "50 ms whenever it configures a link: route.nexthop_objects = false does without them"
        )
    return "; ".join(advice) or None


def command(process: Path) -> str:
    """What the kernel calls a process (proc(5): comm, at most 15 characters), by its folder; empty: it has ended."""
    return _read(process / "comm").strip()


def running(root: Path) -> set[str]:
    """What the kernel calls the processes that run."""
    return {command(process) for process in (root / "proc").glob("[0-9]*")}


def _version(root: Path) -> int | None:
    """Of the systemd that is installed; None: not to be seen."""
    found = (
        re.search(r"-shared-(\d+)", library.name)
        for folder in ("lib/systemd", "lib64/systemd", "lib/*/systemd")
        for library in (root / "usr").glob(f"{folder}/{_LIBRARY}")
    )
    return max((int(one[1]) for one in found if one), default=None)


def _settings(root: Path) -> dict[str, str]:
    """As networkd.conf(5) says: one networkd.conf, then drop-ins by name, of one name the first; the last word wins."""
    main = next((path for folder in _FOLDERS if (path := root / folder / "networkd.conf").is_file()), None)
    drop_ins: dict[str, Path] = {}
    for folder in _FOLDERS:
        for path in (root / folder / "networkd.conf.d").glob("*.conf"):
            drop_ins.setdefault(path.name, path)
    found: dict[str, str] = {}
    for path in [*([main] if main else []), *(drop_ins[name] for name in sorted(drop_ins))]:
        found.update(_network(_read(path)))
    return found


def _network(text: str) -> Iterator[tuple[str, str]]:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    try:
        parser.read_string(text)
    except Error:
        return
    if parser.has_section("Network"):
        yield from parser.items("Network")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
