"""An example of what the leak guard drops: one packet a minute and policy, which nftables logs to a netlink group.

So a flood costs no more than a trickle: the kernel's limit decides, and where nobody listens nothing is sent.
"""

import errno
import os
import socket
import struct
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from typing import Final, NamedTuple

from steerd.config.route_settings import RouteSettings
from steerd.net.netlink import HEADER, NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST, attribute, attributes, frames

_FIRST: Final = 4000
_SUBSYSTEM: Final = 4 << 8  # NFNL_SUBSYS_ULOG
_PACKET, _CONFIG = _SUBSYSTEM, _SUBSYSTEM | 1
_COMMAND, _MODE = 1, 2
_BIND: Final = b"\x01"  # NFULNL_CFG_CMD_BIND
_COPIED: Final = 64
"""Bytes of a packet: the addresses of either family."""
_OUT_DEVICE, _PAYLOAD, _PREFIX = 5, 9, 10
_HEADER: Final = struct.Struct("!BBH")  # struct nfgenmsg
_AT_ONCE: Final = 256


class Example(NamedTuple):
    """``order``: the policy's place in the file."""

    order: int
    source: str
    destination: str
    device: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} by {self.device}"


def group(settings: RouteSettings) -> int:
    """The netlink group of these settings' packets: one listens to each."""
    return _FIRST + settings.protocol


def logging_rule(order: int, number: int) -> str:
    """Logs a packet of the policy with this place to the group of this number, at most one a minute."""
    return f'limit rate 1/minute burst 1 packets log prefix "{order}" group {number} snaplen {_COPIED}'


class Examples(ExitStack):
    """Those of one group. Raises `OSError` where another listens to it, or the kernel cannot log."""

    def __init__(self, number: int) -> None:
        super().__init__()
        with ExitStack() as opened:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            self._socket = opened.enter_context(socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER))
            self._socket.bind((0, 0))
            self._socket.settimeout(1.0)
            mode = struct.pack("!IBB", _COPIED, 2, 0)  # NFULNL_COPY_PACKET
            for setting in (attribute(_COMMAND, _BIND), attribute(_MODE, mode)):
                self._ask(_HEADER.pack(0, 0, number) + setting)
            self._socket.setblocking(False)
            self.push(opened.pop_all())

    def _ask(self, body: bytes) -> None:
        self._socket.send(HEADER.pack(16 + len(body), _CONFIG, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body)
        for kind, _, _, answer in frames(self._socket.recv(1 << 16)):
            code = -struct.unpack_from("=i", answer)[0] if kind == 2 else 0  # NLMSG_ERROR
            if code:
                raise OSError(code, os.strerror(code))

    def read(self) -> list[Example]:
        """What has come, the oldest first."""
        found: list[Example] = []
        for _ in range(_AT_ONCE):
            try:
                datagram = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # some were lost: they were examples
            for kind, _, _, body in frames(datagram):
                if kind == _PACKET and (one := decode(body)):
                    found.append(one)
        return found


def decode(body: bytes) -> Example | None:
    """A packet that was logged; None: it tells nothing."""
    values = dict(attributes(body, _HEADER.size))
    packet, order = values.get(_PAYLOAD, b""), values.get(_PREFIX, b"").rstrip(b"\0")
    spans = {4: (slice(12, 16), slice(16, 20)), 6: (slice(8, 24), slice(24, 40))}.get(packet[0] >> 4 if packet else 0)
    if spans is None or len(packet) < spans[1].stop or not order.isdigit():
        return None
    device = "a device that is gone"
    with suppress(OSError):
        device = socket.if_indextoname(int.from_bytes(values.get(_OUT_DEVICE, b"")))
    source, destination = (str(ip_address(packet[span])) for span in spans)
    return Example(int(order), source, destination, device)
