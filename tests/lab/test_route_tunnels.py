"""Tunnels of the kernel's own as paths: their outer packets go round the tunnel, whatever marks the inner ones have."""

import os
import socket
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows
from tests.lab.test_route_world import (
    PORT,
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

pytestmark = [pytest.mark.lab, pytest.mark.nft]

FAR, INSIDE = "192.0.2.2", "10.64.0.2"


@pytest.fixture
def gateway():
    with Gateway("b") as one:
        yield one


@pytest.fixture
def far():
    namespace = new_namespace()
    yield namespace
    os.close(namespace)


def tunnel(remote: str, address: str) -> None:
    ip("link", "add", "v", "type", "vxlan", "id", "1", "remote", remote, "dstport", "4789")
    ip("addr", "add", f"{address}/24", "dev", "v")
    ip("link", "set", "dev", "v", "up")


def test_a_tunnel_whose_outer_packets_have_the_inner_ones_mark_carries_probes_and_pinned_connections(gateway, far):
    ip("link", "add", "outer", "type", "veth", "peer", "name", "near", "netns", f"/proc/{os.getpid()}/fd/{far}")
    ip("addr", "add", "192.0.2.1/24", "dev", "outer")
    ip("link", "set", "dev", "outer", "up")
    with entered(far):
        ip("link", "set", "dev", "lo", "up")
        ip("addr", "add", f"{FAR}/24", "dev", "near")
        ip("link", "set", "dev", "near", "up")
        tunnel("192.0.2.1", INSIDE)
        ip("addr", "add", "10.1.2.3/32", "dev", "lo")
        ip("route", "add", "192.168.50.0/24", "via", "10.64.0.1")
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tunnel(FAR, "10.64.0.1")
    paths = (path(1, "v", via=INSIDE, carries="4"), path(2, "b"))

    async def run():
        router = Heard().router(settings(paths, (replace(policy("all", 0, "0.0.0.0/0"), flows=Flows.AUTO),)))
        await router.start()
        await router.steer(steer("all", "v"))
        with server:
            server.bind(("10.1.2.3", PORT))
            server.settimeout(10)
            for _ in range(5):
                gateway.send("10.1.2.3")
                assert server.recv(100) == b"test"
        with entered(far):
            probed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with probed:
            probed.bind((INSIDE, PORT))
            probed.settimeout(10)
            assert gateway.send_own(INSIDE, mark=paths[0].mark) is None
            assert probed.recv(100) == b"test"
        ip("link", "del", "v")
        await router.stop()

    routing(run())
