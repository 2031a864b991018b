"""Tunnels whose far end is known by a name: WireGuard resolves a name once, when it is configured, and never again.

While a tunnel is stale its name is resolved, and its peer told where the far end is now. A tunnel that works is left
alone, whatever the name says: WireGuard itself follows a far end that moves and sends.
"""

import logging
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from steerd.config.settings import TunnelPath, TunnelSettings
from steerd.core.events import Tunnel
from steerd.core.settings import PathId
from steerd.faults import Boundary
from steerd.net.wireguard.device import WireGuardError
from steerd.net.wireguard.speaker import Speaker
from steerd.tunnel.peers import peer_of

log = logging.getLogger(__name__)

AGAIN: Final = 15.0
"""Seconds between two looks: time for three handshakes, which WireGuard begins each 5 s."""


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, or itself if it is one. Those of this machine or link are left out: filters and portals
    answer so, and they lead nowhere. Blocks for as long as the C library does. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return [one for one in dict.fromkeys(str(address[0]) for *_, address in found) if _far(one)]


def next_of(addresses: Sequence[str], now: str) -> str:
    """Which address to try: the one after that in use, which does not answer; of a new name one of the family that is
    in use, if there is one. Empty: there is no other."""
    if now in addresses:
        following = addresses[(addresses.index(now) + 1) % len(addresses)]
        return "" if following == now else following
    return next((one for one in addresses if (":" in one) is (":" in now)), addresses[0] if addresses else "")


def _far(address: str) -> bool:
    found = ip_address(address)
    return not (found.is_loopback or found.is_unspecified or found.is_multicast or found.is_link_local)


class Endpoints:
    """Follows the names of stale tunnels. In a thread that nobody waits for: a resolver may take any time."""

    def __init__(self, settings: TunnelSettings) -> None:
        self._boundary = Boundary("endpoints")
        self._running = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._stale: set[PathId] = set()
        self._said: dict[PathId, str] = {}
        self.configure(settings)

    def start(self) -> None:
        """Follow them from now on."""
        self._running = True
        if self._paths and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="steerd-endpoints", daemon=True)
            self._thread.start()

    def configure(self, settings: TunnelSettings) -> None:
        """Take new settings; stale tunnels are told of again."""
        self._paths = [(path, path.endpoint) for path in settings.paths if path.endpoint]
        self._stale = set()
        if self._running:
            self.start()

    def close(self) -> None:
        """Follow no more. Returns at once."""
        self._ended.set()

    def told(self, tunnel: Tunnel) -> None:
        """A path's tunnel became stale, or no longer is."""
        (self._stale.add if tunnel.stale else self._stale.discard)(tunnel.path)

    def _run(self) -> None:
        with Speaker() as speaker:
            while not self._ended.is_set():
                for path, (host, port) in self._paths:
                    with self._boundary:
                        self._follow(speaker, path, host, port)
                self._ended.wait(AGAIN)

    def _follow(self, speaker: Speaker, path: TunnelPath, host: str, port: int) -> None:
        """Resolve the name if the tunnel is stale, or its peer has no endpoint, and tell the peer."""
        try:
            device = speaker.read(path.device)
            peer = peer_of(path, device) if device else None
            if peer is None or (peer.endpoint and path.path not in self._stale):
                self._said.pop(path.path, None)
                return
            if not (addresses := resolved(host, port)):
                self._say(path.path, f"{host} has no address that is another machine's")
            address = next_of(addresses, peer.endpoint)
            if address and not self._ended.is_set():  # it may have taken long
                speaker.point(path.device, peer.key, address, port)
                was = f"{peer.endpoint} does not answer" if peer.endpoint else "it had no endpoint"
                log.info("%s: %s is now sought at %s, as %s says; %s", path.path, path.device, address, host, was)
        except WireGuardError as error:
            self._say(path.path, f"WireGuard of {error.strerror or error}")
        except OSError as error:
            self._say(path.path, f"{host} cannot be resolved: {error.strerror or error}")

    def _say(self, path: PathId, words: str) -> None:
        if self._said.get(path) != words:
            log.warning("%s: %s", path, words)
        self._said[path] = words
