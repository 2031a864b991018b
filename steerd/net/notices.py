"""A netlink socket that hears what changes in the kernel: cheap, and never trusted to be complete."""

import errno
import socket
from collections.abc import Callable, Iterable

from steerd.net.bpf import attach
from steerd.net.netlink import NETLINK_ADD_MEMBERSHIP, RECEIVE_BUFFER, SOL_NETLINK
from steerd.net.sockets import SocketOwner, closed_on_error, enlarge

_AT_ONCE = 64  # datagrams read before the loop gets its turn again


class Notices(SocketOwner):
    """``on_datagram`` gets each datagram; ``on_overrun`` is called when some were lost: then everything must be read
    again. Have a loop call `read` when it is readable. Raises `OSError` if the socket cannot be opened."""

    def __init__(
        self,
        protocol: int,
        groups: Iterable[int],
        on_datagram: Callable[[bytes], None],
        on_overrun: Callable[[], None],
        *,
        program: bytes = b"",
    ) -> None:
        """``protocol``: the netlink family; ``groups`` unknown to the kernel are skipped; ``program``: see `attach`."""
        self._on_datagram = on_datagram
        self._on_overrun = on_overrun
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol
        )
        with closed_on_error(self._socket):
            enlarge(self._socket, RECEIVE_BUFFER)
            if program:
                self.attach(program)
            self._socket.bind((0, 0))
            for group in groups:
                try:
                    self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise

    def attach(self, program: bytes) -> None:
        """Hear only what this classic BPF program keeps, from now on."""
        attach(self._socket, program)

    def read(self) -> None:
        """Pass on what has come."""
        for _ in range(_AT_ONCE):
            try:
                datagram = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._on_overrun()
            else:
                self._on_datagram(datagram)
