"""A filter on TCP: what is for one port."""

import socket
from typing import Final

from steerd.net.bpf import JEQ, KEEP, NEXT, RET, assemble, attach, transport

_DESTINATION_PORT: Final = 2


def to_port(sock: socket.socket, family: int, port: int) -> None:
    """Let this raw TCP socket get what is for ``port`` only."""
    load = transport(family)
    program = [*load.begin, (load.h, _DESTINATION_PORT), (JEQ, port, NEXT, "drop"), (RET, KEEP), "drop", (RET, 0)]
    attach(sock, assemble(program))
