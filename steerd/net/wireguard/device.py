"""A WireGuard device as it is read, and what may be asked to change of it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

KEY_BYTES = 32
AllowedIp = bytes
"""A prefix packed as address and length: 5 bytes for IPv4, 17 for IPv6."""


class WireGuardError(OSError):
    """A device could not be read or changed. The message says why."""

    @classmethod
    def of(cls, place: str, error: OSError) -> "WireGuardError":
        """What the system refused, with the device or socket it concerns."""
        return cls(error.errno or 0, f"{place}: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class Peer:
    """``handshake``: Unix time in seconds of the latest one; 0: there was none. ``rx`` and ``tx`` in bytes, of outer
    payload: handshakes and keepalives count. ``keepalive``: the persistent one's interval in seconds; 0: off.
    ``endpoint``: its numeric address, empty: not known; ``port``: that of it, 0: not known."""

    key: str
    handshake: float = 0.0
    rx: int = 0
    tx: int = 0
    keepalive: int = 0
    endpoint: str = ""
    allowed: frozenset[AllowedIp] = frozenset()
    port: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """``peers`` by public key, in base64; ``mark`` is that of the outer packets (0: none)."""

    name: str
    mark: int = 0
    peers: Mapping[str, Peer] = field(default_factory=dict)

    def owner(self, address: bytes) -> str | None:
        """The peer that a packet to this address (4 or 16 bytes) is encrypted for: whose allowed IP is the longest."""
        bits = 8 * len(address)
        asked = int.from_bytes(address)
        # By length and not by prefix: a peer may be allowed 200,000 of them.
        for length in range(bits, -1, -1):
            prefix = (asked >> (bits - length) << (bits - length)).to_bytes(len(address)) + bytes((length,))
            for peer in self.peers.values():
                if prefix in peer.allowed:
                    return peer.key
        return None


class Grant(NamedTuple):
    """Allowed IPs to be given to a peer; another peer that has one loses it in the same step."""

    peer: str
    allowed: tuple[AllowedIp, ...]


def allowed(device: Device) -> dict[str, frozenset[AllowedIp]]:
    """The allowed IPs of each peer."""
    return {peer.key: peer.allowed for peer in device.peers.values()}


def holders(device: Device) -> dict[AllowedIp, str]:
    """Which peer has each allowed IP; it is never two."""
    return {one: peer.key for peer in device.peers.values() for one in peer.allowed}


def grants(moves: Iterable[tuple[AllowedIp, str]]) -> list[Grant]:
    """Moves, each of an allowed IP to a peer, by peer and in order."""
    found: dict[str, list[AllowedIp]] = {}
    for one, peer in moves:
        found.setdefault(peer, []).append(one)
    return [Grant(peer, tuple(sorted(found[peer]))) for peer in sorted(found)]
