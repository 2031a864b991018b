"""Classic BPF: what the kernel asks of each packet before it is queued for a socket (linux/filter.h)."""

import ctypes
import socket
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from steerd.config.family import IPV4

LD_B, LD_H, LD_W = 0x30, 0x28, 0x20
"""Load a byte, two or four from this place of the packet, in the network's order."""
_LD_B_X, _LD_H_X, _LD_W_X = 0x50, 0x48, 0x40  # the same, from this place behind X
_LDX_HEADER_LENGTH: Final = 0xB1
_ATTACH_FILTER: Final = 26  # SO_ATTACH_FILTER
AND, LSH, ADD_X, TAX = 0x54, 0x64, 0x0C, 0x07
JEQ, RET = 0x15, 0x06

KEEP: Final = 0x40000
"""As many bytes of a packet as there may be; 0 drops it."""

NEXT: Final = ""
Instruction = tuple[int, int] | tuple[int, int, str, str] | str
"""What to do with which operand; where to go on if it is equal, and if not; or a label to go to."""


class Transport(NamedTuple):
    """How to load what comes behind the IP header, which a raw socket of IPv4 gets too, and one of IPv6 does not: what
    to ``begin`` with, and the instruction for a byte, two and four."""

    begin: list[Instruction]
    b: int
    h: int
    w: int


def transport(family: int) -> Transport:
    """Of this family: places count from the end of the IP header, of any length."""
    if family == IPV4:
        return Transport([(_LDX_HEADER_LENGTH, 0)], _LD_B_X, _LD_H_X, _LD_W_X)
    return Transport([], LD_B, LD_H, LD_W)


def assemble(program: Iterable[Instruction]) -> bytes:
    """The program as the kernel takes it: an array of struct sock_filter."""
    places: dict[str, int] = {}
    lines: list[tuple[int, int] | tuple[int, int, str, str]] = []
    for line in program:
        if isinstance(line, str):
            places[line] = len(lines)
        else:
            lines.append(line)
    code = b""
    for at, line in enumerate(lines):
        places[NEXT] = at + 1
        equal, other = (places[label] - at - 1 for label in line[2:]) if len(line) == 4 else (0, 0)
        code += struct.pack("HBBI", line[0], equal, other, line[1])
    return code


def attach(sock: socket.socket, program: bytes) -> None:
    """Have the kernel drop what ``program`` refuses, from now on: what came before is still queued."""
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions and where they are.
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
