"""A hook that is a program: a notice on its standard input, and no shell."""

import os
import pwd
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from steerd.hooks.notice import HookError
from steerd.text.lines import printable

_KEPT: Final = 2048
"""Bytes of what it says on standard error that are told when it fails."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED: Final = ("LANG", "LC_ALL", "TZ")


def run(command: Sequence[str], body: bytes, *, user: str, timeout: float) -> None:
    """Run it as ``user`` (empty: as ourselves), with nothing of our environment, for ``timeout`` seconds at most; then
    it is killed with all that it started in its session. What it prints is read and forgotten. HookError: it could not
    be run, failed, or took too long."""
    environment = {"PATH": _PATH, **{name: os.environ[name] for name in _PASSED if name in os.environ}}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            cwd="/",
            start_new_session=True,
            **_identity(user),
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise HookError(f"cannot be run: {error}") from error
    deadline = time.monotonic() + timeout
    try:
        said = _talk(process, body, deadline)
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise HookError(f"was killed after {timeout:g} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise HookError(f"{how}: {said}" if said else how)


def _identity(user: str) -> dict[str, Any]:
    if not user:
        return {}
    try:
        known = pwd.getpwnam(user)
    except KeyError:
        raise HookError(f"there is no user {user}") from None
    return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}


def _talk(process: "subprocess.Popen[bytes]", body: bytes, deadline: float) -> str:
    """Hand over the notice and read what comes until the end. Returns the last line of it. TimeoutError."""
    stdin, stderr = process.stdin, process.stderr
    if stdin is None or stderr is None:
        raise HookError("has no pipes")
    with selectors.DefaultSelector() as selector, stdin, stderr:
        os.set_blocking(stdin.fileno(), False)
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stderr, selectors.EVENT_READ)
        left, said, reading = memoryview(body), b"", True
        while reading or left:
            wait = deadline - time.monotonic()
            if wait <= 0.0:
                raise TimeoutError
            for key, _ in selector.select(wait):
                if key.fileobj is stdin:
                    try:
                        left = left[os.write(stdin.fileno(), left) :]
                    except OSError:  # it does not want to know
                        left = left[:0]
                    if not left:
                        selector.unregister(stdin)
                        stdin.close()
                else:
                    news = os.read(stderr.fileno(), 65_536)
                    said = (said + news)[-_KEPT:]
                    if not news:
                        selector.unregister(stderr)
                        reading = False
    lines = said.decode(errors="replace").split("\n")
    return printable(next((line for line in reversed(lines) if line.strip()), "").strip())
