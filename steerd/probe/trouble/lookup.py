"""Asks the kernel by which device it would send a probe: rtnetlink(7), RTM_GETROUTE.

A packet that is bound to a device leaves by it even when no route says so, or one forbids it (IPv4 then takes the
target for a neighbour). Only the routes tell that such a probe was lost because of this machine.
"""

import errno
import os
import struct
from typing import Final

from steerd.net.netlink import Connection, NetlinkError, attribute, attributes
from steerd.net.sockets import address_family

_GETROUTE: Final = 26
_GETADDR: Final = 22
_IFADDRMSG: Final = 8  # bytes of struct ifaddrmsg
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_FIB_MATCH: Final = 0x2000
_DST, _OIF, _MARK = 1, 4, 16
_UNICAST, _LOCAL = 1, 2
_TYPE: Final = 7
"""Where the type of the route that matches is in struct rtmsg: those that refuse are answered as any other."""

_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_INT: Final = struct.Struct("=I")
_PATIENCE: Final = 0.1  # seconds: the kernel answers at once


class RouteLookup(Connection):
    """A connection that asks, and waits for the answer."""

    def __init__(self) -> None:
        super().__init__(timeout=_PATIENCE)

    def refusal(self, family: int, target: bytes, *, mark: int, interface: int) -> int:
        """0 if a route leads there by the device with this index (0: by any), or nobody answers; else the errno."""
        body = _ROUTE.pack(address_family(family), len(target) * 8, 0, 0, 0, 0, 0, 0, _FIB_MATCH)
        body += attribute(_DST, target)
        if interface:
            body += attribute(_OIF, _INT.pack(interface))
        if mark:
            body += attribute(_MARK, _INT.pack(mark))
        try:
            answers = self.ask(_GETROUTE, body)
        except NetlinkError as error:
            return error.errno or 0
        except OSError:
            return 0
        return errno.EHOSTUNREACH if answers and answers[0][_TYPE] not in (_UNICAST, _LOCAL) else 0

    def own(self) -> frozenset[bytes]:
        """The addresses of this machine, packed. Raises `OSError`."""
        return frozenset(filter(None, map(_address, self.dump(_GETADDR, bytes(_IFADDRMSG)))))


def _address(body: bytes) -> bytes:
    """Of two ends the near one, which IPv6 does not tell apart."""
    values = dict(attributes(body, _IFADDRMSG))
    return values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS, b"")


def words(error: int) -> str:
    """Why this machine did not send a probe, for the operator."""
    return f"{_WORDS.get(error, os.strerror(error))} ({errno.errorcode.get(error, str(error))})"


_WORDS: Final = {
    errno.EPERM: "a firewall on this machine drops the probes",
    errno.ENETUNREACH: "no route leads to the target",
    errno.EHOSTUNREACH: "a route makes the target unreachable",
    errno.EINVAL: "a blackhole route swallows the probes",
    errno.EACCES: "a route prohibits the target",
    errno.ENODEV: "the device does not exist",
    errno.ENETDOWN: "the device is down",
    errno.EAFNOSUPPORT: "this machine has no such addresses: its kernel was booted without the family",
    errno.ENOKEY: "its key_file cannot be read, or holds no key",
    errno.EADDRNOTAVAIL: "the source address is not on this machine",
    errno.EDESTADDRREQ: "the target's name is not resolved yet",
    errno.ENOBUFS: "the device's queue, or our own, is full",
    errno.EAGAIN: "our own send buffer is full",
    errno.EMSGSIZE: "the probes are larger than the device's MTU",
    errno.EMFILE: "too many files are open",
}
