"""PoPs behind tunnels of the kernel, for a gateway that is a machine of its own, in a VM.

::

    lan (10.77.0.2) ---- the machine ---- wan (192.0.2.2) ---- fra1 (203.0.113.1)    netem on the way to each
                              |                           ---- ams1 (2001:db8:113::2)
                         wg-fra1, wg-ams1, ...

Each PoP is a namespace with a WireGuard device; its kernel answers the probes, and a process of the lab the users.
"""

import contextlib
import subprocess
from pathlib import Path
from typing import Self

from steerd.lab import namespaces
from steerd.lab.worker import Worker
from steerd.lab.world import wiring
from steerd.lab.world.admin import Admin
from steerd.lab.world.outside import Outside
from steerd.lab.world.packets import OUTER_PORT
from steerd.lab.world.traffic import Traffic

BYPASS_MARK = 0x51
DELAYS = {"fra1": 20.0, "ams1": 30.0, "par1": 70.0, "nyc1": 90.0}
"""Round trips in ms. The delay is all on the way there."""

_KEYS = Path("/run/keys")
_USERS = {4: [f"198.18.0.{n}" for n in range(1, 33)], 6: [f"2001:2::{n:x}" for n in range(1, 33)]}


class KernelPop:
    """``target``/``target6`` are behind the tunnel, ``outer`` is the tunnel's endpoint."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.device = f"wg-{name}"
        self.target = f"10.64.{number}.1"
        self.target6 = f"fd64:0:0:{number}::1"
        self.outer = f"203.0.113.{number}" if number % 2 else f"2001:db8:113::{number}"
        self.number = number
        self._key = _private_key(name)

    def connect(self, delay_ms: float) -> None:
        """By a wire from ``wan``."""
        namespaces.add(self.name)
        namespaces.sysctl(self.name, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        here, there = f"100.64.{self.number}", f"fd00:64:{self.number}:"
        length = 128 if ":" in self.outer else 32
        namespaces.ip(f"link add {self.name} netns wan type veth peer name out0 netns {self.name}")
        namespaces.ip(
            f"""addr add {here}.1/24 dev {self.name}
                addr add {there}:1/64 dev {self.name} nodad
                link set {self.name} up
                route add {self.outer}/{length} via {f"{there}:2" if length == 128 else f"{here}.2"}""",
            "wan",
        )
        namespaces.ip(
            f"""addr add {here}.2/24 dev out0
                addr add {there}:2/64 dev out0 nodad
                addr add {self.outer}/{length} dev lo
                link set out0 up
                route add default via {here}.1
                route add default via {there}:1""",
            self.name,
        )
        _run("tc", "-n", "wan", "qdisc", "add", "dev", self.name, "root", "netem", "delay", f"{delay_ms}ms")

    def listen(self, peer: str) -> None:
        """The tunnel's far half, for the gateway with the public key ``peer``."""
        namespaces.ip("link add wg0 type wireguard", self.name)
        _run("wg", "set", "wg0", "listen-port", str(OUTER_PORT), "private-key", self._key,
             "peer", peer, "allowed-ips", "0.0.0.0/0,::/0", inside=self.name)  # fmt: skip
        namespaces.ip(
            f"""addr add {self.target}/24 dev wg0
                addr add {self.target6}/64 dev wg0
                link set wg0 up
                route add {wiring.HOST.address}/32 dev wg0
                route add {wiring.HOST.address6}/128 dev wg0""",
            self.name,
        )

    def public_key(self) -> str:
        return _public_key(self._key)

    def set(self, *, delay_ms: float = 0.0, lost: bool = False) -> None:
        """What packets meet on the way to this PoP from now on."""
        words = ["loss", "100%"] if lost else ["delay", f"{delay_ms}ms"]
        _run("tc", "-n", "wan", "qdisc", "change", "dev", self.name, "root", "netem", *words)

    def key(self, right: bool) -> None:
        """Give the PoP's device another key than the gateway knows, or its own again. Both end its sessions."""
        key = self._key if right else _private_key(f"{self.name}-other")
        _run("wg", "set", "wg0", "private-key", key, inside=self.name)


class KernelWorld:
    """Builds it all on entry, with users who are silent. It goes with its machine alone."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        _KEYS.mkdir(mode=0o700)
        _run("ip", "netns", "attach", "gw", "1")
        wiring.wire(0, made=("lan", "wan"))
        namespaces.sysctl("wan", ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        key = _private_key("gateway")
        self.pops = {name: KernelPop(name, number) for number, name in enumerate(DELAYS, 1)}
        for pop in self.pops.values():
            pop.connect(DELAYS[pop.name])
            pop.listen(_public_key(key))
            self._tunnel(pop, key)
            self._users_of(pop)
        self.outside = self._open.enter_context(contextlib.closing(Outside("wan", wiring.OUTSIDE.device)))
        traffic = Traffic("lan", list(self.pops), _USERS, 0.0)
        self.traffic = self._open.enter_context(contextlib.closing(traffic))
        admin = Admin("wan", wiring.ADMIN, "gw", wiring.UPLINK.address)
        self.admin = self._open.enter_context(contextlib.closing(admin))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def config(self, interval: str) -> str:
        """As the README has it."""
        text = f"""\
[gateway]
name = "gw-vm"

[probe]
interval = "{interval}"

[route]
bypass_mark = "{BYPASS_MARK:#x}"

[[policy]]
name = "users"
prefixes = ["0.0.0.0/0", "::/0"]
flows = "move"  # users talk without an end here: what a switch does would never be seen
"""
        for pop in self.pops.values():
            text += f"""
[[pop]]
name = "{pop.name}"
paths = [{{ dev = "{pop.device}", target = "{pop.target}", target6 = "{pop.target6}" }}]
"""
        return text

    def _tunnel(self, pop: KernelPop, key: str) -> None:
        """The gateway's half, as the README says: by wg-quick, without routes."""
        endpoint = f"[{pop.outer}]" if ":" in pop.outer else pop.outer
        file = Path(f"/etc/wireguard/{pop.device}.conf")
        file.touch(mode=0o600)
        file.write_text(f"""\
[Interface]
PrivateKey = {Path(key).read_text().strip()}
Address = {pop.target.removesuffix("1")}2/24, {pop.target6.removesuffix("1")}2/64
Table = off
FwMark = {BYPASS_MARK:#x}

[Peer]
PublicKey = {pop.public_key()}
Endpoint = {endpoint}:{OUTER_PORT}
AllowedIPs = 0.0.0.0/0, ::/0
""")
        _run("systemctl", "start", f"wg-quick@{pop.device}")

    def _users_of(self, pop: KernelPop) -> None:
        """What answers the users behind this PoP: at once, the way there takes its time."""
        given = {pop.name: {"device": "users", "number": pop.number, "targets": [], "conditions": {"delay_ms": 0.0}}}
        self._open.enter_context(
            contextlib.closing(Worker(pop.name, "steerd.lab.world.pop", {"pops": given, "seed": pop.number}))
        )
        namespaces.ip(
            """link set users addrgenmode none
               link set users up
               route add 198.18.0.0/15 dev users
               route add 2001:2::/48 dev users""",
            pop.name,
        )


def _private_key(name: str) -> str:
    file = _KEYS / name
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(_run("wg", "genkey"))
    return str(file)


def _public_key(private: str) -> str:
    return _run("wg", "pubkey", given=Path(private).read_text()).strip()


def _run(*command: str, inside: str | None = None, given: str = "") -> str:
    """What it printed."""
    argv = namespaces.command(inside, command) if inside else command
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, input=given, timeout=60).stdout
