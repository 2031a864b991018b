"""Which peer of a WireGuard device a path leads to, and what is wrong with its AllowedIPs. Pure."""

from collections.abc import Iterable, Iterator
from socket import AF_INET, AF_INET6, inet_ntop

from steerd.config.probe_settings import TunnelPath
from steerd.net.wireguard.device import Device, Peer


def peer_of(path: TunnelPath, device: Device) -> Peer | None:
    """The configured peer; else the one to which WireGuard sends packets for the targets; else the only one."""
    if path.peer:
        return device.peers.get(path.peer)
    for target in path.targets:
        if (owner := device.owner(target)) is not None:
            return device.peers[owner]
    return next(iter(device.peers.values())) if len(device.peers) == 1 else None


def endpoint(device: Device) -> str:
    """Where the device's outer packets go, if that is one place; else empty."""
    found = {peer.endpoint for peer in device.peers.values()}
    return found.pop() if len(found) == 1 else ""


def remarks(paths: Iterable[TunnelPath], device: Device) -> Iterator[str]:
    """Which probes WireGuard sends to another peer than the path's, or to none."""
    for path in paths:
        if path.peer and path.peer not in device.peers:
            yield f"{path.path}: {device.name} has no peer {path.peer}"
            continue
        peer = peer_of(path, device)
        for target in path.targets:
            owner = device.owner(target)
            if owner is None or (peer is not None and owner != peer.key):
                address = inet_ntop(AF_INET if len(target) == 4 else AF_INET6, target)
                where = "of no peer" if owner is None else f"of another peer, {owner}"
                yield f"{path.path}: its target {address} is in the AllowedIPs {where}: list it with the path's own"
