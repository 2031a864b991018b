"""A part of the lab as a process of its own, and the pipe by which the lab talks to it: a JSON object a line.

The lab's end is `Worker`; a worker's module runs `Inbox` in its own loop. A worker ends when the lab's end closes.
"""

import contextlib
import ctypes
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any

from steerd.lab import namespaces
from steerd.lab.enclosure import LabError

_PR_SET_TIMERSLACK = 29
_PATIENCE = 10.0  # seconds
_NICE = -15


class Worker:
    """Starts ``module`` in ``namespace`` and waits until it is ready. Raises `LabError` if that fails."""

    def __init__(self, namespace: str, module: str, setup: Mapping[str, Any]) -> None:
        self._module = module
        self._process = namespaces.spawn(
            namespace,
            [sys.executable, "-m", module, json.dumps(setup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def ask(self, **question: Any) -> Any:
        """What the worker answers. Raises `LabError` if it refuses, is gone, or does not answer."""
        try:
            pipe = _open(self._process.stdin)
            pipe.write(json.dumps(question) + "\n")
            pipe.flush()
        except OSError as error:
            raise LabError(f"{self._module} is gone: {error}") from None
        return self._answer()

    def close(self) -> None:
        """End the process, and wait for that."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                _open(pipe).close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        pipe = _open(self._process.stdout)
        ready, _, _ = select.select([pipe], [], [], _PATIENCE)
        line = pipe.readline() if ready else ""
        if not line:
            raise LabError(f"{self._module} {'does not answer' if not ready else 'ended'}")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"{self._module}: {answer['error']}")
        return answer["result"]


class Inbox:
    """A worker's end: standard input and output. ``answer`` makes a question's answer. Gives this process precise times
    too: first in line for the processor as far as allowed, with timers that are not rounded to save power."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        self._answer = answer
        self._read = b""
        self._say({"result": None})

    def fileno(self) -> int:
        """For `select`."""
        return 0

    def handle(self) -> None:
        """Answer what there is; call when readable. Exits the process when the lab has gone."""
        data = os.read(0, 1 << 16)
        if not data:
            sys.exit(0)
        *lines, self._read = (self._read + data).split(b"\n")
        for line in lines:
            try:
                self._say({"result": self._answer(json.loads(line))})
            except (OSError, KeyError, TypeError, ValueError) as error:
                self._say({"error": f"{type(error).__name__}: {error}"})

    def _say(self, message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def setup() -> dict[str, Any]:
    """What a worker's module was started with."""
    return dict(json.loads(sys.argv[1]))


def serve(main: Callable[[], None]) -> None:
    """Run a worker's module; what stops it is told to the lab."""
    try:
        main()
    except (LabError, OSError) as problem:
        print(json.dumps({"error": str(problem)}), flush=True)
        sys.exit(1)


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise LabError("a worker has no pipe")
    return pipe
