"""What counting policies' packets costs: ``python -m bench.packets``.

A gateway in namespaces of its own forwards UDP from a LAN to a tunnel's place, as fast as one core sends it, which
includes the core's forwarding. With the counters in place and without them, in turn, in one process, so that what else
the machine does falls on both. The tables are steerd's own, `nft` puts them there.
"""

import argparse
import ctypes
import json
import os
import socket
import statistics
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.stream import address
from steerd.config.route_settings import Guard, OnStop, Prefixes, RoutePath, RoutePolicy, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.lab.enclosure import run
from steerd.lab.namespaces import add, command, ip, sysctl
from steerd.route.model import prefixes
from steerd.route.nft.counters import counters
from steerd.route.nft.ruleset import Inputs, ruleset
from steerd.route.nft.table import Table, removal
from steerd.route.wanted.selection import selections

RATE: Final = 20_000
_BATCH: Final = 64
_PACKETS: Final = 64_000
_ROUNDS: Final = 15
_LAN: Final = "192.168.50"


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("sent", ctypes.c_uint32))


class Batch:
    """Datagrams to these addresses, sent by one call."""

    def __init__(self, addresses: Sequence[bytes]) -> None:
        self.messages = (_Message * len(addresses))()
        self._kept: list[Any] = []
        for message, packed in zip(self.messages, addresses, strict=True):
            name = ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", 5005, packed))
            data = ctypes.create_string_buffer(64)
            vector = _Vector(ctypes.addressof(data), 64)
            message.header.name, message.header.name_length = ctypes.addressof(name), 16
            message.header.vectors, message.header.vector_count = ctypes.pointer(vector), 1
            self._kept += [name, data, vector]


def policy(name: str, order: int, packed: Prefixes, guard: Guard = Guard.OFF) -> RoutePolicy:
    return RoutePolicy(PolicyId(name), 4200 + order, order, packed, guard=guard)


def settings(*policies: RoutePolicy) -> RouteSettings:
    paths = (RoutePath(PathId("pop/a"), "a", None, None, frozenset((4, 6)), "a", 1 << 24, 4301),)
    return RouteSettings(210, 4200, 4200, 42_000_000, 0xFF000000, 0, (), OnStop.KEEP, paths, policies)


WHOLE: Final = policy("users", 9, Prefixes(prefixes.DEFAULT[4], prefixes.DEFAULT[6]), Guard.USUAL)


def subjects() -> Iterator[tuple[str, RouteSettings]]:
    """What is counted, by name."""
    yield "one policy, the default route", settings(WHOLE)
    few = [Prefixes(b"".join(address(4, at) + b"\x18" for at in range(n, 40, 4))) for n in range(3)]
    yield "four policies", settings(*(policy(f"p{n}", n, one) for n, one in enumerate(few)), WHOLE)
    many = Prefixes(b"".join(address(4, 2 * at) + b"\x18" for at in range(100_000)))
    yield "100,000 prefixes and the default route", settings(policy("listed", 0, many), WHOLE)


def measure(rounds: int) -> list[dict[str, Any]]:
    """In a namespace of its own."""
    found = []
    with _network() as sock:
        for name, given in subjects():
            chosen = selections(given)
            known = Inputs(Prefixes(prefixes.pack(4, [f"{_LAN}.0/24", "10.99.0.0/24"])))
            guard = ruleset(given, chosen, known)
            counting = counters(given, chosen, known, ["a", "lan", "wan"], answers=False)
            if guard is None or counting is None:
                raise AssertionError(name)
            tables = {"guard": guard, "counters": counting.table}
            spread = [[address(4, (at * 7919 + one) % 200_000) for one in range(_BATCH)] for at in range(1_000)]
            batches = [Batch(one) for one in spread]
            row: dict[str, Any] = {"subject": name, "every": counting.every}
            for what, table in tables.items():
                row[what] = _compare(sock, batches, table, rounds)
            found.append(row)
    return found


def _compare(sock: socket.socket, batches: Sequence[Batch], table: Table, rounds: int) -> dict[str, float]:
    without, extra = [], []
    began = time.monotonic()
    _nft(table.whole)
    load = time.monotonic() - began
    _nft(removal(table.name))
    for _ in range(rounds):
        off = _send(sock, batches)
        _nft(table.whole)
        on = _send(sock, batches)
        _nft(removal(table.name))
        without.append(off)
        extra.append(on - off)
    ns = statistics.median(extra)
    return {"ns": ns, "forwarding_ns": statistics.median(without), "core": ns * RATE / 1e9, "load_s": load}


def _send(sock: socket.socket, batches: Sequence[Batch], packets: int = _PACKETS) -> float:
    """CPU nanoseconds for each packet, after some that are not measured."""
    for count in (packets // 8, packets):
        began, sent = time.process_time_ns(), 0
        while sent < count:
            batch = batches[sent // _BATCH % len(batches)]
            done = _libc.sendmmsg(sock.fileno(), batch.messages, _BATCH, 0)
            if done < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            sent += done
    return (time.process_time_ns() - began) / sent


_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def _network() -> Iterator[socket.socket]:
    """A LAN host, the gateway and what is behind a path; a socket of the host's."""
    names = {"gw": None, "host": ("lan", f"{_LAN}.2", f"{_LAN}.1"), "far": ("a", "10.99.0.2", "10.99.0.1")}
    add(*names)
    for name, wire in names.items():
        if wire is None:
            continue
        device, here, gateway = wire
        ip(f"link add name {device} type veth peer name eth0 netns {name}", "gw")
        ip(f"addr add {gateway}/24 dev {device}", "gw")
        ip(f"link set dev {device} up", "gw")
        ip(f"addr add {here}/24 dev eth0", name)
        ip("link set eth0 up", name)
        ip(f"route add default via {gateway}", name)
    ip("route add default via 10.99.0.2", "gw")
    sysctl("gw", ipv4__ip_forward=1)
    sink = (
        "table netdev sink { chain drops { type filter hook ingress device eth0 priority 0; ip protocol udp drop; }; }"
    )
    subprocess.run(command("far", ["nft", sink]), check=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    host = os.open("/run/netns/host", os.O_RDONLY)
    _setns(host)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    _setns(home)
    try:
        yield sock
    finally:
        sock.close()


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


def _nft(text: str) -> None:
    subprocess.run(command("gw", ["nft", "-f", "-"]), input=text, text=True, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE")
    asked = parser.parse_args()
    rows = run("bench.packets:measure", asked.rounds)
    if asked.json:
        text = json.dumps(rows, indent=2)
        print(text) if asked.json == "-" else Path(asked.json).write_text(text)
    if asked.json != "-":
        print(f"ns of CPU a packet, beside what forwarding takes without; and of a core at {RATE:,} packets a second")
        for row in rows:
            for what in ("guard", "counters"):
                one = row[what]
                every = f", one packet of {row['every']}" if what == "counters" and row["every"] > 1 else ""
                print(
                    f"{row['subject']:40} {what:9} {one['ns']:6.0f} ns beside {one['forwarding_ns']:.0f}, "
                    f"{one['core']:.2%} of a core{every}; loaded in {one['load_s']:.2f} s"
                )


if __name__ == "__main__":
    main()
