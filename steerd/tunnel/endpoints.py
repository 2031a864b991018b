"""Tunnels whose far end is known by a name: WireGuard resolves a name once, when it is configured, and never again.

While a tunnel is stale its name is resolved, and its peer told where the far end is now. A tunnel that works is left
alone, whatever the name says: WireGuard itself follows a far end that moves and sends.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from steerd.config.settings import TunnelPath, TunnelSettings
from steerd.core.events import Tunnel
from steerd.core.settings import PathId
from steerd.net.wireguard.device import WireGuardError
from steerd.net.wireguard.speaker import Speaker
from steerd.tunnel.peers import peer_of

log = logging.getLogger(__name__)

AGAIN: Final = 15.0
"""Seconds between two looks: time for three handshakes, which WireGuard begins each 5 s."""


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, or itself if it is one. Blocks for as long as the C library does. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def next_of(addresses: Sequence[str], now: str) -> str:
    """Which address to try: the one after that in use, which does not answer; of a new name one of the family that is
    in use, if there is one. Empty: there is no other."""
    if now in addresses:
        following = addresses[(addresses.index(now) + 1) % len(addresses)]
        return "" if following == now else following
    return next((one for one in addresses if (":" in one) is (":" in now)), addresses[0] if addresses else "")


class Endpoints:
    """Follows the names of stale tunnels, in a thread of its own: a resolver may take any time."""

    def __init__(self, settings: TunnelSettings, resolve: Callable[[str, int], list[str]] = resolved) -> None:
        self._resolve = resolve
        self._speaker = Speaker()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="steerd-endpoints")
        self._stale: set[PathId] = set()
        self._said: dict[PathId, str] = {}
        self._paths: Sequence[tuple[TunnelPath, tuple[str, int]]] = ()
        self.configure(settings)

    def configure(self, settings: TunnelSettings) -> None:
        """Take new settings; stale tunnels are told of again."""
        self._paths = [(path, path.endpoint) for path in settings.paths if path.endpoint]
        self._stale.clear()
        self._said.clear()

    def close(self) -> None:
        """Close for good, without waiting for the resolver."""
        self._worker.submit(self._speaker.close)
        self._worker.shutdown(wait=False)

    def told(self, tunnel: Tunnel) -> None:
        """A path's tunnel became stale, or no longer is."""
        (self._stale.add if tunnel.stale else self._stale.discard)(tunnel.path)

    async def run(self) -> None:
        """Look at all, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            for path, (host, port) in self._paths:
                await loop.run_in_executor(self._worker, self._follow, path, host, port)
            await asyncio.sleep(AGAIN)

    def _follow(self, path: TunnelPath, host: str, port: int) -> None:
        """Resolve the name if the tunnel is stale, or its peer has no endpoint, and tell the peer. Blocking."""
        try:
            device = self._speaker.read(path.device)
            peer = peer_of(path, device) if device else None
            if peer is None or (peer.endpoint and path.path not in self._stale):
                self._said.pop(path.path, None)
                return
            if address := next_of(self._resolve(host, port), peer.endpoint):
                self._speaker.point(path.device, peer.key, address, port)
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
