"""Notices what changes in the kernel: cheap, filtered there, and never trusted to be complete."""

import ctypes
import errno
import logging
import socket
import struct
from collections.abc import Callable

from steerd.net.netlink import NETLINK_ADD_MEMBERSHIP, SOL_NETLINK, frames, sender, widen
from steerd.route.kernel.codec import address as address_codec
from steerd.route.kernel.codec import link as link_codec
from steerd.route.kernel.codec import nexthop as nexthop_codec
from steerd.route.kernel.codec import route as route_codec
from steerd.route.kernel.codec import rule as rule_codec
from steerd.route.model.objects import MAIN, Device

log = logging.getLogger(__name__)

_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV4_RULE = 1, 5, 7, 8
_IPV6_ADDRESS, _IPV6_ROUTE, _IPV6_RULE, _NEXTHOP = 9, 11, 19, 32
_GROUPS = (_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV4_RULE, _IPV6_ADDRESS, _IPV6_ROUTE, _IPV6_RULE, _NEXTHOP)

_SO_ATTACH_FILTER = 26
_BPF_LD_W, _BPF_LD_H, _BPF_LD_B = 0x20, 0x28, 0x30
_BPF_JEQ, _BPF_RET = 0x15, 0x06
_AT_TYPE, _AT_PORT = 4, 12
_IN_ROUTE_PROTOCOL = 5
_AT_ROUTE_TABLE, _AT_ROUTE_PROTOCOL, _AT_NEXTHOP_PROTOCOL = 16 + 4, 16 + _IN_ROUTE_PROTOCOL, 16 + 2
_NO_TABLE = 256  # more than the field holds
_ROUTES = (route_codec.RTM_NEWROUTE, route_codec.RTM_DELROUTE)
_ADDRESSES = (address_codec.RTM_NEWADDR, address_codec.RTM_DELADDR)
_REMOVALS = (route_codec.RTM_DELROUTE, rule_codec.RTM_DELRULE, nexthop_codec.RTM_DELNEXTHOP)
_PER_WAKING = 64
"""Datagrams read before the loop gets its turn again."""


class Watch:
    """A listening socket.

    ``on_device(device, gone)`` for each link message, ``on_address(index)`` for each address that came or went
    on a device, ``on_main()`` when others change the main table, if ``main`` asks for it; ``on_change()`` for
    everything else that may concern us, ``on_overrun()`` when messages were lost: then everything must be read again.
    ``remover`` is the netlink address of who last removed something of our protocol; 0: not known.
    """

    def __init__(
        self,
        *,
        protocol: int,
        port: int,
        on_device: Callable[[Device, bool], None],
        on_address: Callable[[int], None],
        on_main: Callable[[], None],
        on_change: Callable[[], None],
        on_overrun: Callable[[], None],
        main: bool = False,
    ) -> None:
        self.remover = 0
        self._protocol = protocol
        self._on_main = on_main
        self._on_device = on_device
        self._on_address = on_address
        self._on_change = on_change
        self._on_overrun = on_overrun
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        try:
            widen(self._socket)
            self._attach(program(protocol, port, main=main))
            self._socket.bind((0, 0))
            for group in _GROUPS:
                try:
                    self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
                except OSError as error:
                    if error.errno != errno.EINVAL:  # a kernel without nexthop objects
                        raise
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def retarget(self, protocol: int, port: int, *, main: bool) -> None:
        """For settings with another protocol number, or another interest in main."""
        self._protocol = protocol
        self._attach(program(protocol, port, main=main))

    def _attach(self, code: bytes) -> None:
        buffer = ctypes.create_string_buffer(code)
        # struct sock_fprog: the number of instructions and where they are.
        fprog = struct.pack("HL", len(code) // 8, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)

    def read(self) -> None:
        """Takes in what is there. Called when the socket is readable."""
        for _ in range(_PER_WAKING):
            try:
                datagram = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    self._on_overrun()
                    continue
                raise
            for kind, _flags, _number, body in frames(datagram):
                if kind in (link_codec.RTM_NEWLINK, link_codec.RTM_DELLINK):
                    if body[0] != socket.AF_UNSPEC:  # of a bridge's port: leaving a bridge is no end of a device
                        continue
                    self._on_device(link_codec.decode_one(body), kind == link_codec.RTM_DELLINK)
                elif kind in _ADDRESSES:
                    self._on_address(address_codec.device_index(body))
                elif kind in _ROUTES and body[_IN_ROUTE_PROTOCOL] != self._protocol:
                    self._on_main()
                else:
                    if kind in _REMOVALS:
                        self.remover = sender(datagram) or self.remover
                    self._on_change()


def program(protocol: int, port: int, *, main: bool = False) -> bytes:
    """A classic BPF filter: not what we did ourselves; of routes and nexthops only those of our protocol, and with
    ``main`` the routes of the main table, whose they may be.

    20,000 changes by a routing daemon must not wake us. Netlink is in the machine's byte order, BPF loads in
    the network's: constants are turned round.
    """

    def half(value: int) -> int:
        return int.from_bytes(struct.pack("=H", value), "big")

    def word(value: int) -> int:
        return int.from_bytes(struct.pack("=I", value), "big")

    steps = [
        (_BPF_LD_W, 0, 0, _AT_PORT),
        (_BPF_JEQ, 12, 0, word(port)),  # 1: ours: drop
        (_BPF_LD_H, 0, 0, _AT_TYPE),
        (_BPF_JEQ, 4, 0, half(route_codec.RTM_NEWROUTE)),  # 3 -> 8
        (_BPF_JEQ, 3, 0, half(route_codec.RTM_DELROUTE)),
        (_BPF_JEQ, 6, 0, half(nexthop_codec.RTM_NEWNEXTHOP)),  # 5 -> 12
        (_BPF_JEQ, 5, 0, half(nexthop_codec.RTM_DELNEXTHOP)),
        (_BPF_RET, 0, 0, 0xFFFFFFFF),  # 7: keep
        (_BPF_LD_B, 0, 0, _AT_ROUTE_PROTOCOL),
        (_BPF_JEQ, 5, 0, protocol),  # 9 -> 15
        (_BPF_LD_B, 0, 0, _AT_ROUTE_TABLE),
        (_BPF_JEQ, 3, 2, MAIN if main else _NO_TABLE),  # 11 -> 15, else 14
        (_BPF_LD_B, 0, 0, _AT_NEXTHOP_PROTOCOL),
        (_BPF_JEQ, 1, 0, protocol),
        (_BPF_RET, 0, 0, 0),  # 14: drop
        (_BPF_RET, 0, 0, 0xFFFFFFFF),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
