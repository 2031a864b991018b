"""Tunnels whose far end is known by a name: WireGuard resolves a name once, when it is configured, and never again.

While a tunnel is stale its name is resolved, and its peer told where the far end is now. A tunnel that works is left
alone, whatever the name says: WireGuard itself follows a far end that moves and sends.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from steerd.config.probe_settings import TunnelPath, TunnelSettings
from steerd.config.values.addresses import far
from steerd.core.events import Tunnel
from steerd.core.settings import PathId
from steerd.faults import Boundary
from steerd.net.wireguard.device import Device, Peer, WireGuardError
from steerd.net.wireguard.speaker import Speaker
from steerd.tunnel.peers import peer_of

log = logging.getLogger(__name__)

AGAIN: Final = 15.0
"""Seconds between two looks: time for three handshakes, which WireGuard begins each 5 s."""
IDLE_SHARE: Final = 20.0
"""The least pause after a look, in multiples of the CPU time that it took."""
MOST_SAID: Final = 20
"""Lines of the log about a path until its tunnel works again: a name may have other addresses each time."""


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, or itself if it is one. Those of this machine or link are left out: filters and portals
    answer so, and they lead nowhere. Blocks for as long as the C library does. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return [one for one in dict.fromkeys(str(address[0]) for *_, address in found) if far(ip_address(one).packed)]


def next_of(addresses: Sequence[str], now: str, *, astray: bool = False) -> str:
    """Which address to try: the one after that in use, which does not answer, but the same if only its port is
    ``astray``; of a new name one of the family that is in use, if there is one. Empty: there is no other."""
    if now in addresses:
        # In an order of its own: resolvers turn theirs about, and one of several might never be the next.
        turn = sorted(addresses)
        following = now if astray else turn[(turn.index(now) + 1) % len(turn)]
        return following if astray or following != now else ""
    return next((one for one in addresses if (":" in one) is (":" in now)), addresses[0] if addresses else "")


def _once(speaker: Speaker) -> Callable[[str], Device | None]:
    """Reads each device once, whoever shares it: it may have many prefixes, or hang."""
    known: dict[str, Device | WireGuardError | None] = {}

    def read(name: str) -> Device | None:
        if name not in known:
            try:
                known[name] = speaker.read(name)
            except WireGuardError as error:
                known[name] = error
        if isinstance(found := known[name], WireGuardError):
            raise found
        return found

    return read


class Endpoints:
    """Follows the names of stale tunnels. In a thread that nobody waits for: a resolver may take any time."""

    def __init__(self, settings: TunnelSettings) -> None:
        self._boundary = Boundary("endpoints")
        self._running = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._paths: list[TunnelPath] = []
        self._stale: set[PathId] = set()
        self._heard: dict[PathId, int] = {}  # bytes that had come from the peer of a stale tunnel, at the last look
        self._tried: dict[PathId, str] = {}  # the address that its peer was told last
        self._said: dict[PathId, set[str]] = {}
        self.configure(settings)

    def start(self) -> None:
        """Follow them from now on."""
        self._running = True
        if self._paths and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="steerd-endpoints", daemon=True)
            self._thread.start()

    def configure(self, settings: TunnelSettings) -> None:
        """Take new settings; stale tunnels are told of again."""
        self._paths = [path for path in settings.paths if path.endpoint]
        self._stale = set()
        for path in self._said.keys() - {path.path for path in self._paths}:
            self._said.pop(path, None)
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
                began = time.thread_time()
                read = _once(speaker)
                # What is stale first: a device that hangs may be waited for.
                for path in sorted(self._paths, key=lambda one: one.path not in self._stale):
                    with self._boundary:
                        self._follow(speaker, path, read)
                self._ended.wait(max(AGAIN, IDLE_SHARE * (time.thread_time() - began)))

    def _follow(self, speaker: Speaker, path: TunnelPath, read: Callable[[str], Device | None]) -> None:
        """Resolve the name if the tunnel is stale, or its peer has no endpoint, and tell the peer."""
        host, port = path.endpoint or ("", 0)
        try:
            peer = self._seeking(path, read(path.device))
            heard = self._heard.pop(path.path, None)
            if peer is None:
                self._said.pop(path.path, None)
                self._tried.pop(path.path, None)
                return
            self._heard[path.path] = peer.rx
            if heard is not None and peer.rx > heard:
                return  # it answers again, and whoever tells of staleness has not read it since
            found = resolved(host, port)
            if not found:
                self._say(path.path, logging.WARNING, f"{host} has no address that is another machine's")
            # Anew: to resolve may have taken long, and all may be another way now.
            peer = self._seeking(path, speaker.read(path.device)) if found else None
            if peer is None or peer.rx > self._heard[path.path] or self._ended.is_set():
                return
            self._point(speaker, path, peer, found)
        except WireGuardError as error:
            self._say(path.path, logging.WARNING, f"WireGuard of {error.strerror or error}")
        except OSError as error:
            self._say(path.path, logging.WARNING, f"{host} cannot be resolved: {error.strerror or error}")

    def _point(self, speaker: Speaker, path: TunnelPath, peer: Peer, found: Sequence[str]) -> None:
        """Tell the peer the next of the addresses that were ``found``. Raises `WireGuardError`."""
        host, port = path.endpoint or ("", 0)
        # After the one tried last, which WireGuard may not have taken: a family that this kernel lacks, for one.
        tried = self._tried.get(path.path, "")
        after = tried if tried in found else peer.endpoint
        same = after == peer.endpoint
        address = next_of(found, after, astray=same and peer.port != port) or ("" if same else after)
        if not address:
            return
        self._tried[path.path] = address
        speaker.point(path.device, peer.key, address, port)
        there, was = address, peer.endpoint
        if address == was:
            there, was = f"{address} port {port}", f"port {peer.port}"
        why = f"{was} does not answer" if was else "it had no endpoint"
        self._say(path.path, logging.INFO, f"{path.device} is now sought at {there}, as {host} says; {why}")

    def _seeking(self, path: TunnelPath, device: Device | None) -> Peer | None:
        """The path's peer, if its far end is to be sought."""
        peer = peer_of(path, device) if device and path in self._paths else None
        return peer if peer and (path.path in self._stale or not peer.endpoint) else None

    def _say(self, path: PathId, level: int, words: str) -> None:
        """Once until the tunnel works: a far end may be away for days, and its addresses are tried in turn."""
        said = self._said.setdefault(path, set())
        if words not in said and len(said) < MOST_SAID:
            said.add(words)
            log.log(level, "%s: %s", path, words)
