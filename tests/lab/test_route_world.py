"""A gateway in a network namespace of its own, with tunnels whose far ends are this process, a LAN and a WAN.

Namespaces are anonymous: they go with the process, however it ends. The tests' thread is inside the gateway
while a `Gateway` is open, and so is every thread, socket and command that it starts.
"""

import asyncio
import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from steerd.config.route_settings import OnStop, Prefixes, RoutePath, RoutePolicy, RouteSettings
from steerd.core.effects import Steer
from steerd.core.events import Installed, Link
from steerd.core.settings import PathId, PolicyId
from steerd.route.model import prefixes
from steerd.route.router import Router

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_libc = ctypes.CDLL(None, use_errno=True)

PORT = 5005
NONE_CAME = 3
"""Looks, 25 ms apart, after which no datagram is on its way any more: a busy machine forwards late."""
PROTOCOL = 210
LAN_HOST, LAN_HOST6 = "192.168.50.2", "fd00:50::2"
LAN_GATEWAY, LAN_GATEWAY6 = "192.168.50.1", "fd00:50::1"
ADMIN = "198.51.100.7"
WAN_ADDRESS = "203.0.113.1"


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def entered(namespace: int):
    home = _here()
    try:
        _checked(_libc.setns(namespace, _CLONE_NEWNET))
        yield
    finally:
        _checked(_libc.setns(home, _CLONE_NEWNET))
        os.close(home)


def new_namespace() -> int:
    home = _here()
    try:
        _checked(_libc.unshare(_CLONE_NEWNET))
        return _here()
    finally:
        _checked(_libc.setns(home, _CLONE_NEWNET))
        os.close(home)


def ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=False)
    if check and done.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr}")
    return done.stdout


def refusal(*words: str) -> str:
    """What `ip` says to what it cannot do."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode
    return done.stderr


class Gateway:
    """``tunnels`` and ``wan`` are TUN devices; ``wan`` has main's default route. All up, forwarding."""

    def __init__(self, *tunnels: str) -> None:
        self._names = tunnels
        self._stack = ExitStack()
        self._ends: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            gateway = new_namespace()
        except PermissionError:
            pytest.skip("network namespaces need root or a user namespace")
        self._stack.callback(os.close, gateway)
        try:
            self._stack.enter_context(entered(gateway))
            self.build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def build(self) -> None:
        ip("link", "set", "lo", "up")
        self.sysctl("ipv4/ip_forward", 1)
        self.sysctl("ipv6/conf/all/forwarding", 1)
        self.sysctl("ipv4/icmp_ratelimit", 0)
        self.sysctl("ipv6/icmp/ratelimit", 0)
        # The addresses that devices give themselves are there at once, not some time in a test.
        self.sysctl("ipv6/conf/default/accept_dad", 0)
        for name in (*self._names, "wan"):
            self.tunnel(name)
        ip("addr", "add", f"{WAN_ADDRESS}/24", "dev", "wan")
        ip("route", "add", "default", "dev", "wan")
        ip("-6", "route", "add", "default", "dev", "wan")
        self.lan = lan = new_namespace()
        self._stack.callback(os.close, lan)
        peer = f"/proc/{os.getpid()}/fd/{lan}"
        ip("link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", peer)
        ip("addr", "add", f"{LAN_GATEWAY}/24", "dev", "lan")
        ip("-6", "addr", "add", f"{LAN_GATEWAY6}/64", "dev", "lan", "nodad")
        ip("link", "set", "lan", "up")
        with entered(lan):
            ip("link", "set", "lo", "up")
            ip("addr", "add", f"{LAN_HOST}/24", "dev", "eth0")
            ip("-6", "addr", "add", f"{LAN_HOST6}/64", "dev", "eth0", "nodad")
            ip("link", "set", "eth0", "up")
            ip("route", "add", "default", "via", LAN_GATEWAY)
            ip("-6", "route", "add", "default", "via", LAN_GATEWAY6)
            self.host = self._socket(socket.AF_INET)
            self.host6 = self._socket(socket.AF_INET6)
            self.pinger = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        self.pinger.settimeout(1)
        # Until neighbours know each other, packets wait.
        until = time.monotonic() + 15
        for address in ("192.0.2.1", "2001:db8::1"):
            self.send(address)
            while not self.arrivals():
                assert time.monotonic() < until
                self.send(address)

    def _socket(self, family: int) -> socket.socket:
        return self._stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))

    @staticmethod
    def sysctl(name: str, value: int) -> None:
        Path(f"/proc/sys/net/{name}").write_text(str(value))

    def tunnel(self, name: str) -> None:
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._stack.callback(os.close, end)
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
        self._ends[name] = end
        ip("link", "set", "dev", name, "up", "txqueuelen", "10000")

    def packets(self, name: str) -> list[bytes]:
        """What has come out of a tunnel since last asked."""
        found = []
        while select.select([self._ends[name]], [], [], 0)[0]:
            found.append(os.read(self._ends[name], 4096))
        return found

    def inject(self, name: str, packet: bytes) -> None:
        os.write(self._ends[name], packet)

    def arrivals(self) -> Counter[str]:
        """Test datagrams by the tunnel that they came out of, since last asked."""
        found: Counter[str] = Counter()
        quiet = 0
        while quiet < (1 if +found else NONE_CAME):
            time.sleep(0.025)
            new = {name: sum(map(is_test, self.packets(name))) for name in self._ends}
            found.update(new)
            quiet = 0 if any(new.values()) else quiet + 1
        return +found

    def send(self, address: str, times: int = 1, **_: object) -> None:
        """Datagrams from the LAN host."""
        sock = self.host6 if ":" in address else self.host
        for _ in range(times):
            try:
                sock.sendto(b"test", (address, PORT))
            except OSError:  # an earlier datagram was answered with "unreachable"
                sock.sendto(b"test", (address, PORT))

    def send_own(self, address: str, mark: int = 0, source: str = "") -> str | None:
        """A datagram of the gateway's own. Returns the error's name, or None."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            if mark:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            if source:
                sock.bind((source, 0))
            try:
                sock.sendto(b"test", (address, PORT))
            except OSError as error:
                return os.strerror(error.errno)
        return None

    def ping_from_lan(self, address: str) -> bool:
        """Whether an echo from the LAN host is answered."""
        self.pinger.sendto(echo(7), (address, 0))
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                answer = self.pinger.recv(2048)
            except TimeoutError:
                return False
            if answer[20] == 0 and answer[24:26] == struct.pack("!H", 7):
                return True
        return False


def is_test(packet: bytes) -> bool:
    head = 20 if packet[0] >> 4 == 4 else 40
    protocol = packet[9] if head == 20 else packet[6]
    return protocol == socket.IPPROTO_UDP and packet[head + 2 : head + 4] == struct.pack("!H", PORT)


def _sum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(identifier: int, kind: int = 8) -> bytes:
    body = struct.pack("!BBHHH", kind, 0, 0, identifier, 1)
    return body[:2] + struct.pack("!H", _sum(body)) + body[4:]


def ipv4(source: str, destination: str, payload: bytes, protocol: int = socket.IPPROTO_ICMP) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + payload


# Settings for it.


def path(
    number: int, device: str, *, via: str | None = None, via6: str | None = None, carries: str = "46"
) -> RoutePath:
    families = frozenset(int(one) for one in carries)
    return RoutePath(PathId(f"pop/{device}"), device, via, via6, families, device, number << 24, 4300 + number)


def packed(*texts: str) -> Prefixes:
    return Prefixes(prefixes.pack(4, texts), prefixes.pack(6, texts))


def policy(name: str, order: int, *texts: str, excepted: tuple[str, ...] = (), **rest: object) -> RoutePolicy:
    return RoutePolicy(PolicyId(name), 4200 + order, order, packed(*texts), packed(*excepted), **rest)


def settings(
    paths: tuple[RoutePath, ...], policies: tuple[RoutePolicy, ...], *, objects: bool = True, **rest: object
) -> RouteSettings:
    given = {
        "protocol": PROTOCOL,
        "table": 4200,
        "rule_priority": 4200,
        "nexthop_base": 42_000_000,
        "mark_mask": 0xFF000000,
        "bypass_mark": 0,
        "management": (),
        "on_stop": OnStop.KEEP,
    }
    return RouteSettings(**(given | rest), paths=paths, policies=policies, nexthop_objects=objects)


def steer(name: str, best: str | None, runner_up: str | None = None) -> Steer:
    def full(device: str | None) -> PathId | None:
        return PathId(f"pop/{device}") if device else None

    return Steer(PolicyId(name), full(best), full(runner_up), "1-1")


async def reconfigure(router: Router, given: RouteSettings) -> tuple[Installed, ...]:
    """A reload that nothing is in the way of."""
    change = await router.prepare(given)
    await change.commit()
    return change.installed


def ups(router: Router) -> dict[PathId, bool]:
    """Whether packets can be routed to each path."""
    return {path: link.up for path, link in router.links().items()}


class Heard:
    """What a router called back."""

    def __init__(self) -> None:
        self.links: list[tuple[str, bool]] = []
        self.told: list[Link] = []
        self.installed: list = []
        self.repairs: Counter[str] = Counter()

    def router(self, given: RouteSettings) -> Router:
        router = Router(
            given,
            on_link=self._linked,
            on_installed=self.installed.append,
            on_repair=lambda what: self.repairs.update([what]),
        )
        _made.append(router)
        return router

    def _linked(self, link: Link) -> None:
        """Comes and goes; why something is gone may be told more than once."""
        self.told.append(link)
        before = [up for path, up in self.links if path == link.path]
        if before[-1:] != [link.up]:
            self.links.append((link.path, link.up))


_made: list[Router] = []


def routing(work: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run`; then no router runs any more, however it ended: the sockets of a test that failed would be found
    open in the next one."""

    async def whole() -> Any:
        try:
            return await work
        finally:
            while _made:
                await _made.pop().stop()

    return asyncio.run(whole())


def goes(gateway: Gateway, address: str) -> str | None:
    """Where a datagram from the LAN comes out; None: nowhere."""
    gateway.send(address)
    return next(iter(gateway.arrivals()), None)


def ours() -> str:
    """Everything of ours, as `ip` sees it, without what members and counters say."""
    listings = []
    for family in ("-4", "-6"):
        listings += [f"{family} {line}" for line in ip(family, "rule").splitlines() if f"proto {PROTOCOL}" in line]
        shown = ip(family, "route", "show", "table", "all", "proto", str(PROTOCOL))
        listings += [f"{family} {line}" for line in shown.splitlines() if not line.startswith("\t")]
    listings += ip("nexthop", "show", "proto", str(PROTOCOL)).splitlines()
    return "\n".join(sorted(line.rstrip() for line in listings))


@pytest.mark.lab
def test_the_world_itself_is_sound():
    with Gateway("a") as gateway:
        gateway.send("10.1.2.3", 3)
        gateway.send("2001:db8::1", 2)
        assert gateway.arrivals() == {"wan": 5}
        assert gateway.ping_from_lan(LAN_GATEWAY)
        assert ours() == ""
