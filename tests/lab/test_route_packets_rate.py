"""20,000 packets a second of four policies, both families, pinned and spread: what is counted is what arrives."""

import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from steerd.config.route_settings import Flows, Guard
from steerd.core.effects import Steer
from steerd.core.events import Share
from tests.lab.test_route_packets import counted, counting
from tests.lab.test_route_world import Gateway, entered, ip, is_test, path, policy, routing, settings, steer
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft, pytest.mark.alone]

RATE = 20_000
SECONDS = 4
FLOWS = 32
"""Of each policy and family."""
NUMBERS = {"voice": 1, "bulk": 2, "guests": 3, "all": 4}
PATHS = tuple(replace(path(n, name), inbound_mark=(100 + n) << 24) for n, name in enumerate("abcd", 1))
POLICIES = (
    policy("guests", 0, "10.3.0.0/16", "2001:db8:3::/48", sources=("192.168.50.0/24", "fd00:50::/64")),
    policy("voice", 1, "10.1.0.0/16", "2001:db8:1::/48", flows=Flows.AUTO, allowed=frozenset({"pop/a", "pop/b"})),
    policy("bulk", 2, "10.2.0.0/16", "2001:db8:2::/48", flows=Flows.AUTO, spread=2),
    policy("all", 3, "0.0.0.0/0", "::/0", guard=Guard.USUAL),
)


def addresses(first: int) -> list[str]:
    """Destinations of each policy in turn, in each family in turn."""
    return [
        address
        for flow in range(first, first + FLOWS)
        for number in NUMBERS.values()
        for address in (f"10.{number}.0.{flow}", f"2001:db8:{number}::{flow:x}")
    ]


SENDER = """
import socket, sys, time
rate, seconds, port4, port6 = map(int, sys.argv[1:5])
sockets = [socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
for one, port in zip(sockets, (port4, port6)):
    one.bind(("", port))
targets = [(sockets[":" in one], one) for one in sys.argv[5:]]
began, sent = time.monotonic(), 0
while (now := time.monotonic() - began) < seconds:
    for _ in range(min(256, int(now * rate) - sent)):
        sock, address = targets[sent % len(targets)]
        sock.sendto(b"test", (address, 5005))
        sent += 1
    time.sleep(0.001)
print(sent)
"""


class Traffic:
    """From the LAN, to each of the destinations in turn; ``came``: what came out of tunnels, by policy, family and
    device."""

    def __init__(self, gateway: Gateway) -> None:
        self.came: Counter = Counter()
        self._gateway = gateway
        self._end = threading.Event()
        self._ports = ("40004", "40006")  # the same connections each time
        self._drain = threading.Thread(target=self._read)

    def __enter__(self):
        self._drain.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._drain.join()

    def send(self, destinations: list[str]) -> int:
        """How many, in SECONDS at RATE or as near to it as this machine comes."""
        words = [sys.executable, "-c", SENDER, str(RATE), str(SECONDS), *self._ports, *destinations]
        with entered(self._gateway.lan):
            return int(subprocess.run(words, capture_output=True, check=True, timeout=60).stdout)

    def _read(self) -> None:
        names = {number: name for name, number in NUMBERS.items()}
        while not self._end.is_set():
            for device in ("a", "b", "c", "d", "wan"):
                for packet in filter(is_test, self._gateway.packets(device)):
                    family = packet[0] >> 4
                    address = ip_address(packet[16:20] if family == 4 else packet[24:40]).packed
                    self.came[names[address[1] if family == 4 else address[5]], family, device] += 1
            time.sleep(0.001)


def test_what_is_counted_is_what_arrives():
    async def run(gateway):
        heard, router = await counting(settings(PATHS, POLICIES))
        await router.steer(steer("voice", "a", "b"))
        shares = (Share("pop/b", 0.5), Share("pop/c", 0.5))
        await router.steer(Steer("bulk", "pop/b", None, "1-1", shares))
        await router.steer(steer("guests", "c"))
        await router.steer(steer("all", "d"))
        with Traffic(gateway) as traffic:
            await compare(router, traffic, addresses(1), {"voice": "a", "bulk": "bc", "guests": "c", "all": "d"})
            await router.steer(steer("voice", "b", "a"))
            new = [*addresses(1), *addresses(100)]
            await compare(router, traffic, new, {"voice": "b", "bulk": "bc", "guests": "c", "all": "d"})
        by = {(where, device): n for (name, _, where, device), n in counted(router).items() if name == "voice"}
        assert set(by) == {("choice", "a"), ("path", "a"), ("choice", "b")}
        assert not any(one.mismatch for one in heard.installed)
        await router.stop()

    async def compare(router, traffic, destinations, choices):
        before, came = counted(router), Counter(traffic.came)
        sent = 0

        def work() -> None:
            nonlocal sent
            sent = traffic.send(destinations)

        thread = threading.Thread(target=work)
        thread.start()
        await until_async(lambda: not thread.is_alive())
        await until_async(lambda: (traffic.came - came).total() >= 0.98 * sent)
        await until_async(lambda: (counted(router) - before).total() >= 0.98 * sent)
        new = traffic.came - came
        wanted = Counter()
        for (name, family, device), count in new.items():
            wanted[name, family, "choice" if device in choices[name] else "path", device] += count
        seen = counted(router) - before
        assert {key: seen[key] for key in wanted} == {key: pytest.approx(n, rel=0.02) for key, n in wanted.items()}
        assert (seen - wanted).total() <= 0.02 * sent, seen
        print(f"{sent} packets in {SECONDS} s: {dict(seen)}")

    with Gateway("a", "b", "c", "d") as gateway:
        for name in "abcd":
            ip("link", "set", "dev", name, "txqueuelen", "50000")
        routing(run(gateway))
