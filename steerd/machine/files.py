"""What files and /proc say of this machine: other programs, their settings, and who listens. Only reads."""

import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from steerd.machine.record import Listener, Process, QuickFile
from steerd.route.around.networkd import command

_QUICK: Final = "etc/wireguard"
_NETWORK_MANAGER: Final = "run/NetworkManager/devices"
_LISTENS: Final = "0A"  # TCP_LISTEN
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_CAPABILITIES: Final = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW"}


def quick_files(root: Path) -> dict[str, QuickFile]:
    """wg-quick's files, by device. Raises `OSError`: they are not ours to read."""
    folder = root / _QUICK
    if not folder.is_dir():
        return {}
    found = sorted(one for one in folder.iterdir() if one.suffix == ".conf")
    return {one.stem: QuickFile(str(one), table(one.read_text(errors="replace"))) for one in found}


def table(text: str) -> str:
    """What ``Table`` of a wg-quick file says, in lower case; empty: nothing."""
    section, found = "", ""
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if words.startswith("["):
            section = words.lower()
        key, _, value = words.partition("=")
        if section == "[interface]" and key.strip().lower() == "table":
            found = value.strip().lower()
    return found


def managed(root: Path, devices: Mapping[int, str]) -> frozenset[str]:
    """Devices that NetworkManager manages, as its state files say."""
    found = set()
    for index, name in devices.items():
        with suppress(OSError):
            if "managed=true" in (root / _NETWORK_MANAGER / str(index)).read_text(errors="replace").split():
                found.add(name)
    return frozenset(found)


def programs(root: Path) -> frozenset[str]:
    """What the kernel calls the processes of this network namespace, as far as we may know which theirs is."""
    ours = _namespace(root / "proc" / "self")
    found = ((command(one), _namespace(one)) for one in (root / "proc").glob("[0-9]*"))
    return frozenset(name for name, theirs in found if name and theirs in (ours, ""))


def _namespace(process: Path) -> str:
    try:
        return str((process / "ns" / "net").readlink())
    except OSError:
        return ""


def capable() -> frozenset[str]:
    """Which of the capabilities that steerd needs this process has."""
    status = Path("/proc/self/status").read_text()
    bits = int(re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]
    return frozenset(name for bit, name in _CAPABILITIES.items() if bits >> bit & 1)


def listeners() -> Iterator[Listener]:
    """Who listens by TCP in this network namespace."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/thread-self/net", name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENS:
                    address, _, port = words[1].partition(":")
                    yield Listener(_address(address), int(port, 16), int(words[9]))


def _address(text: str) -> str:
    """From /proc, which prints words of four bytes in the machine's order."""
    count = len(text) // 8
    return str(ip_address(struct.pack(f"!{count}I", *struct.unpack(f"={count}I", bytes.fromhex(text)))))


def daemon(control: Path) -> int:
    """The process that listens at a control socket; 0: none, or we may not ask."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(control))
        except OSError:
            return 0
        return int(_CREDENTIALS.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def in_the_way(control: Path) -> str:
    """What is where a control socket would be, in words; empty: it can be made, or we may not look."""
    with suppress(PermissionError):
        if control.exists() and not control.is_socket():
            return f"{control} exists, and is no socket"
        above = next(one for one in control.absolute().parents if one.exists())
        return "" if above.is_dir() else f"{above} is no folder"
    return ""


def holders(inodes: Iterable[int]) -> dict[int, Process]:
    """The processes that have these sockets, as far as we may know."""
    wanted = frozenset(inodes)
    found: dict[int, Process] = {}
    for folder in Path("/proc").glob("[0-9]*") if wanted else ():
        with suppress(OSError):
            for inode in _sockets(folder) & wanted:
                found[inode] = Process(int(folder.name), command(folder), folder.stat().st_uid)
    return found


def _sockets(process: Path) -> AbstractSet[int]:
    found = set()
    for one in (process / "fd").iterdir():
        with suppress(OSError):
            if at := _SOCKET.fullmatch(str(one.readlink())):
                found.add(int(at[1]))
    return found
