"""A gateway and PoPs with WireGuard tunnels between them. Inside an enclosure only.

::

    lan (10.77.0.2) ---- gw ==== fra1, ams1, par1: each the far end of a tunnel, with 198.18.0.1 behind it

With ``devices`` the gateway has a WireGuard device a PoP, ``wg-fra1`` and so on; else one, ``wg0``, with a peer a PoP.
"""

import json
import os
import subprocess
import sys
from typing import Any

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, LabError
from steerd.net.wireguard import uapi
from tests.lab.waiting import until

POPS = ("fra1", "ams1", "par1")
SERVICE = "198.18.0.1"
SOCKET = RUN / "control.sock"
METRICS = "127.0.0.1:9911"
LOG = RUN / "steerd.log"
_PORT = 51820

ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
log = open(sys.argv[1], "a", buffering=1)
while True:
    data, peer = s.recvfrom(99)
    print(data.decode(), file=log)
    s.sendto(data, peer)
"""
SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
every, began, n = float(sys.argv[2]), time.monotonic(), 0
while True:
    try:
        s.sendto(str(n).encode(), (sys.argv[1], 7))
    except OSError:
        pass
    n += 1
    time.sleep(max(0.0, began + n * every - time.monotonic()))
"""
_FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


class Keys:
    """A pair of keys; the private one lies in a file."""

    def __init__(self, name: str) -> None:
        self.file = RUN / f"{name}.key"
        private = subprocess.run(["wg", "genkey"], check=True, capture_output=True, text=True).stdout
        self.file.write_text(private)
        self.public = subprocess.run(
            ["wg", "pubkey"], input=private, check=True, capture_output=True, text=True
        ).stdout.strip()


class Network:
    """Builds it all. Nothing is taken down: the enclosure's end does that."""

    def __init__(self, *, devices: bool) -> None:
        self.one = not devices
        self.keys = {pop: Keys(pop) for pop in POPS}
        namespaces.add("gw", "lan", *POPS)
        namespaces.sysctl("gw", ipv4__ip_forward=1)
        _wire("gw", "lan0", "10.77.0.1/24", "lan", "lan1", "10.77.0.2/24")
        namespaces.ip("route add default via 10.77.0.1", "lan")
        self.own = {}
        for number, pop in enumerate(POPS, 1):
            _wire("gw", f"u-{pop}", f"192.0.2.{4 * number + 1}/30", pop, "out0", f"192.0.2.{4 * number + 2}/30")
            if devices or number == 1:
                self._gateway(self.device(pop), number)
            self._pop(pop, number)
            own = self.own[self.device(pop)]
            port = _PORT if self.one else _PORT + number
            wg(pop, "set", f"p-{pop}", "peer", own.public, "allowed-ips", "10.64.0.0/16,10.77.0.0/24",
               "endpoint", f"192.0.2.{4 * number + 1}:{port}")  # fmt: skip
            wg("gw", "set", self.device(pop), "peer", self.keys[pop].public,
               "allowed-ips", f"10.64.{number}.1/32" + ("" if self.one else ",0.0.0.0/0"),
               "endpoint", f"192.0.2.{4 * number + 2}:{_PORT}")  # fmt: skip

    def device(self, pop: str) -> str:
        return "wg0" if self.one else f"wg-{pop}"

    def _gateway(self, device: str, number: int) -> None:
        self.own[device] = keys = Keys(device)
        _serve("gw", device)
        port = _PORT if self.one else _PORT + number
        wg("gw", "set", device, "private-key", str(keys.file), "listen-port", str(port))
        namespaces.ip(f"addr add 10.64.0.{number}/32 dev {device}\nlink set {device} up", "gw")
        if self.one:
            namespaces.ip("\n".join(f"route add 10.64.{n}.1 dev wg0" for n in range(1, len(POPS) + 1)), "gw")
        else:
            namespaces.ip(f"route add 10.64.{number}.1 dev {device}", "gw")

    def _pop(self, pop: str, number: int) -> None:
        _serve(pop, f"p-{pop}")
        wg(pop, "set", f"p-{pop}", "private-key", str(self.keys[pop].file), "listen-port", str(_PORT))
        namespaces.ip(
            f"""addr add 10.64.{number}.1/32 dev p-{pop}
                link set p-{pop} up
                addr add {SERVICE}/32 dev lo
                route add 10.64.0.0/24 dev p-{pop}
                route add 10.77.0.0/24 dev p-{pop}""",
            pop,
        )
        namespaces.spawn(pop, [sys.executable, "-c", ECHO, str(RUN / f"{pop}.seen")])

    def traffic(self, namespace: str, address: str, every: float) -> "subprocess.Popen[Any]":
        """Numbered datagrams to an echo server, one each ``every`` seconds."""
        return namespaces.spawn(namespace, [sys.executable, "-c", SEND, address, str(every)])

    def seen(self, pop: str) -> list[int]:
        """The numbers of those that came to a PoP, in their order."""
        file = RUN / f"{pop}.seen"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []

    def break_key(self, pop: str) -> None:
        """The PoP no longer knows the gateway; its outer network goes on as before."""
        wg(pop, "set", f"p-{pop}", "peer", self.own[self.device(pop)].public, "remove")

    def config(self, *, interval: str, tables: str = "") -> str:
        text = f"""\
[gateway]
name = "gw-lab"

[probe]
interval = "{interval}"
mtu_interval = "0s"

[export]
listen = "{METRICS}"

[control]
socket = "{SOCKET}"

[store]
path = "{RUN}/store"

[[policy]]
name = "users"
prefixes = ["198.18.0.0/15"]
flows = "move"
"""
        for number, pop in enumerate(POPS, 1):
            peer = f', peer = "{self.keys[pop].public}"' if self.one else ""
            text += f"""
[[pop]]
name = "{pop}"
paths = [{{ name = "wg", dev = "{self.device(pop)}"{peer}, target = "10.64.{number}.1" }}]
"""
        return text + "\n" + tables

    def run_daemon(self, config: str, *arguments: str) -> "subprocess.Popen[Any]":
        file = RUN / "steerd.toml"
        file.write_text(config)
        command = [sys.executable, "-m", "steerd.cli.steerd", "run", "-c", str(file), *arguments]
        with LOG.open("a") as log:
            return namespaces.spawn("gw", command, stderr=log, stdout=log)


def _serve(namespace: str, device: str) -> None:
    """By the kernel, or where it has no WireGuard by wireguard-go."""
    try:
        namespaces.ip(f"link add {device} type wireguard", namespace)
    except LabError:
        environment = {**os.environ, "LOG_LEVEL": "error"}
        command = ["wireguard-go", "-f", device]
        namespaces.spawn(namespace, command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: uapi.served(device))


def _wire(near: str, device: str, address: str, far: str, other: str, others: str) -> None:
    namespaces.ip(f"link add {device} netns {near} type veth peer name {other} netns {far}")
    namespaces.ip(f"addr add {address} dev {device}\nlink set {device} up", near)
    namespaces.ip(f"addr add {others} dev {other}\nlink set {other} up", far)


def wg(namespace: str, *arguments: str) -> str:
    command = namespaces.command(namespace, ["wg", *arguments])
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout


def allowed(device: str) -> dict[str, list[str]]:
    """AllowedIPs by peer, as `wg` tells them."""
    lines = wg("gw", "show", device, "allowed-ips").splitlines()
    return {key: sorted(rest.split()) if rest != "(none)" else [] for key, rest in (one.split("\t") for one in lines)}


def ask(*arguments: str) -> Any:
    command = [sys.executable, "-m", "steerd.cli.steerctl", "--socket", str(SOCKET), *arguments, "--json"]
    done = subprocess.run(namespaces.command("gw", command), capture_output=True, text=True, check=False, timeout=20)
    return json.loads(done.stdout or "null") if done.returncode == 0 else None


def path(pop: str) -> Any:
    """One path's status."""
    answer = ask("status")
    return None if answer is None else next(one for one in answer["paths"] if one["pop"] == pop)


def choice() -> str | None:
    answer = ask("status")
    return None if answer is None else answer["policies"][0]["choice"]


def all_up() -> bool:
    answer = ask("status")
    return answer is not None and all(one["state"] == "up" for one in answer["paths"])


def metrics() -> dict[str, float]:
    command = namespaces.command("gw", [sys.executable, "-c", _FETCH, f"http://{METRICS}/metrics"])
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    rows = (line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def log_text() -> str:
    return LOG.read_text() if LOG.exists() else ""
