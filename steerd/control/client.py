"""The other end of the control socket, for commands: one request, one answer, no event loop."""

import json
import socket
from typing import Any, Final

TIMEOUT: Final = 10.0


class NotThereError(Exception):
    """No daemon listens on the socket."""


def listening(path: str) -> bool:
    """Whether somebody listens on the socket, as far as we may know."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        try:
            connection.connect(path)
        except BlockingIOError:  # but has no time
            return True
        except OSError:
            return False
    return True


def ask(path: str, request: dict[str, Any], timeout: float = TIMEOUT) -> dict[str, Any]:
    """The daemon's answer, within so many seconds. NotThereError: there is no daemon; OSError: it does not answer, or
    not to us."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NotThereError(f"no daemon at {path}: is steerd running?") from error
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as file:
            line = file.readline()
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ConnectionError("the daemon closed the connection without an answer")
    return answer
