"""What methods ask of this machine: raw sockets, and many files open, as some have a socket for each leg or probe."""

import contextlib
import errno
import resource
import socket

from steerd.net import icmp
from steerd.net.sockets import address_family
from steerd.probe.error import NoFamilyError, ProbeError


def open_raw(family: int, protocol: str) -> socket.socket:
    """A raw socket for ``protocol``, ICMP or TCP, that does not block. Raises `ProbeError`, or `NoFamilyError`."""
    try:
        if protocol == "ICMP":
            sock = icmp.open_socket(family)
        else:
            sock = socket.socket(address_family(family), socket.SOCK_RAW, socket.IPPROTO_TCP)
    except PermissionError:
        raise ProbeError(f"cannot open a raw {protocol} socket: CAP_NET_RAW is needed") from None
    except OSError as error:
        kind = NoFamilyError if error.errno == errno.EAFNOSUPPORT else ProbeError
        raise kind(f"cannot open a raw {protocol} socket for IPv{family}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def allow_many() -> None:
    """Raise the soft limit of open files to the hard one. Programs that use select(2) are why it is lower."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
