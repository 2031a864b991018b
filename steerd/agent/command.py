"""A program that prints the load: without a shell, for a time, and only so much is read of what it prints."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from steerd.agent.error import LoadError

OUTPUT_MAX: Final = 4096
"""Bytes that it may print."""
_GLANCE: Final = 0.1
"""Seconds between two looks whether it has ended: what it left behind may hold its output open for ever."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def output(command: Sequence[str], timeout: float) -> str:
    """What it prints on its standard output. When it has ended, or after ``timeout`` seconds, all that it started in
    its session is killed. Blocks, for a thread. LoadError: it cannot be run, fails, takes too long, prints too much."""
    name, deadline = command[0], time.monotonic() + timeout
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={"PATH": _PATH},
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise LoadError(f"{name} cannot be run: {error}") from error
    try:
        said = _said(process, deadline)
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise LoadError(f"{name} was killed after {timeout:g} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code:
        raise LoadError(f"{name}: {f'exit code {code}' if code > 0 else f'signal {-code}'}")
    try:
        return said.decode()
    except UnicodeDecodeError:
        raise LoadError(f"{name} printed no UTF-8 text") from None


def _said(process: "subprocess.Popen[bytes]", deadline: float) -> bytes:
    """What comes until it ends. TimeoutError."""
    if process.stdout is None:
        raise LoadError("has no pipe")
    said = b""
    with selectors.DefaultSelector() as selector, process.stdout as stdout:
        selector.register(stdout, selectors.EVENT_READ)
        while (wait := deadline - time.monotonic()) > 0.0:
            over = process.poll() is not None  # then what is in the pipe is read, and no end of it awaited
            if selector.select(0.0 if over else min(wait, _GLANCE)):
                more = os.read(stdout.fileno(), OUTPUT_MAX)
                said += more
                if len(said) > OUTPUT_MAX:
                    raise LoadError(f"it printed more than {OUTPUT_MAX} bytes")
                if not more:
                    return said
            elif over:
                return said
    raise TimeoutError
