"""Where a lab lives: its own network, mount and process namespaces, which end with its processes.

`enclose` is called early in a process' life and returns in a child only: there the process is root (of a user namespace
if it was not root before), sees a network without any device, its own ``/proc`` and an empty ``/run``. Whatever it
makes, namespaces, devices, routes, files under ``/run``, processes, ends with it: nothing has to be cleaned up.

`run` does that for a function of a module, from a test: ``run("tests.lab.probe_scene:accuracy", 100)``.
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

RUN = Path("/run/steerd-lab")  # the lab's files; a tmpfs of its own

_NEW_NETWORK, _NEW_PROCESSES, _NEW_USER, _NEW_MOUNTS = 0x40000000, 0x20000000, 0x10000000, 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18
_PR_SET_PDEATHSIG = 1
_GRACE = 10  # seconds between asking the lab to end and ending it
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The lab cannot be built here. The message is for the person who started it."""


def enclose() -> None:
    """Go on in a child inside; the caller waits for it and exits as it does, and never returns. SIGTERM and SIGHUP
    reach the child as SIGINT. Raises `LabError` where the kernel refuses."""
    user, group = os.geteuid(), os.getegid()
    # stdio buffers would be written by both.
    sys.stdout.flush()
    sys.stderr.flush()
    spaces = _NEW_NETWORK | _NEW_MOUNTS | _NEW_PROCESSES
    if _libc.unshare(spaces) != 0:
        if _libc.unshare(spaces | _NEW_USER) != 0:
            raise LabError(
                "the lab needs network namespaces: run it as root, or allow user namespaces"
                f" (unshare: {os.strerror(ctypes.get_errno())})"
            )
        _map_to_root(user, group)
    child = os.fork()
    if child:
        _stand_by(child)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Out of the terminal's foreground: a Ctrl-C comes once, by the parent.
    os.setsid()
    # What a shell starts in the background ignores it; here it is what ends the lab.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _hide_mounts()
    with contextlib.suppress(LabError):  # refused in some containers; there the old one serves
        _mount("proc", "/proc", "proc", 0)
    _mount("tmpfs", "/run", "tmpfs", 0)
    Path("/run/netns").mkdir()
    RUN.mkdir()
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where users do not look by default
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def run(function: str, *arguments: Any, timeout: float = 180.0) -> Any:
    """Call ``module:function`` with JSON arguments in an enclosure of its own; returns what it returned. Raises
    `LabError` with the end of its standard error if it failed or took longer than ``timeout`` seconds."""
    command = [sys.executable, "-m", __name__, function, json.dumps(arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            raise LabError(f"{function} took longer than {timeout:g} s\n{output[-1000:]}{errors[-3000:]}") from None
    if process.returncode != 0:
        raise LabError(f"{function} failed\n{output[-1000:]}{errors[-3000:]}")
    return json.loads(output.splitlines()[-1])


def _map_to_root(user: int, group: int) -> None:
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise LabError(f"this system does not let users make user namespaces: run the lab as root ({error})") from None


def _hide_mounts() -> None:
    """Nobody outside sees what is mounted from now on."""
    try:
        _mount("none", "/", "none", _MS_REC | _MS_PRIVATE)
    except LabError:
        # In a plain chroot the root is no mount, so nothing can be asked of it. It becomes one, on top of a mount that
        # can be hidden.
        here = Path.cwd()
        _mount("none", "/proc", "none", _MS_PRIVATE)
        _mount("/", "/proc", "none", _MS_BIND | _MS_REC)
        os.chroot("/proc")
        os.chdir(here)
        _mount("none", "/", "none", _MS_REC | _MS_PRIVATE)


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    if _libc.mount(source.encode(), target.encode(), kind.encode(), flags, None) != 0:
        raise LabError(f"the lab cannot mount {kind} on {target}: {os.strerror(ctypes.get_errno())}")


def _stand_by(child: int) -> None:
    received = 0

    def forward(number: int, _: FrameType | None) -> None:
        nonlocal received
        os.kill(child, signal.SIGINT)
        if not received:
            signal.alarm(_GRACE)
        received = received or number

    def give_up(_: int, __: FrameType | None) -> None:
        os.kill(child, signal.SIGKILL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    signal.signal(signal.SIGALRM, give_up)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(128 + received if received else code if code >= 0 else 128 - code)


def _main() -> None:
    function, arguments = sys.argv[1:]
    enclose()
    # What the function prints goes to standard error: standard output carries the result alone.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, name = function.partition(":")
    value = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    print(json.dumps(value), file=result, flush=True)


if __name__ == "__main__":
    try:
        _main()
    except LabError as problem:
        sys.exit(str(problem))
