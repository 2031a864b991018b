"""Connections that stay where they are, on real packets: pinned, answered the way they came, released in time."""

import asyncio
import os
import socket
import struct
import subprocess
import threading
import time
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows, Guard
from steerd.route.kernel.conntrack import counted
from tests.lab.test_route_world import (
    LAN_HOST,
    PORT,
    Gateway,
    Heard,
    entered,
    goes,
    ip,
    ipv4,
    new_namespace,
    path,
    policy,
    routing,
    settings,
    steer,
)
from tests.lab.waiting import Awake, until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

EVERYTHING = ("0.0.0.0/0", "::/0")
PATHS = tuple(replace(path(n, name), inbound_mark=(100 + n) << 24) for n, name in enumerate("abc", 1))
ALL = policy("all", 0, *EVERYTHING, guard=Guard.USUAL, flows=Flows.AUTO)
CALM = 0.5
"""Seconds in which something would have happened that is not to happen."""


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def fresh(gateway, address: str) -> None:
    """A datagram of a connection of its own, from the LAN host."""
    with (
        entered(gateway.lan),
        socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as one,
    ):
        one.sendto(b"test", (address, PORT))


def udp(source: str, port: int, destination: str, to: int) -> bytes:
    """A datagram without a checksum, as IPv4 allows."""
    return ipv4(source, destination, struct.pack("!HHHH", port, to, 12, 0) + b"test", socket.IPPROTO_UDP)


def test_old_connections_stay_new_ones_move_and_a_dead_path_lets_go(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        for address in ("10.1.2.3", "2001:db8::1"):
            gateway.send(address, 3)
        assert gateway.arrivals() == {"a": 6}
        await router.steer(steer("all", "b", "a"))
        for address in ("10.1.2.3", "2001:db8::1"):
            gateway.send(address, 3)
            fresh(gateway, address)
        assert gateway.arrivals() == {"a": 6, "b": 2}
        await router.steer(steer("all", "c", "b"))
        for address in ("10.1.2.3", "2001:db8::1"):
            gateway.send(address, 3)
            fresh(gateway, address)
        assert gateway.arrivals() == {"a": 6, "c": 2}
        # One of each family began on each path, and none moved.
        assert counted(0xFF << 24) == {(path.mark, family): 1 for path in PATHS for family in (4, 6)}
        router.lost("pop/a")
        for address in ("10.1.2.3", "2001:db8::1"):
            await until_async(lambda address=address: goes(gateway, address) == "c")
        await router.stop()

    routing(run())


def test_old_connections_leave_a_path_that_is_to_be_spared(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        gateway.send("10.1.2.3", 3)
        await router.steer(steer("all", "b", "a"))
        gateway.send("10.1.2.3", 3)
        assert gateway.arrivals() == {"a": 6}
        router.spare(frozenset({"pop/a"}))
        await until_async(lambda: goes(gateway, "10.1.2.3") == "b")
        gateway.send("10.4.5.6", 3)
        assert gateway.arrivals() == {"b": 3}
        router.spare(frozenset({"pop/b"}))  # while it is used, nothing moves
        await asyncio.sleep(CALM)
        gateway.send("10.4.5.6", 3)
        assert gateway.arrivals() == {"b": 3}
        await router.steer(steer("all", "c", "b"))
        assert goes(gateway, "10.4.5.6") == "c"
        await router.stop()

    routing(run())


def test_only_the_connections_of_the_dead_path_are_released(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3")
        await router.steer(steer("all", "b"))
        gateway.send("10.4.5.6")
        await router.steer(steer("all", "c"))
        gateway.arrivals()
        router.lost("pop/b")
        await until_async(lambda: goes(gateway, "10.4.5.6") == "c")
        assert goes(gateway, "10.1.2.3") == "a"
        await router.stop()

    routing(run())


def test_the_path_in_use_keeps_its_connections_until_it_is_left(gateway):
    """Down, but there is no better one: letting go would only mark them anew."""

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3")
        router.lost("pop/a")
        await asyncio.sleep(CALM)
        gateway.send("10.1.2.3", 2)
        await router.steer(steer("all", "b"))
        gateway.send("10.1.2.3", 4)
        assert gateway.arrivals() == {"a": 3, "b": 4}
        await router.stop()

    routing(run())


def test_after_max_drain_a_path_that_was_left_lets_go_too(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (replace(ALL, max_drain=1.0),)))
        await router.start()
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3")
        await router.steer(steer("all", "b"))
        gateway.send("10.1.2.3")
        assert gateway.arrivals() == {"a": 2}
        await until_async(lambda: goes(gateway, "10.1.2.3") == "b")
        await router.stop()

    routing(run())


@pytest.mark.parametrize("marks", [{"bypass_mark": 0x51}, {"main_mark": 0xFA << 24}], ids=["bypass", "our own"])
def test_what_came_in_by_a_path_or_by_main_is_answered_by_it(gateway, marks):
    """Such as to a port that is forwarded to a host of the LAN."""
    given = settings(PATHS, (ALL,), **marks)

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "a"))
        with entered(gateway.lan), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((LAN_HOST, 7000))
            server.settimeout(2)
            for name in ("b", "wan", "a"):
                gateway.inject(name, udp("198.51.100.9", 4000 + ord(name[0]), LAN_HOST, 7000))
                _, client = server.recvfrom(100)
                server.sendto(b"answer", client)
                await asyncio.sleep(0.05)
                counted = {
                    one: len([p for p in gateway.packets(one) if b"answer" in p]) for one in ("a", "b", "c", "wan")
                }
                assert counted == {one: int(one == name) for one in ("a", "b", "c", "wan")}
        # What came in by a path to the gateway itself, too.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind(("192.168.50.1", 7001))
            own.settimeout(2)
            gateway.inject("c", udp("198.51.100.9", 4444, "192.168.50.1", 7001))
            _, client = own.recvfrom(100)
            own.sendto(b"answer", client)
            await asyncio.sleep(0.05)
            assert [p for p in gateway.packets("c") if b"answer" in p]
            assert not [p for p in gateway.packets("wan") if b"answer" in p]
        await router.stop()

    routing(run())


def test_policies_that_move_move(gateway):
    calls = policy("calls", 1, "10.0.0.0/8", flows=Flows.MOVE)

    async def run():
        router = Heard().router(settings(PATHS, (ALL, calls)))
        await router.start()
        for best in "ab":
            await router.steer(steer("all", best))
            await router.steer(steer("calls", best))
            gateway.send("10.1.2.3", 2)
            gateway.send("172.20.1.1", 3)
            assert gateway.arrivals() == ({"a": 5} if best == "a" else {"a": 3, "b": 2})
        await router.stop()

    routing(run())


def test_marks_of_others_are_left_alone(gateway):
    subprocess.run(
        ["nft", "-f", "-"],
        input="table inet others {\n chain f {\n type filter hook forward priority mangle;\n"
        " ct mark set ct mark or 0x77\n meta mark set 0x3f00\n }\n"
        " chain seen {\n type filter hook postrouting priority 0;\n"
        " meta mark and 0x00ffffff == 0x3f00 ct mark and 0x00ffffff == 0x77 counter\n }\n}\n",
        text=True,
        check=True,
        timeout=20,
    )

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3", 3)
        await router.steer(steer("all", "b"))
        gateway.send("10.1.2.3", 3)
        assert gateway.arrivals() == {"a": 6}
        await router.stop()

    routing(run())
    listed = subprocess.run(
        ["nft", "list", "table", "inet", "others"], capture_output=True, text=True, check=True, timeout=20
    )
    assert "counter packets 6" in listed.stdout


@pytest.mark.parametrize(
    "rule",
    [
        "priority filter + 10;\n meta nfproto { ipv4, ipv6 } fib saddr . mark . iif oif missing drop",
        'priority -100;\n iifname "lan" meta mark set 0x1',
    ],
    ids=["firewalld asks for the way back with the mark", "another sets the whole mark"],
)
def test_pinned_packets_pass_whatever_others_ask_of_their_mark_or_set_it_to(gateway, rule):
    table = f"table inet others {{\nchain c {{\n type filter hook prerouting {rule}\n}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True, timeout=20)

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        for best in "ab":
            await router.steer(steer("all", best))
            for address in ("10.1.2.3", "2001:db8::1"):
                gateway.send(address, 3)
        assert gateway.arrivals() == {"a": 12}
        await router.stop()

    routing(run())


@pytest.mark.parametrize("restores", ["meta l4proto udp meta mark set ct mark", "meta mark set ct mark"])
def test_answers_arrive_whatever_others_restore_from_the_connection(gateway, restores):
    """wg-quick has each UDP packet take its mark from the connection, before any rule of ours."""
    chain = f"chain restore {{\n type filter hook prerouting priority -150;\n {restores}\n }}"
    subprocess.run(["nft", "-f", "-"], input=f"table inet others {{\n {chain}\n}}\n", text=True, check=True, timeout=20)

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        with entered(gateway.lan), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((LAN_HOST, 7100))
            client.settimeout(2)
            for best in ("a", "b"):  # pinned to a
                await router.steer(steer("all", best))
                client.sendto(b"ask", ("198.51.100.9", 4000))
                await asyncio.sleep(0.05)
                assert [p for p in gateway.packets("a") if b"ask" in p]
                gateway.inject("a", udp("198.51.100.9", 4000, LAN_HOST, 7100))
                assert client.recvfrom(100)[0] == b"test"
                assert not gateway.packets("a")
        await router.stop()

    routing(run())


def test_a_strict_lan_side_that_looks_at_marks_lets_pinned_packets_and_answers_pass(gateway):
    """As wg-quick sets it: the mark that leads a packet on must not answer for where it came from, too."""
    gateway.sysctl("ipv4/conf/all/src_valid_mark", 1)
    gateway.sysctl("ipv4/conf/lan/rp_filter", 1)

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        for best in "ab":
            await router.steer(steer("all", best))
            gateway.send("10.1.2.3", 3)
        assert gateway.arrivals() == {"a": 6}
        with entered(gateway.lan), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((LAN_HOST, 7000))
            server.settimeout(2)
            gateway.inject("c", udp("198.51.100.9", 4000, LAN_HOST, 7000))
            _, client = server.recvfrom(100)
            server.sendto(b"answer", client)
            await until_async(lambda: any(b"answer" in one for one in gateway.packets("c")))
        await router.stop()

    routing(run())


def test_two_paths_on_one_device_are_told_apart_by_their_next_hop(gateway):
    ip("link", "add", "eth", "type", "veth", "peer", "name", "far")
    ip("addr", "add", "10.90.0.1/24", "dev", "eth")
    ip("link", "set", "eth", "up")
    ip("link", "set", "far", "up")
    for last in (2, 3):
        ip("neigh", "add", f"10.90.0.{last}", "lladdr", f"02:00:00:00:00:0{last}", "dev", "eth")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as far:
        far.bind(("far", 0))
        far.settimeout(0.2)

        def nexthops() -> list[int]:
            found = []
            try:
                while True:
                    frame = far.recv(2048)
                    if frame[:5] == b"\2\0\0\0\0" and frame[12:14] == b"\x08\0":
                        found.append(frame[5])
            except TimeoutError:
                return found

        one, two = (
            replace(path(n, "eth", via=f"10.90.0.{n + 1}", carries="4"), path=f"pop/{n}", inbound_mark=(9 + n) << 24)
            for n in (1, 2)
        )

        async def run():
            router = Heard().router(settings((one, two), (policy("all", 0, "0.0.0.0/0", flows=Flows.PIN),)))
            await router.start()
            await router.steer(steer("all", "1"))
            gateway.send("10.1.2.3", 2)
            await router.steer(steer("all", "2"))
            gateway.send("10.1.2.3", 2)
            fresh(gateway, "10.1.2.3")
            assert nexthops() == [2, 2, 2, 2, 3]
            await router.stop()

        routing(run())


# TCP through masquerade.


class Far:
    """What is behind both paths, in a namespace of its own: an address that takes TCP connections."""

    address = "198.51.100.1"

    def __init__(self, lan: int) -> None:
        self.namespace = new_namespace()
        self._lan = lan
        peer = f"/proc/{os.getpid()}/fd/{self.namespace}"
        for number, name in enumerate(("va", "vb"), 1):
            ip("link", "add", name, "type", "veth", "peer", "name", f"p{name}", "netns", peer)
            ip("addr", "add", f"10.9{number}.0.1/24", "dev", name)
            ip("link", "set", name, "up")
        with entered(self.namespace):
            ip("link", "set", "lo", "up")
            ip("addr", "add", f"{self.address}/32", "dev", "lo")
            for number, name in enumerate(("pva", "pvb"), 1):
                ip("addr", "add", f"10.9{number}.0.2/24", "dev", name)
                ip("link", "set", name, "up")
            self.server = socket.create_server((self.address, 80))
        self.peers: list[str] = []
        self._taking = threading.Thread(target=self._take, daemon=True)
        self._taking.start()

    def _take(self) -> None:
        while True:
            try:
                connection, peer = self.server.accept()
            except OSError:
                return
            self.peers.append(peer[0])
            threading.Thread(target=self._drain, args=(connection,), daemon=True).start()

    def _drain(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    if not connection.recv(1 << 16):
                        return
                except OSError:
                    return

    def connect(self) -> socket.socket:
        with entered(self._lan):
            return socket.create_connection((self.address, 80), timeout=3)

    def kill(self, device: str) -> None:
        """Nothing that comes by it is heard any more; the device stays up."""
        with entered(self.namespace):
            subprocess.run(
                ["nft", "-f", "-"],
                input=f"table ip dead {{\n chain c {{\n type filter hook prerouting priority -300;\n"
                f' iifname "{device}" drop\n }}\n}}\n',
                text=True,
                check=True,
                timeout=20,
            )

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self._taking.join(5)
        os.close(self.namespace)


def test_a_masqueraded_transfer_survives_a_switch_and_is_reset_on_a_dead_path(gateway):
    subprocess.run(
        ["nft", "-f", "-"],
        input="table ip nat {\n chain post {\n type nat hook postrouting priority srcnat;\n"
        ' oifname { "va", "vb" } masquerade\n }\n}\n',
        text=True,
        check=True,
        timeout=20,
    )
    far = Far(gateway.lan)
    paths = tuple(
        replace(path(n, f"v{name}", via=f"10.9{n}.0.2", carries="4"), inbound_mark=(100 + n) << 24)
        for n, name in enumerate("ab", 1)
    )

    awake = Awake()

    async def run():
        router = Heard().router(settings(paths, (policy("all", 0, "0.0.0.0/0", guard=Guard.USUAL, flows=Flows.PIN),)))
        await router.start()
        await router.steer(steer("all", "va", "vb"))
        old = await asyncio.to_thread(far.connect)
        sent = await send_for(old, 0.3)
        await router.steer(steer("all", "vb", "va"))
        new = await asyncio.to_thread(far.connect)
        assert await send_for(old, 0.5) > sent / 10
        assert await send_for(new, 0.2) > 0
        assert far.peers == ["10.91.0.1", "10.92.0.1"]
        far.kill("pva")
        router.lost("pop/va")
        began = awake.seconds()
        with pytest.raises(ConnectionError):
            await send_for(old, 60.0)
        assert awake.seconds() - began < 1.0
        assert await send_for(new, 0.2) > 0
        await router.stop()
        for one in (old, new):
            one.close()

    try:
        routing(run())
    finally:
        far.close()


async def send_for(connection: socket.socket, seconds: float) -> int:
    """How many bytes went. Raises what the connection comes to."""

    def work() -> int:
        sent, until = 0, time.monotonic() + seconds
        connection.settimeout(0.1)
        while time.monotonic() < until:
            try:
                sent += connection.send(bytes(1000))
            except TimeoutError:
                continue
            time.sleep(0.001)
        return sent

    return await asyncio.to_thread(work)


def test_segment_sizes_are_clamped_to_what_the_path_takes(gateway):
    far = Far(gateway.lan)
    ip("link", "set", "va", "mtu", "1400")
    paths = (path(1, "va", via="10.91.0.2", carries="4"), path(2, "vb", via="10.92.0.2", carries="4"))
    with entered(far.namespace):
        ip("route", "add", "192.168.50.0/24", "via", "10.91.0.1")

    async def run():
        router = Heard().router(settings(paths, (policy("all", 0, "0.0.0.0/0"),), clamp_mss=True))
        await router.start()
        await router.steer(steer("all", "va"))
        sizes = []
        for _ in range(2):
            one = await asyncio.to_thread(far.connect)
            sizes.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
            one.close()
            await router.size("pop/va", 1300)
        assert sizes == [1360 - 12, 1260 - 12]  # less the time stamps in each segment
        await router.stop()

    try:
        routing(run())
    finally:
        far.close()
