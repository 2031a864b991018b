"""Asks the kernel by which device it would send a probe: rtnetlink(7), RTM_GETROUTE.

A packet that is bound to a device leaves by it even when no route says so, or one forbids it: IPv4 takes the target
for a neighbour then. Such a probe is lost for a reason of this machine's, which only its routes tell.
"""

import errno
import os
import socket
import struct
from typing import Final

from steerd.probe.wire.datagram import address_family

_GETROUTE: Final = 26
_NEWROUTE: Final = 24
_ERROR: Final = 2
_REQUEST: Final = 1
_FIB_MATCH: Final = 0x2000
_DST, _OIF, _MARK = 1, 4, 16
_UNICAST: Final = 1
_LOCAL: Final = 2

_HEADER: Final = struct.Struct("=IHHII")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_INT: Final = struct.Struct("=I")
_ANSWER_MAX: Final = 65_536
_STALE: Final = 8  # answers to what was asked before and given up


class RouteLookup:
    """A socket that asks, and waits for the answer: the kernel gives it at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(0.1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def refusal(self, family: int, target: bytes, *, mark: int, interface: int) -> int:
        """0 if a route leads there by the device with this index (0: by any), else the errno that says why not.
        Nothing is refused that could not be asked."""
        body = _ROUTE.pack(address_family(family), len(target) * 8, 0, 0, 0, 0, 0, 0, _FIB_MATCH)
        body += _attribute(_DST, target)
        if interface:
            body += _attribute(_OIF, _INT.pack(interface))
        if mark:
            body += _attribute(_MARK, _INT.pack(mark))
        self._sequence += 1
        try:
            self._socket.send(_HEADER.pack(_HEADER.size + len(body), _GETROUTE, _REQUEST, self._sequence, 0) + body)
            for _ in range(_STALE):
                answer = self._socket.recv(_ANSWER_MAX)
                _, kind, _, sequence, _ = _HEADER.unpack_from(answer)
                if sequence == self._sequence:
                    break
            else:
                return 0
        except (OSError, struct.error):
            return 0
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            return -int(code)
        return _unusable(answer) if kind == _NEWROUTE else 0


def _unusable(answer: bytes) -> int:
    """What a route that matches says by its type: those that refuse are answered as such."""
    kind = answer[_HEADER.size + 7]
    return 0 if kind in (_UNICAST, _LOCAL) else errno.EHOSTUNREACH


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def words(error: int) -> str:
    """Why this machine did not send a probe, for people."""
    name = errno.errorcode.get(error, str(error))
    return f"{_WORDS.get(error, os.strerror(error))} ({name})"


_WORDS: Final = {
    errno.EPERM: "a firewall on this machine drops the probes",
    errno.ENETUNREACH: "no route leads to the target",
    errno.EHOSTUNREACH: "a route makes the target unreachable",
    errno.EINVAL: "a blackhole route swallows the probes",
    errno.EACCES: "a route prohibits the target",
    errno.ENODEV: "the device is not there",
    errno.ENETDOWN: "the device is down",
    errno.EADDRNOTAVAIL: "the source address is not on this machine",
    errno.EDESTADDRREQ: "the target's name is not resolved yet",
    errno.ENOBUFS: "the device's queue, or our own, is full",
    errno.EAGAIN: "our own send buffer is full",
    errno.EMSGSIZE: "the probes are larger than the device's MTU",
    errno.EMFILE: "too many files are open",
}
