"""The gateway's half of the tunnels: what is routed into a TUN device leaves by UDP, as with a VPN in user space. The
UDP sockets carry the bypass mark, so that the gateway's rules send the outer packets by main."""

import select
import socket
from typing import Any

from steerd.lab.worker import Inbox, serve, setup
from steerd.lab.world.packets import OUTER_PORT, Kind, read
from steerd.lab.world.tun import Tun

_BATCH = 64
_PACKET = 65_535


class _Tunnel:
    """``nested`` counts the outer packets that were routed into the tunnel: all is well if there are none."""

    def __init__(self, device: str, outer: str, mark: int) -> None:
        self.tun = Tun(device)
        self.nested = 0
        family = socket.AF_INET6 if ":" in outer else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if mark:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        self._peer = (outer, OUTER_PORT)

    def out(self) -> None:
        """A packet from the device, sent to the PoP. Raises `OSError` if there is none."""
        packet = self.tun.read()
        seen = read(packet)
        self.nested += bool(seen and seen.kind is Kind.OUTER)
        self.socket.sendto(packet, self._peer)

    def back(self) -> None:
        """A packet from the PoP, given to the kernel. Raises `OSError` if there is none."""
        self.tun.write(self.socket.recv(_PACKET))


def _main() -> None:
    tunnels = {name: _Tunnel(**given) for name, given in setup()["tunnels"].items()}

    def answer(_: dict[str, Any]) -> Any:
        return {name: tunnel.nested for name, tunnel in tunnels.items()}

    inbox = Inbox(answer)
    handlers: dict[Any, Any] = {}
    for tunnel in tunnels.values():
        handlers[tunnel.tun] = tunnel.out
        handlers[tunnel.socket] = tunnel.back
    while True:
        for source in select.select([inbox, *handlers], [], [])[0]:
            if source is inbox:
                inbox.handle()
                continue
            for _ in range(_BATCH):
                try:
                    handlers[source]()
                except BlockingIOError:
                    break
                except OSError:  # no route, or the device is down: this packet is lost
                    continue


if __name__ == "__main__":
    serve(_main)
