"""What the reader of each quick start has before its first line: the networks that its first section describes.

::

    lan (10.77.0.2) ---- gw ---- inet ---- fra1, ams1 (203.0.113.1, .65), and a server, 198.51.100.7
"""

from collections.abc import Callable

from steerd.lab import namespaces
from tests.docs.machines import Machine, wire

Machines = dict[str, Machine]


def _made(*names: str) -> Machines:
    return {name: Machine(name) for name in names}


def _address(machine: Machine, *lines: str) -> None:
    namespaces.ip("\n".join(lines), machine.name)


def _lan(at: Machines) -> None:
    wire(at["gw"], "lan0", at["lan"], "eth0")
    _address(at["gw"], "addr add 10.77.0.1/24 dev lan0")
    _address(at["lan"], "addr add 10.77.0.2/24 dev eth0", "route add default via 10.77.0.1")


def _outside(at: Machines) -> None:
    """The Internet is one router, and a server that it is itself."""
    wire(at["gw"], "eth0", at["inet"], "gw")
    _address(at["gw"], "addr add 192.0.2.10/24 dev eth0", "route add default via 192.0.2.1")
    _address(at["inet"], "addr add 192.0.2.1/24 dev gw", "addr add 198.51.100.7/32 dev lo")
    namespaces.sysctl("inet", ipv4__ip_forward=1)


def tunnels() -> Machines:
    """Of a gateway and two PoPs, each with an address in the Internet; the tunnels are the reader's to make."""
    at = _made("gw", "lan", "inet", "fra1", "ams1")
    _lan(at)
    _outside(at)
    for pop, own, far in (("fra1", "203.0.113.1", "203.0.113.2"), ("ams1", "203.0.113.65", "203.0.113.66")):
        wire(at[pop], "eth0", at["inet"], pop)
        _address(at[pop], f"addr add {own}/26 dev eth0", f"route add default via {far}")
        _address(at["inet"], f"addr add {far}/26 dev {pop}")
    return at


def next_hops() -> Machines:
    """Two routers on the gateway's own network, each with a way to everywhere."""
    at = _made("gw", "lan", "fra1", "ams1", "inet")
    _lan(at)
    wire(at["gw"], "eth1", at["fra1"], "gw")
    wire(at["gw"], "eth2", at["ams1"], "gw")
    for number, pop in enumerate(("fra1", "ams1"), 1):
        _address(at["gw"], f"addr add 192.0.2.{16 * number + 2}/28 dev eth{number}")
        wire(at[pop], "eth0", at["inet"], pop)
        _address(
            at[pop],
            f"addr add 192.0.2.{16 * number + 1}/28 dev gw",
            f"addr add 203.0.113.{64 * number - 63}/26 dev eth0",
            f"route add default via 203.0.113.{64 * number - 62}",
            f"route add 10.77.0.0/24 via 192.0.2.{16 * number + 2}",
        )
        _address(
            at["inet"],
            f"addr add 203.0.113.{64 * number - 62}/26 dev {pop}",
            f"route add 192.0.2.{16 * number}/28 via 203.0.113.{64 * number - 63}",
        )
        namespaces.sysctl(pop, ipv4__ip_forward=1)
    hops = " ".join(f"nexthop via 203.0.113.{64 * number - 63}" for number in (1, 2))
    _address(at["inet"], "addr add 198.51.100.7/32 dev lo", f"route add 10.77.0.0/24 {hops}")
    return at


def uplinks() -> Machines:
    """Two providers; both lead to the same Internet."""
    at = _made("gw", "lan", "inet")
    _lan(at)
    wire(at["gw"], "eth0", at["inet"], "fibre")
    wire(at["gw"], "wwan0", at["inet"], "lte")
    _address(
        at["gw"],
        "addr add 192.0.2.10/24 dev eth0",
        "addr add 100.64.0.10/24 dev wwan0",
        "route add default via 192.0.2.1 dev eth0",
        "route add default via 100.64.0.1 dev wwan0 metric 700",
    )
    _address(
        at["inet"],
        "addr add 192.0.2.1/24 dev fibre",
        "addr add 100.64.0.1/24 dev lte",
        *(f"addr add {own}/32 dev lo" for own in ("198.51.100.7", "9.9.9.9", "1.1.1.1", "8.8.8.8")),
    )
    return at


NETWORKS: dict[str, Callable[[], Machines]] = {
    "wireguard": tunnels,
    "pop": tunnels,
    "openvpn": tunnels,
    "next-hops": next_hops,
    "uplinks": uplinks,
}
"""By the quick start's name."""
