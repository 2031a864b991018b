"""The filters that the kernel runs on each packet of a raw socket: only answers to our own probes are queued."""

import contextlib
import ctypes
import socket
import struct

from steerd.config.settings import IPV4
from steerd.probe.wire.echo import ECHO, ECHO_REPLY, ERRORS, ICMP_HEADER, IDENTIFIER_MASK, IPV6_HEADER

_SO_ATTACH_FILTER = 26

# Classic BPF: load (absolute, or indexed by X), and, shift, add, jump if equal, return.
_LD_B_ABS, _LD_H_ABS, _LD_W_ABS = 0x30, 0x28, 0x20
_LD_B_IND, _LD_H_IND, _LD_W_IND = 0x50, 0x48, 0x40
_LDX_HEADER_LENGTH = 0xB1
_AND, _LSH, _ADD_X, _TAX = 0x54, 0x64, 0x0C, 0x07
_JEQ, _RET = 0x15, 0x06
_ACCEPT = 0xFFFF

# Of the TCP header: where things are, and its flags.
_TCP_SEQUENCE, _TCP_FLAGS = 4, 13
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10

_NEXT = ""
_Instruction = tuple[int, int] | tuple[int, int, str, str] | str
"""What to do with which operand; where to go on if it is equal, and if not; or a label to go to."""


def echo_filter(family: int, identifiers: int, tag: bytes) -> bytes:
    """A classic BPF program that accepts answers to our echo requests and errors that quote them.

    ``identifiers`` is the part of the identifier under `IDENTIFIER_MASK`.
    """
    (tag_word,) = struct.unpack("!I", tag)
    if family == IPV4:
        load_b, load_h, load_w = _LD_B_IND, _LD_H_IND, _LD_W_IND
        begin: list[_Instruction] = [(_LDX_HEADER_LENGTH, 0)]
        # X moves on by the quoted header's length, so that the quoted echo is found as the outer one was.
        quoted: list[_Instruction] = [(load_b, 8), (_AND, 0xF), (_LSH, 2), (_ADD_X, 0), (_TAX, 0)]
        inner = ICMP_HEADER
    else:
        load_b, load_h, load_w = _LD_B_ABS, _LD_H_ABS, _LD_W_ABS
        begin = []
        quoted = []
        inner = ICMP_HEADER + IPV6_HEADER
    return _assemble(
        [
            *begin,
            (load_b, 0),
            (_JEQ, ECHO_REPLY[family], "reply", _NEXT),
            *((_JEQ, kind, "error", _NEXT) for kind in ERRORS[family]),
            (_RET, 0),
            "reply",
            (load_w, 8),
            (_JEQ, tag_word, _NEXT, "drop"),
            (load_h, 4),
            (_AND, IDENTIFIER_MASK),
            (_JEQ, identifiers, "accept", "drop"),
            "error",
            *quoted,
            (load_b, inner),
            (_JEQ, ECHO[family], _NEXT, "drop"),
            (load_h, inner + 4),
            (_AND, IDENTIFIER_MASK),
            (_JEQ, identifiers, "accept", "drop"),
            "accept",
            (_RET, _ACCEPT),
            "drop",
            (_RET, 0),
        ]
    )


def refusal_filter(family: int) -> bytes:
    """A classic BPF program that accepts what refuses a connection: a TCP segment with RST and ACK, no SYN or FIN, and
    a sequence number of zero, as a SYN is answered where nobody listens (RFC 9293, section 3.10.7.1)."""
    begin: list[_Instruction] = [(_LDX_HEADER_LENGTH, 0)] if family == IPV4 else []
    load_b, load_w = (_LD_B_IND, _LD_W_IND) if family == IPV4 else (_LD_B_ABS, _LD_W_ABS)
    return _assemble(
        [
            *begin,
            (load_b, _TCP_FLAGS),
            (_AND, _FIN | _SYN | _RST | _ACK),
            (_JEQ, _RST | _ACK, _NEXT, "drop"),
            (load_w, _TCP_SEQUENCE),
            (_JEQ, 0, _NEXT, "drop"),
            (_RET, _ACCEPT),
            "drop",
            (_RET, 0),
        ]
    )


def _assemble(program: list[_Instruction]) -> bytes:
    places: dict[str, int] = {}
    lines: list[tuple[int, int] | tuple[int, int, str, str]] = []
    for line in program:
        if isinstance(line, str):
            places[line] = len(lines)
        else:
            lines.append(line)
    code = b""
    for at, line in enumerate(lines):
        places[_NEXT] = at + 1
        equal, other = (places[label] - at - 1 for label in line[2:]) if len(line) == 4 else (0, 0)
        code += struct.pack("HBBI", line[0], equal, other, line[1])
    return code


def attach(sock: socket.socket, program: bytes) -> None:
    """Let the kernel drop what ``program`` refuses, before it is queued for ``sock``."""
    code = ctypes.create_string_buffer(program, len(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    # What came before the filter was attached is still queued.
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(1)
