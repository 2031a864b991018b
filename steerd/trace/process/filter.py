"""A classic BPF program: of all TCP that reaches this machine, what is for one port."""

import ctypes
import socket
import struct
from typing import Final

from steerd.trace.process.messages import IPV4

# linux/bpf_common.h, linux/filter.h, asm-generic/socket.h
_LDX_HEADER_LENGTH: Final = 0xB1
_LD_HALF: Final = 0x28
_LD_HALF_BEHIND_X: Final = 0x48
_JUMP_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_SO_ATTACH_FILTER: Final = 26

_DESTINATION_PORT: Final = 2
_WHOLE: Final = 0x40000


def to_port(sock: socket.socket, family: int, port: int) -> None:
    """Let this raw TCP socket get what is for ``port`` only. It sees IPv4 with the IP header, IPv6 without."""
    load = (
        [(_LDX_HEADER_LENGTH, 0, 0, 0), (_LD_HALF_BEHIND_X, 0, 0, _DESTINATION_PORT)]
        if family == IPV4
        else [(_LD_HALF, 0, 0, _DESTINATION_PORT)]
    )
    program = [*load, (_JUMP_EQUAL, 0, 1, port), (_RETURN, 0, 0, _WHOLE), (_RETURN, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("@HBBI", *line) for line in program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HL", len(program), ctypes.addressof(code)))
