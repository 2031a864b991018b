"""A netlink socket that hears what changes in the kernel: cheap, and never trusted to be complete."""

import errno
import socket
from collections.abc import Callable, Iterable

from steerd.net.bpf import attach
from steerd.net.netlink import NETLINK_ADD_MEMBERSHIP, SOL_NETLINK, widen

_PER_WAKING = 64
"""Datagrams read before the loop gets its turn again."""


class Notices:
    """``on_datagram`` gets each datagram; ``on_overrun`` is called when some were lost: then everything must be read
    again. Have a loop call `read` when it is readable. Raises `OSError` when it can not be had."""

    def __init__(
        self,
        protocol: int,
        groups: Iterable[int],
        on_datagram: Callable[[bytes], None],
        on_overrun: Callable[[], None],
        *,
        program: bytes = b"",
    ) -> None:
        """``protocol`` is the netlink family; of ``groups`` those that the kernel lacks are passed over; ``program``
        is a filter, as `attach` takes it."""
        self._on_datagram = on_datagram
        self._on_overrun = on_overrun
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol
        )
        try:
            widen(self._socket)
            if program:
                self.attach(program)
            self._socket.bind((0, 0))
            for group in groups:
                try:
                    self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def attach(self, program: bytes) -> None:
        """Hear only what this classic BPF program keeps, from now on."""
        attach(self._socket, program)

    def read(self) -> None:
        """Takes in what is there."""
        for _ in range(_PER_WAKING):
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
