"""What is asked of sockets in both families alike, where the socket module has no name for it (linux/in.h, in6.h)."""

import socket
from typing import Final

from steerd.config.settings import IPV4

_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_DONTFRAG: Final = 62
_PMTUDISC_PROBE: Final = 3


def address_family(family: int) -> socket.AddressFamily:
    """4 or 6 as the socket module has it."""
    return socket.AF_INET if family == IPV4 else socket.AF_INET6


def never_fragment(sock: socket.socket, family: int) -> None:
    """Send packets whole up to the device's MTU, whatever the kernel has learned of the way."""
    if family == IPV4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
