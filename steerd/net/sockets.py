"""What is asked of sockets in both families alike, where the socket module has no name for it (linux/in.h, in6.h)."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Self

from steerd.config.family import IPV4

_SO_RCVBUFFORCE: Final = 33
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_DONTFRAG: Final = 62
_PMTUDISC_PROBE: Final = 3


class SocketOwner:
    """What has one socket, and closes it. Event loops and selectors take the owner for its socket."""

    _socket: socket.socket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@contextmanager
def closed_on_error(one: socket.socket | ExitStack) -> Iterator[None]:
    """Close it if what is done within fails."""
    try:
        yield
    except BaseException:
        one.close()
        raise


def address_family(family: int) -> socket.AddressFamily:
    """4 or 6 as the socket module has it."""
    return socket.AF_INET if family == IPV4 else socket.AF_INET6


def enlarge(sock: socket.socket, size: int) -> None:
    """Give it a receive buffer of ``size`` bytes; without privileges, as much of that as the kernel allows."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def never_fragment(sock: socket.socket, family: int) -> None:
    """Send packets whole up to the device's MTU, whatever the kernel has learned of the path's."""
    if family == IPV4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
