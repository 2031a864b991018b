"""The wires of the world: LAN host, gateway, outside, with their addresses and routes."""

from collections.abc import Sequence
from typing import NamedTuple

from steerd.lab import namespaces


class End(NamedTuple):
    """One end of a wire; addresses come without their prefix lengths, /24 and /64."""

    namespace: str
    device: str
    ether: str
    address: str
    address6: str


LAN = End("gw", "lan0", "02:00:00:00:01:01", "10.77.0.1", "fd77::1")
HOST = End("lan", "lan1", "02:00:00:00:01:02", "10.77.0.2", "fd77::2")
UPLINK = End("gw", "wan0", "02:00:00:00:02:01", "192.0.2.1", "2001:db8::1")
OUTSIDE = End("wan", "wan1", "02:00:00:00:02:02", "192.0.2.2", "2001:db8::2")
ADMIN = "198.51.100.10"


def wire(rp_filter: int, made: Sequence[str] = ("lan", "gw", "wan")) -> None:
    """Make the three namespaces, or the missing ones, and connect them; ``rp_filter`` on all the gateway's devices."""
    namespaces.add(*made)
    namespaces.sysctl("gw", ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    namespaces.sysctl("gw", ipv4__conf__all__rp_filter=rp_filter, ipv4__conf__default__rp_filter=rp_filter)
    for near, far in ((LAN, HOST), (UPLINK, OUTSIDE)):
        namespaces.ip(
            f"link add {near.device} address {near.ether} netns {near.namespace} type veth"
            f" peer name {far.device} address {far.ether} netns {far.namespace}"
        )
        _address(near, far)
        _address(far, near)
    for end, gateway in ((HOST, LAN), (UPLINK, OUTSIDE), (OUTSIDE, UPLINK)):
        default = f"route add default via {gateway.address}\nroute add default via {gateway.address6}"
        namespaces.ip(default, end.namespace)
    outside(ADMIN)


def outside(address: str) -> None:
    """Give the outside one more address."""
    namespaces.ip(f"addr add {address}/{128 if ':' in address else 32} dev lo", OUTSIDE.namespace)


def _address(end: End, other: End) -> None:
    # Neighbours are static: a first solicitation sent while multicast groups are still being joined costs a second.
    namespaces.ip(
        f"""addr add {end.address}/24 dev {end.device}
            addr add {end.address6}/64 dev {end.device} nodad
            link set {end.device} up
            neigh add {other.address} lladdr {other.ether} nud permanent dev {end.device}
            neigh add {other.address6} lladdr {other.ether} nud permanent dev {end.device}""",
        end.namespace,
    )
