"""The filters that the kernel runs on each packet of a raw socket: only answers to our own probes are queued."""

import contextlib
import socket
import struct

from steerd.config.family import IPV4
from steerd.net import bpf
from steerd.net.bpf import ADD_X, AND, JEQ, KEEP, LSH, NEXT, RET, TAX, Instruction, assemble, transport
from steerd.net.icmp import ECHO, ECHO_REPLY, ERRORS, HEADERS, ICMP_HEADER
from steerd.probe.wire.echo import IDENTIFIER_MASK

# Of the TCP header: where things are, and its flags.
_TCP_SEQUENCE, _TCP_FLAGS = 4, 13
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10


def echo_filter(family: int, identifiers: int, tag: bytes) -> bytes:
    """A classic BPF program that accepts answers to our echo requests and errors that quote them.

    ``identifiers`` is the part of the identifier under `IDENTIFIER_MASK`.
    """
    (tag_word,) = struct.unpack("!I", tag)
    load = transport(family)
    quoted: list[Instruction] = []
    inner = HEADERS[family]
    if family == IPV4:
        # X moves on by the quoted header's length, so that the quoted echo is found as the outer one was.
        quoted = [(load.b, 8), (AND, 0xF), (LSH, 2), (ADD_X, 0), (TAX, 0)]
        inner = ICMP_HEADER
    return assemble(
        [
            *load.begin,
            (load.b, 0),
            (JEQ, ECHO_REPLY[family], "reply", NEXT),
            *((JEQ, kind, "error", NEXT) for kind in ERRORS[family]),
            (RET, 0),
            "reply",
            (load.w, 8),
            (JEQ, tag_word, NEXT, "drop"),
            (load.h, 4),
            (AND, IDENTIFIER_MASK),
            (JEQ, identifiers, "accept", "drop"),
            "error",
            *quoted,
            (load.b, inner),
            (JEQ, ECHO[family], NEXT, "drop"),
            (load.h, inner + 4),
            (AND, IDENTIFIER_MASK),
            (JEQ, identifiers, "accept", "drop"),
            "accept",
            (RET, KEEP),
            "drop",
            (RET, 0),
        ]
    )


def refusal_filter(family: int) -> bytes:
    """A classic BPF program that accepts what refuses a connection: a TCP segment with RST and ACK, no SYN or FIN, and
    a sequence number of zero, as a SYN is answered where nobody listens (RFC 9293, section 3.10.7.1)."""
    load = transport(family)
    return assemble(
        [
            *load.begin,
            (load.b, _TCP_FLAGS),
            (AND, _FIN | _SYN | _RST | _ACK),
            (JEQ, _RST | _ACK, NEXT, "drop"),
            (load.w, _TCP_SEQUENCE),
            (JEQ, 0, NEXT, "drop"),
            (RET, KEEP),
            "drop",
            (RET, 0),
        ]
    )


def attach(sock: socket.socket, program: bytes) -> None:
    """Let the kernel drop what ``program`` refuses, before it is queued for ``sock``."""
    bpf.attach(sock, program)
    # What came before the filter was attached is still queued.
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(1)
