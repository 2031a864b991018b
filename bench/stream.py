"""A stream of packets through a gateway, from one TUN device to others: what came, where, and when it was sent.

Every packet carries its number and the moment of its sending. What the gateway does with it is done while it is
written, so the moment of sending tells what was in force: it does not matter how soon the receiver gets to it. Sender
and receiver are processes of their own, ``python -m bench.stream JSON CORE``; both end with their standard input.
"""

import array
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from steerd.lab.world.tun import Tun

SECONDS = 60.0
"""No stream is longer, whatever happens."""
CORES = sorted(os.sched_getaffinity(0))
_DESTINATIONS = 512
_PAUSE = 0.0003
_BURST = 200  # packets sent late, at most, in one go
_QUIET = 0.2
_PATIENCE = 10.0
_PAYLOAD = struct.Struct("=IQ")
_ENDS = {4: ("192.168.50.2", socket.AF_INET), 6: ("fd00:50::2", socket.AF_INET6)}
_FIELDS = 3


def address(family: int, number: int) -> bytes:
    """The first of the prefix with this number: a /24, or a /48."""
    return (
        ((20 << 24) + (number << 8)).to_bytes(4) if family == 4 else ((0x2A000000 << 96) + (number << 80)).to_bytes(16)
    )


def packet(family: int, number: int) -> bytearray:
    """A UDP datagram to the prefix with this number, with room for `_PAYLOAD` at its end."""
    source = socket.inet_pton(_ENDS[family][1], _ENDS[family][0])
    to = address(family, number)[:-1] + b"\x01"
    udp = struct.pack("!HHHH", 9, 9, 8 + _PAYLOAD.size, 0) + bytes(_PAYLOAD.size)
    if family == 6:
        return bytearray(struct.pack("!IHBB", 6 << 28, len(udp), socket.IPPROTO_UDP, 64) + source + to + udp)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + source + to
    total = sum(struct.unpack("!10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return bytearray(head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + udp)


@dataclass(frozen=True)
class Flow:
    """What became of a stream. Even numbers are IPv4, odd ones IPv6; times are those of sending, in ns."""

    sent: int
    seconds: float
    refused: int
    arrivals: Sequence[tuple[str, int, int]]
    """Device, number, time."""

    @property
    def rate(self) -> float:
        return self.sent / self.seconds

    def lost(self, family: int) -> int:
        parity = family == 6
        came = {number for _, number, _ in self.arrivals if number % 2 == parity}
        return (self.sent + (not parity)) // 2 - len(came)

    def times(self, device: str, family: int) -> list[int]:
        return sorted(at for name, number, at in self.arrivals if name == device and number % 2 == (family == 6))


class Stream:
    """``rate`` packets a second, IPv4 and IPv6 in turn, into ``source`` to the first ``prefixes`` prefixes; read from
    ``sinks``. Runs from entry to `finish`."""

    def __init__(self, source: Tun, sinks: Iterable[Tun], *, prefixes: int, rate: float, folder: Path) -> None:
        self._names = [sink.name for sink in sinks]
        self._file = folder / "arrivals"
        # A switch is one long stay in the kernel, which may not be preempted: the stream has a core of its own.
        self._core = CORES[-1]
        self._send = {"source": source.fileno(), "prefixes": prefixes, "rate": rate}
        self._receive = {"sinks": [sink.fileno() for sink in sinks], "file": str(self._file)}
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._receiver = self._start(self._receive, self._receive["sinks"])
            self._sender = self._start(self._send, [self._send["source"]])
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _start(self, task: dict[str, Any], handles: Any) -> subprocess.Popen[str]:
        process = self._open.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "bench.stream", json.dumps(task), str(self._core)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=handles,
            )
        )
        self._open.callback(process.kill)
        _line(process)
        return process

    def finish(self) -> Flow:
        sent = json.loads(_end(self._sender))
        _end(self._receiver)
        numbers = array.array("q")
        numbers.frombytes(self._file.read_bytes())
        arrivals = [
            (self._names[numbers[at]], numbers[at + 1], numbers[at + 2]) for at in range(0, len(numbers), _FIELDS)
        ]
        return Flow(sent["sent"], sent["seconds"], sent["refused"], arrivals)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    if not select.select([process.stdout], [], [], _PATIENCE)[0] or not (line := process.stdout.readline()):
        raise RuntimeError("the stream did not answer")
    return line


def _end(process: subprocess.Popen[str]) -> str:
    assert process.stdin
    process.stdin.close()
    line = _line(process)
    process.wait(_PATIENCE)
    return line


def _stopped() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def send(source: int, prefixes: int, rate: float) -> dict[str, Any]:
    step = max(1, prefixes // _DESTINATIONS)
    packets = [packet(family, number) for number in range(0, prefixes, step) for family in (4, 6)]
    if len(packets) % 2 or not packets:
        raise ValueError("numbers tell families apart")
    sent = refused = 0
    began = time.monotonic_ns()
    until = began + round(SECONDS * 1e9)
    while (now := time.monotonic_ns()) < until and not _stopped():
        for _ in range(min(int((now - began) * rate / 1e9) - sent, _BURST)):
            one = packets[sent % len(packets)]
            _PAYLOAD.pack_into(one, len(one) - _PAYLOAD.size, sent, time.monotonic_ns())
            try:
                os.write(source, one)
            except BlockingIOError:
                refused += 1
            sent += 1
        time.sleep(_PAUSE)
    return {"sent": sent, "seconds": (time.monotonic_ns() - began) / 1e9, "refused": refused}


def receive(sinks: list[int], file: str) -> dict[str, Any]:
    places = {sink: place for place, sink in enumerate(sinks)}
    poll = select.poll()
    for sink in sinks:
        poll.register(sink, select.POLLIN)
    found = array.array("q")
    heard = time.monotonic()
    until = heard + SECONDS + _QUIET
    while (now := time.monotonic()) < until and not (now - heard > _QUIET and _stopped()):
        for sink, _ in poll.poll(20):
            heard = time.monotonic()
            try:
                while True:
                    one = os.read(sink, 2048)
                    if len(one) in _LENGTHS and one[-_TAIL : -_TAIL + 4] == _PORTS:
                        found.extend((places[sink], *_PAYLOAD.unpack_from(one, len(one) - _PAYLOAD.size)))
            except BlockingIOError:
                pass
            except OSError:  # the device is gone
                poll.unregister(sink)
    Path(file).write_bytes(found.tobytes())
    return {"received": len(found) // _FIELDS}


_PORTS = struct.pack("!HH", 9, 9)
_TAIL = 8 + _PAYLOAD.size
_LENGTHS = {len(packet(family, 0)) for family in (4, 6)}


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[2])})
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    task = json.loads(sys.argv[1])
    print("ready", flush=True)
    print(json.dumps(send(**task) if "source" in task else receive(**task)), flush=True)


if __name__ == "__main__":
    main()
