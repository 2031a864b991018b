"""A broker that means no good: ``python -m tests.lab.hostile_broker PORT ATTACK``.

It shakes hands as a broker does, and then does one thing, of `ATTACKS`, to whoever connects, as long as that is taken.
"""

import itertools
import json
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

CONNACK = b"\x20\x03\x00\x00\x00"
STINGY = b"\x20\x12\x00\x00\x0f" + b"\x21\0\1" + b"\x24\0" + b"\x25\0" + b"\x27\0\0\0\x14" + b"\x13\0\1"
"""Of who takes one message at a time, without QoS and retaining, of 20 bytes, and wants to hear each second."""
SUBACK, PUBLISH, PINGRESP = 0x90, 0x30, b"\xd0\x00"
GRANTED = b"\x00" + b"\x01" * 7
TENANT = "steer/v1/lab"
ROOT = f"{TENANT}/pop"
ABSENT = tuple(f"absent{n}" for n in range(100))
"""Names of PoPs that a gateway may know, though no path leads there."""


def number(value: int) -> bytes:
    """A variable byte integer (MQTT 5, 1.5.5)."""
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (128 if value else 0))
        if not value:
            return bytes(out)


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + number(len(body)) + body


def published(topic: str | bytes, payload: bytes, *, qos: int = 0, mid: int = 1, properties: bytes = b"") -> bytes:
    name = topic.encode() if isinstance(topic, str) else topic
    about = struct.pack(">H", mid) if qos else b""
    body = struct.pack(">H", len(name)) + name + about + number(len(properties)) + properties + payload
    return packet(PUBLISH | qos << 1, body)


def announced_size() -> Iterator[bytes]:
    yield bytes([PUBLISH]) + number((256 << 20) - 1)
    yield from itertools.repeat(b"\0" * 65536)


def qos_2() -> Iterator[bytes]:
    for mid in itertools.cycle(range(1, 65536)):
        yield published(f"{ROOT}/fra1/state", b"x" * 2000, qos=2, mid=mid)


def bad_topic() -> Iterator[bytes]:
    yield published(f"{ROOT}/+/state", b"{}")
    yield from itertools.repeat(b"\xd0\x00" * 1000)


def suback() -> Iterator[bytes]:
    for mid in itertools.cycle(range(100, 65536)):
        yield packet(SUBACK, struct.pack(">H", mid) + b"\x00\x01")


def many_topics() -> Iterator[bytes]:
    for n in itertools.cycle(range(4096)):
        yield published(f"{ROOT}/pop{n}/state", b"x" * 60_000)


def user_properties() -> Iterator[bytes]:
    for mid in itertools.cycle(range(1, 65536)):
        yield published(f"{ROOT}/fra1/state", b"{}", qos=1, mid=mid, properties=b"\x26\0\0\0\0" * 12_000)


def never_reads() -> Iterator[bytes]:
    for mid in itertools.cycle(range(1, 65536)):
        yield published(f"{ROOT}/fra1/state", b"{}", qos=1, mid=mid)


def bad_properties() -> Iterator[bytes]:
    yield published(f"{ROOT}/fra1/state", b"{}", properties=b"\xff\xff\xff")
    yield from itertools.repeat(b"\xd0\x00" * 1000)


def reports() -> Iterator[bytes]:
    """Sound ones, as fast as they are taken."""
    for seq in itertools.count(1):
        body = b'{"v":1,"pop":"fra1","epoch":1700000000,"seq":%d,"accepting":true}' % seq
        yield published(f"{ROOT}/fra1/state", body)


def report(pop: str, seq: int, *, accepting: bool = True, **more: object) -> bytes:
    about = {"v": 1, "pop": pop, "epoch": 1700000000, "seq": seq, "accepting": accepting, **more}
    return json.dumps(about).encode()


def bombs() -> Iterator[bytes]:
    """Small reports that inflate to the most that is read, in the name of one PoP after the other."""
    kind = b"\x03" + struct.pack(">H", 21) + b"application/json+zlib"
    packed = [(pop, zlib.compress(report(pop, 1, links=[{}] * 15_000))) for pop in ABSENT]
    for pop, body in itertools.cycle(packed):
        yield published(f"{ROOT}/{pop}/state", body, properties=kind)


def flapping() -> Iterator[bytes]:
    """A PoP that takes its word back each tenth of a second."""
    for seq in itertools.count(1):
        yield published(f"{ROOT}/fra1/state", report("fra1", seq, accepting=seq % 2 == 0))
        time.sleep(0.1)


def deep() -> Iterator[bytes]:
    for inner in itertools.cycle((b"[" * 60_000, b'{"a":' * 10_000, b"9" * 60_000)):
        yield published(f"{ROOT}/fra1/state", inner)


def unknown_keys() -> Iterator[bytes]:
    for n in itertools.count():
        order = b'{"key":"%016x","sig":"%s","order":{"v":1}}' % (n % 2**64, b"A" * 86)
        yield published(f"{TENANT}/ctl/all/pop/fra1", order)


def contradicts() -> Iterator[bytes]:
    """Tells the victim, again and again, that it has died."""
    body = b'{"v":1,"gw":"gw-lab","epoch":1,"online":false,"version":"0"}'
    yield from itertools.repeat(published(f"{TENANT}/gw/lab/gw-lab/state", body))


def aliases() -> Iterator[bytes]:
    for alias in itertools.cycle(range(1, 65536)):
        yield published(f"{ROOT}/fra1/state", b"{}", properties=b"\x23" + struct.pack(">H", alias))


def nameless_alias() -> Iterator[bytes]:
    yield published(b"", b"{}", properties=b"\x23\0\1")


def acks() -> Iterator[bytes]:
    words = b"\x1f" + struct.pack(">H", 3000) + b"x" * 3000
    for mid in itertools.cycle(range(1, 65536)):
        yield packet(0x40, struct.pack(">H", mid) + b"\x80" + number(len(words)) + words)


def pings() -> Iterator[bytes]:
    yield from itertools.repeat(PINGRESP * 5000)


def auth() -> Iterator[bytes]:
    yield from itertools.repeat(packet(0xF0, b"\x18\x00"))


def connacks() -> Iterator[bytes]:
    yield from itertools.repeat(CONNACK)


def redirect() -> Iterator[bytes]:
    elsewhere = b"\x1c" + struct.pack(">H", 16) + b"203.0.113.9:1883"
    yield packet(0xE0, b"\x9d" + number(len(elsewhere)) + elsewhere)


def drip() -> Iterator[bytes]:
    yield bytes([PUBLISH]) + number(60_000)
    while True:
        yield b"\0"
        time.sleep(0.02)


def leaves() -> Iterator[bytes]:
    """Comes back each time as if nothing were wrong, and goes."""
    raise ConnectionAbortedError
    yield b""


def stingy() -> Iterator[bytes]:
    yield b""


def silent() -> Iterator[bytes]:
    yield b""


def taken_over() -> Iterator[bytes]:
    """As when another client connects under the victim's name."""
    yield b"\xe0\x01\x8e"


def noise() -> Iterator[bytes]:
    yield b"\x00\xff" * 5000


ATTACKS: dict[str, Callable[[], Iterator[bytes]]] = {
    one.__name__: one
    for one in (
        announced_size, qos_2, bad_topic, suback, many_topics, user_properties, never_reads, bad_properties, reports,
        noise, taken_over, bombs, flapping, deep, unknown_keys, contradicts, aliases, nameless_alias, acks, pings, auth,
        connacks, redirect, drip, leaves, stingy, silent,
    )
}  # fmt: skip


def answers(victim: socket.socket, connack: bytes) -> Iterator[bytes]:
    """To what the victim sends, until it goes."""
    while data := victim.recv(1 << 16):
        while data:
            size, shift, at = 0, 0, 1
            while data[at] & 128:
                size, shift, at = size | (data[at] & 127) << shift, shift + 7, at + 1
            size = (size | data[at] << shift) + at + 1
            one, data = data[:size], data[size:]
            kind, begins = one[0] >> 4, at + 1
            if kind == 3 and one[0] & 2:
                ends = begins + 2 + int.from_bytes(one[begins : begins + 2], "big")
                yield packet(0x40, one[ends : ends + 2])
            elif kind == 8:
                yield packet(SUBACK, one[begins : begins + 2] + GRANTED)
            elif kind == 12:
                yield PINGRESP
            elif kind == 1:
                yield connack


def play(victim: socket.socket, attack: Callable[[], Iterator[bytes]]) -> None:
    def answer() -> None:
        with suppress(OSError, IndexError):
            for one in answers(victim, STINGY if attack is stingy else CONNACK):
                victim.sendall(one)
        victim.close()

    with suppress(OSError):
        if attack in (never_reads, silent):
            victim.recv(1 << 16)
            victim.sendall(CONNACK if attack is never_reads else b"")
        else:
            threading.Thread(target=answer, daemon=True).start()
            time.sleep(0.5)
        for data in attack():
            victim.sendall(data)
        time.sleep(60)
    with suppress(OSError):
        victim.shutdown(socket.SHUT_RDWR)


def main(port: int, attack: str) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=16) as server:
        while True:
            victim, _ = server.accept()
            threading.Thread(target=play, args=(victim, ATTACKS[attack]), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
