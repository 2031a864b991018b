"""Network namespaces, and processes in them. Inside an enclosure only: nothing here cleans up after itself."""

import ctypes
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steerd.lab.enclosure import LabError

_NEW_NETWORK = 0x40000000
_PATIENCE = 60.0  # seconds, on an emulated processor too
_libc = ctypes.CDLL(None, use_errno=True)


def ip(commands: str, namespace: str | None = None) -> None:
    """Run `ip` commands in one batch: a line each, without the word ``ip``. Raises `LabError` if one fails."""
    lines = "\n".join(line.strip() for line in commands.splitlines())
    inside = ["-n", namespace] if namespace else []
    _run(["ip", *inside, "-batch", "-"], f"ip in {namespace or 'the lab'}", lines)


def add(*namespaces: str) -> None:
    """Make namespaces with their loopback up. Raises `LabError`."""
    for namespace in namespaces:
        _run(["ip", "netns", "add", namespace], f"ip netns add {namespace}")
        ip("link set lo up", namespace)


def command(namespace: str, argv: Sequence[str]) -> list[str]:
    """``argv`` as it is started in a namespace: same process id, same mounts."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *argv]


def spawn(namespace: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process in a namespace, in its own session: Ctrl-C is the lab's. ``options``: `subprocess.Popen`'s."""
    return subprocess.Popen(command(namespace, argv), start_new_session=True, **options)


def enter(namespace: str) -> None:
    """Move the calling thread into a namespace."""
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _libc.setns(handle, _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")
    finally:
        os.close(handle)


def sysctl(namespace: str, **values: int) -> None:
    """Set sysctls under ``net``, with ``__`` for the dots: ``sysctl("gw", ipv4__ip_forward=1)``. Raises `LabError`."""
    script = "".join(
        f"echo {value} > {Path('/proc/sys/net') / name.replace('__', '/')}\n" for name, value in values.items()
    )
    _run(command(namespace, ["sh", "-ec", script]), f"sysctl in {namespace}")


def _run(argv: Sequence[str], what: str, given: str = "") -> None:
    try:
        done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(argv)} did not return within {_PATIENCE:g} s") from None
    if done.returncode != 0:
        raise LabError(f"{what}: {done.stderr.strip()}")
