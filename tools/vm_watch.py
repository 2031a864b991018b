"""usage: tools/vm_watch.py CONSOLE MONITOR RESULT COMMAND...: runs qemu and ends it where its guest does not go on.

The guest writes a line to its console every 5 s. Without any for VM_SILENCE seconds (90) it is frozen, not slow: what
can be learned of it is printed, and qemu is ended with exit code 71. So it is after VM_SECONDS (600). A guest that has
left its RESULT and does not switch itself off in a minute is ended too, which is no failure.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FROZEN = 71
LOOK = 1.0
"""Seconds between two looks. Looks are counted, not the clock: what this machine itself stands still is one look."""
FAREWELL = 60
PATIENCE = 5.0  # with qemu's monitor, and for it to end


def watch(console: Path, monitor: Path, result: Path, command: list[str], *, silence: int, limit: int) -> int:
    """Its exit code, or ``FROZEN``."""
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        size, silent, since_result = 0, 0, 0
        for _ in range(limit):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return qemu.wait(LOOK)
            now = console.stat().st_size if console.exists() else 0
            size, silent = now, 0 if now != size else silent + 1
            since_result += result.exists() and result.stat().st_size > 0
            if since_result >= FAREWELL:
                _say("the VM did not switch itself off; its result is there, so it is ended")
                return 0
            if silent >= silence:
                _say(f"the VM is FROZEN: not a word on its console for {silence} s")
                break
        else:
            _say(f"the VM took longer than {limit} s")
        for line in _learn(qemu.pid, monitor):
            _say(line)
        return FROZEN
    finally:
        _end(qemu)


def _learn(pid: int, monitor: Path) -> Iterator[str]:
    """What qemu's threads do, where its processors are, and, on the console, what an NMI makes the kernel tell."""
    before = _ticks(pid)
    time.sleep(LOOK)
    after = _ticks(pid)
    for name, ticks in sorted(after.items()):
        yield f"  thread {name}: {ticks - before.get(name, ticks)} ticks of processor time in {LOOK:g} s"
    for command in ("info status", "info registers -a", "nmi"):
        answer = _ask(monitor, command)
        found = re.findall(r"VM status.*|CPU#\d+|[RE]IP=\S+|HLT=\d", answer)
        yield f"  {command}: {' '.join(found) or ('done' if answer else 'no answer')}"
    time.sleep(PATIENCE)


def _ticks(pid: int) -> dict[str, int]:
    """By thread: its name and state, and the processor time that it has had."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            head, _, tail = task.read_text().rpartition(")")
            fields = tail.split()
            found[f"{head.replace(' (', ' ')}"] = int(fields[11]) + int(fields[12])
    return found


def _ask(monitor: Path, command: str) -> str:
    """What qemu's monitor answers; nothing if it does not."""
    text = b""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as end:
        end.settimeout(PATIENCE)
        end.connect(str(monitor))
        while not text.endswith(b"(qemu) "):
            text += end.recv(4096) or b"(qemu) "
        text = b""
        end.sendall(command.encode() + b"\n")
        while not text.endswith(b"(qemu) "):
            text += end.recv(4096) or b"(qemu) "
    return text.decode(errors="replace")


def _end(qemu: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if qemu.poll() is None:
            qemu.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                qemu.wait(PATIENCE)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _main() -> int:
    console, monitor, result, *command = sys.argv[1:]
    limits = {"silence": int(os.environ.get("VM_SILENCE", "90")), "limit": int(os.environ.get("VM_SECONDS", "600"))}
    return watch(Path(console), Path(monitor), Path(result), command, **limits)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(_main() if len(sys.argv) > 4 else __doc__)
