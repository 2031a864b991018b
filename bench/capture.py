"""What really happened on a device: every echo request out and every reply in, stamped by the kernel.

``python -m bench.capture DEVICE FILE`` is a process of its own, so that it never stands still when the prober does;
it records until its standard input ends. `Truth` reads the file.
"""

import ctypes
import select
import socket
import struct
import subprocess
import sys
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple, Self

_ALL = 3  # ETH_P_ALL: the only way to see what goes out
_RCVBUFFORCE, _TIMESTAMPNS, _PACKET_STATISTICS, _SOL_PACKET = 33, 35, 6, 263
_OUTGOING = 4
_BUFFER = 64 << 20
_TIMESPEC = struct.Struct("@ll")
_RECORD = struct.Struct("!Q?4sHH")
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_PATIENCE = 10.0
_INEXACT_NS = 1_000_000  # of a prober's own time of sending


class Probe(NamedTuple):
    """An echo request as it left, and the first reply to it as it came, ns of CLOCK_REALTIME; 0: none came."""

    out_ns: int
    in_ns: int

    @property
    def rtt(self) -> float:
        """Seconds."""
        return (self.in_ns - self.out_ns) / 1e9


class Truth:
    """The probes to each target, in the order in which they left."""

    def __init__(self, records: bytes) -> None:
        self.probes: dict[str, list[Probe]] = {}
        open_at: dict[tuple[bytes, int, int], tuple[str, int]] = {}
        for stamp, outgoing, address, identifier, sequence in sorted(_RECORD.iter_unpack(records)):
            key = (address, identifier, sequence)
            if outgoing:
                target = socket.inet_ntoa(address)
                probes = self.probes.setdefault(target, [])
                open_at[key] = target, len(probes)
                probes.append(Probe(stamp, 0))
            elif key in open_at:
                target, place = open_at.pop(key)
                self.probes[target][place] = Probe(self.probes[target][place].out_ns, stamp)

    def at(self, target: str, sent_ns: int, within: float) -> int | None:
        """The place of the probe to ``target`` that left next after the prober's own time of sending, if that was
        ``within`` seconds."""
        probes = self.probes.get(target, [])
        place = bisect_left(probes, (sent_ns - _INEXACT_NS, 0))
        return place if place < len(probes) and probes[place].out_ns - sent_ns <= within * 1e9 else None


class Capture:
    """A capture on ``device``, running until `stop`."""

    def __init__(self, device: str, file: Path) -> None:
        self._file = file
        command = [sys.executable, "-m", "bench.capture", device, str(file)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._say("begin")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(_PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def stop(self) -> Truth:
        """Raises `RuntimeError` if packets were missed: then there is no truth."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        missed = int(self._say("end"))
        if missed:
            raise RuntimeError(f"the capture missed {missed} packets")
        return Truth(self._file.read_bytes())

    def _say(self, what: str) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _PATIENCE)
        if not ready or not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the capture did not {what}")
        return line


def main(device: str, file: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL)) as packets:
        try:
            packets.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        except PermissionError:  # in a user namespace; what is then missed is noticed
            packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        packets.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        packets.bind((device, 0))
        print("ready", flush=True)
        records = bytearray()
        while True:
            readable, _, _ = select.select([packets, sys.stdin], [], [])
            if packets in readable:
                _take(packets, records)
            elif sys.stdin in readable:
                break
        _, missed = struct.unpack("=II", packets.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    Path(file).write_bytes(records)
    print(missed, flush=True)


def _take(packets: socket.socket, records: bytearray) -> None:
    data, ancillary, _, sender = packets.recvmsg(64, 64)
    outgoing = sender[2] == _OUTGOING
    start = (data[0] & 0xF) * 4 if data else 0
    if len(data) < start + 8 or data[0] >> 4 != 4 or data[9] != socket.IPPROTO_ICMP:
        return
    if data[start] != (_ECHO_REQUEST if outgoing else _ECHO_REPLY) or not ancillary:
        return
    seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
    identifier, sequence = struct.unpack_from("!HH", data, start + 4)
    address = data[16:20] if outgoing else data[12:16]
    records += _RECORD.pack(seconds * 1_000_000_000 + nanoseconds, outgoing, address, identifier, sequence)


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: ends with the bench, however that ends
    main(*sys.argv[1:])
