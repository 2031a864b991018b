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

from steerd.machine.record import Listener, Process
from steerd.route.around.networkd import command

_NETWORK_MANAGER: Final = "run/NetworkManager/devices"
_LISTENS: Final = "0A"  # TCP_LISTEN
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_ANCESTORS: Final = 16
_CAPABILITIES: Final = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW"}


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


def session(environment: Mapping[str, str], process: Path = Path("/proc/self")) -> str:
    """The address that the SSH session came from which this process is of; empty: it is of none. `sudo` hides that from
    whom it starts, so the processes that led here are asked, as far as we may."""
    for _ in range(_ANCESTORS):
        words = (environment.get("SSH_CONNECTION") or environment.get("SSH_CLIENT") or "").split()
        with suppress(ValueError, IndexError):
            return "" if "%" in words[0] else str(ip_address(words[0]))
        try:
            parent = re.search(r"^PPid:\s*(\d+)", (process / "status").read_text(), re.MULTILINE)
            process = process.parent / (parent[1] if parent else "0")
            pairs = (
                one.partition("=") for one in (process / "environ").read_bytes().decode(errors="replace").split("\0")
            )
        except OSError:
            return ""
        environment = {name: value for name, _, value in pairs}
    return ""


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
