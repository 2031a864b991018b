"""Frames that a bridge passes on are not routed, so not the guard's; what is routed by the bridge is."""

import os
import socket
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from steerd.config.route_settings import Guard
from tests.lab.test_route_world import (
    Gateway,
    Heard,
    entered,
    ip,
    new_namespace,
    path,
    policy,
    routing,
    settings,
    steer,
)
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

ALL = policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL)
PORT = 5006


@contextmanager
def hosts(bridge):
    """Two hosts on ports of a bridge of the gateway's, in namespaces of their own."""
    with ExitStack() as stack:
        ip("link", "add", bridge, "type", "bridge")
        ip("link", "set", bridge, "up")
        found = []
        for number in (1, 2):
            namespace = new_namespace()
            stack.callback(os.close, namespace)
            peer = f"/proc/{os.getpid()}/fd/{namespace}"
            ip("link", "add", f"{bridge}p{number}", "type", "veth", "peer", "name", "eth0", "netns", peer)
            ip("link", "set", f"{bridge}p{number}", "master", bridge, "up")
            with entered(namespace):
                for name in ("all", "eth0"):  # else the gateway says that neighbours need no router
                    Gateway.sysctl(f"ipv4/conf/{name}/accept_redirects", 0)
                ip("link", "set", "lo", "up")
                ip("addr", "add", f"198.18.5.{number}/24", "dev", "eth0")
                ip("-6", "addr", "add", f"2001:db8:5::{number}/64", "dev", "eth0", "nodad")
                ip("link", "set", "eth0", "up")
            found.append(namespace)
        yield found


def reaches(namespaces, address):
    """Whether a datagram of the first host comes to the second, which has this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(namespaces[1]), socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("", PORT))
        receiver.settimeout(0.2)
        with entered(namespaces[0]), socket.socket(family, socket.SOCK_DGRAM) as sender:
            for _ in range(5):
                sender.sendto(b"frame", (address, PORT))
                try:
                    return receiver.recv(100) == b"frame"
                except TimeoutError:
                    time.sleep(0)
    return False


def test_bridged_frames_pass_the_guard_and_what_is_routed_does_not():
    with Gateway("a") as gateway:
        if not Path("/proc/sys/net/bridge").exists():
            pytest.skip("this kernel has no br_netfilter")
        for name in ("iptables", "ip6tables"):
            gateway.sysctl(f"bridge/bridge-nf-call-{name}", 1)

        async def run():
            with hosts("br0") as both:
                # Routed from one host to the other, by an address of the bridge's that main knows as little as others.
                ip("addr", "add", "192.168.70.1/24", "dev", "br0")
                ip("route", "add", "default", "dev", "br0", "table", "77")
                ip("rule", "add", "priority", "100", "iif", "br0", "lookup", "77")
                with entered(both[0]):
                    ip("addr", "add", "192.168.70.2/24", "dev", "eth0")
                    ip("route", "add", "198.18.9.2/32", "via", "192.168.70.1")
                with entered(both[1]):
                    ip("addr", "add", "198.18.9.2/32", "dev", "eth0")
                addresses = ("198.18.5.2", "2001:db8:5::2", "198.18.9.2")
                await until_async(lambda: all(reaches(both, one) for one in addresses))
                router = Heard().router(settings((path(1, "a"),), (ALL,)))
                await router.start()
                await router.steer(steer("all", "a"))
                assert [reaches(both, one) for one in addresses] == [True, True, False]
                await router.stop()

        routing(run())
