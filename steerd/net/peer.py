"""Who asks: the user behind a connection to the control socket, as the kernel knows it (unix(7), SO_PEERCRED)."""

import pwd
import socket
import struct
from contextvars import ContextVar
from typing import Final

_CREDENTIALS: Final = struct.Struct("=iII")  # struct ucred: process, user, group

PEER: Final[ContextVar[str]] = ContextVar("peer", default="")
"""Whose request is being answered, in words; empty: nobody's."""


def of(connection: socket.socket) -> str:
    """Name and number of the user, and the process: what was typed where can be found by that. Empty: not known."""
    try:
        process, user, _ = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
    except OSError:
        return ""
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # no such user here: a container's, say
        name = "user"
    return f"{name} (uid {user}, pid {process})"
