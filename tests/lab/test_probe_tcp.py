"""Probing by TCP on real connections: accepted, refused, silent, and lied about."""

import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steerd.config.probe_settings import ProbePath
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.probe.error import ProbeError
from steerd.probe.methods import attempts
from steerd.probe.methods.tcp import TcpCarrier
from tests.lab import ticks
from tests.lab.ticks import Ticks, wire

pytestmark = pytest.mark.lab

OPEN, CLOSED = 4443, 4444
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
TIME_WAIT = "06"


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def path(target: str = "10.9.0.2", number: int = 1, port: int = OPEN, **changes: Any) -> ProbePath:
    return ticks.path("tcp", target, number, port=port, **changes)


def probing(*paths: ProbePath, every: float = 0.02, family: int = 4) -> Ticks:
    return Ticks(lambda find: TcpCarrier(family, find), paths, every)


@contextlib.contextmanager
def far(serve: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run ``serve`` in `far` until the end; it is given what says so."""
    stop = threading.Event()

    def enter() -> None:
        namespaces.enter("far")
        serve(stop)

    thread = threading.Thread(target=enter)
    thread.start()
    time.sleep(0.05)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def listener(backlog: int = 100) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", OPEN))
    sock.listen(backlog)
    sock.settimeout(0.02)
    return sock


def accepting(peers: list[Any]) -> Callable[[threading.Event], None]:
    """Takes connections and keeps them, as a server does that waits for a request."""

    def serve(stop: threading.Event) -> None:
        kept = []
        with listener() as sock:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, peer = sock.accept()
                    kept.append(connection)
                    peers.append([peer[0].removeprefix("::ffff:"), peer[1]])
            for connection in kept:
                connection.close()

    return serve


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def states() -> list[str]:
    """Of all the TCP sockets in this namespace."""
    tables = [Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    return [line.split()[3] for table in tables for line in table]


def answered() -> Any:
    wire()
    found = {}
    peers: list[Any] = []
    before = descriptors()
    with far(accepting(peers)):
        for family, target in ((4, "10.9.0.2"), (6, "fd09::2")):
            probed = probing(path(target), path(target, 2, CLOSED), family=family)
            # So slow a look that an RTT taken by our own clock would be far off.
            probed.run(0.4, tick=0.04)
            probed.run(0.08, sending=False)
            found[family] = [[probed.counts(leg), probed.median(leg)] for leg in (0, 1)]
            found[family].append(len(probed.carrier.attempts))
            probed.carrier.close()
        state = states()
    return {"legs": found, "states": state, "peers": len(peers), "descriptors": descriptors() - before}


def test_accepted_and_refused_are_answers_with_the_rtt_that_the_kernel_saw():
    found = scene("answered")
    for family in ("4", "6"):
        *legs, left = found["legs"][family]
        for counts, median in legs:
            assert set(counts) == {"reply"}
            assert counts["reply"] >= 6
            assert 0.000_005 < median < 0.003
        assert left == 0
    assert found["peers"] >= 12
    assert found["states"] == []
    assert found["descriptors"] == 0


def silent() -> Any:
    wire()
    namespaces.ip("route add 10.98.0.0/16 via 10.9.0.2")
    namespaces.ip("route add blackhole 10.98.1.0/24\nroute add unreachable 10.98.2.0/24", "far")
    namespaces.ip("rule add fwmark 7 prohibit priority 10")
    namespaces.sysctl("far", ipv4__ip_forward=1, ipv4__icmp_ratelimit=0, ipv4__icmp_msgs_per_sec=100_000)
    before = descriptors()
    paths = [
        path("10.98.1.1", timeout=0.2),
        path("10.98.1.1", 3, mark=7, device=""),
        path("10.98.1.1", 4, device="none"),
        path("10.98.1.1", 5, source="10.9.0.77"),
        path("10.98.2.1", 6, timeout=0.2),
    ]
    probed = probing(*paths)
    attempts.MOST = 100
    probed.run(0.3)
    most = len(probed.carrier.attempts)
    probed.run(0.3, sending=False)
    left = len(probed.carrier.attempts)
    silence, error = probed.counts(0), probed.counts(4)
    attempts.MOST = 3
    probed.told.clear()
    probed.run(0.15)
    for leg in probed.legs:
        leg.drop()
    dropped = len(probed.carrier.attempts)
    bounded = probed.counts(0)
    probed.carrier.close()
    with pytest.raises(ProbeError, match="needs a port"):
        probed.carrier.leg(path(port=0), 0)
    return {
        "silence": silence,
        "error": error,
        "bounded": bounded,
        "refusals": probed.refusals,
        "most": most,
        "left": [left, dropped, descriptors() - before],
    }


def test_silence_is_lost_an_icmp_error_a_hint_and_what_is_not_sent_local():
    found = scene("silent")
    refusals = {int(number) for number in found["refusals"]}
    assert refusals == {errno.EACCES, errno.ENODEV, errno.EADDRNOTAVAIL, errno.EMFILE}
    assert set(found["silence"]) == {"overdue", "lost"}
    assert set(found["error"]) == {"error", "overdue", "lost"}
    assert 3 <= found["error"]["error"] <= found["error"]["lost"]  # the kernel limits how many it sends
    assert 5 <= found["most"] <= 26
    assert found["left"] == [0, 0, 0]
    assert found["bounded"]["local"] >= 1


def carried() -> Any:
    wire()
    namespaces.ip("addr add 10.9.0.9/24 dev v0")
    # Nothing leads there but the mark.
    namespaces.ip("rule add fwmark 0x700 lookup 70 priority 10\nroute add 10.99.0.1 via 10.9.0.2 table 70")
    namespaces.ip("addr add 10.99.0.1/32 dev lo", "far")
    packets: list[Any] = []

    def look(stop: threading.Event) -> None:
        with listener(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
            sock.settimeout(0.02)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    packet, source = sock.recvfrom(200)
                    packets.append([source[0], packet[1], packet[33]])

    with far(look):
        settings = path("10.99.0.1", mark=0x700, dscp=46, source="10.9.0.9")
        probed = probing(settings, path("10.99.0.1", 2)).run(0.25)
    return {"packets": packets, "counts": probed.counts(0), "refusals": probed.refusals}


def test_a_probe_carries_mark_source_and_dscp_and_ends_with_a_reset():
    found = scene("carried")
    assert set(found["counts"]) == {"reply"}
    assert {tuple(each[:2]) for each in found["packets"] if each[0] == "10.9.0.9"} == {("10.9.0.9", 46 << 2)}
    flags = [each[2] for each in found["packets"] if each[0] == "10.9.0.9"]
    assert flags.count(SYN) == sum(1 for flag in flags if flag & RST) >= 8
    assert not any(flag & FIN for flag in flags)


def refusal(syn: bytes, off: int) -> bytes:
    """The segment that refuses a SYN (behind its IPv4 header), with an acknowledgement that is wrong by ``off``."""
    source, target, header = syn[12:16], syn[16:20], syn[20:]
    theirs, ours, sequence = struct.unpack_from("!HHI", header)
    segment = struct.pack("!HHIIBBHHH", ours, theirs, 0, (sequence + 1 + off) % 2**32, 5 << 4, RST | ACK, 0, 0, 0)
    words = struct.unpack("!16H", target + source + struct.pack("!HH", 6, 20) + segment)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return segment[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + segment[18:]


def forged() -> Any:
    """A target whose queue of connections is full says nothing; somebody else does, in its name."""
    wire()
    off = 1

    def answer(stop: threading.Event) -> None:
        with (
            listener(0) as full,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as first,
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock,
        ):
            assert full
            first.connect(("10.9.0.2", OPEN))
            sock.settimeout(0.02)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    packet, (source, _) = sock.recvfrom(200)
                    if packet[33] == SYN and source == "10.9.0.1":
                        sock.sendto(refusal(packet, off), (source, 0))

    found = []
    with far(answer):
        for off in (1, 0):  # noqa: B007 -- it is the answerer that uses it
            probed = probing(path(timeout=0.2), every=0.03).run(0.2)
            probed.run(0.22, sending=False)
            found.append([probed.counts(), probed.median()])
            probed.carrier.close()
    return found


def test_a_forged_reset_is_no_answer():
    (forged, _), (right, median) = scene("forged")
    assert set(forged) == {"overdue", "lost"}
    # The same with the right number shows that it was the number.
    assert set(right) == {"reply"}
    assert median < 0.005


def repeated() -> Any:
    """The first SYN is swallowed; the kernel sends another one after a second."""
    wire()
    namespaces.ip("route add 10.99.0.1 via 10.9.0.2")
    namespaces.ip("route add blackhole 10.99.0.1", "far")
    with far(accepting([])):
        probed = probing(path("10.99.0.1", timeout=1.5), path("10.99.0.1", 2, CLOSED, timeout=1.5), every=9).run(0.2)
        namespaces.ip("route del blackhole 10.99.0.1\naddr add 10.99.0.1/32 dev lo", "far")
        probed.run(1.6, sending=False)
    return [probed.counts(0), probed.counts(1), len(probed.carrier.attempts)]


def test_the_answer_to_a_repeated_syn_is_none():
    accepted, refused, left = scene("repeated")
    assert accepted == refused == {"overdue": 1, "lost": 1}
    assert left == 0


def local() -> Any:
    """On this very machine the kernel has answered before connect() is back."""
    wire()
    namespaces.enter("far")
    stop = threading.Event()
    thread = threading.Thread(target=accepting([]), args=(stop,))
    thread.start()
    time.sleep(0.05)
    settings = [path("127.0.0.1", device=""), path("127.0.0.1", 2, CLOSED, device="")]
    probed = probing(*settings).run(0.2)
    probed.run(0.05, sending=False)
    stop.set()
    thread.join()
    return [[probed.counts(leg), probed.median(leg)] for leg in (0, 1)]


def test_a_target_on_this_machine_answers_too():
    for counts, median in scene("local"):
        assert set(counts) == {"reply"}
        assert 0 < median < 0.001


def unprivileged() -> Any:
    import ctypes

    ctypes.CDLL(None).capset(struct.pack("=II", 0x20080522, 0), bytes(24))
    try:
        TcpCarrier(4, lambda _: None)
    except ProbeError as error:
        return str(error)


def test_without_the_capability_it_says_so_in_a_line():
    assert scene("unprivileged") == "cannot open a raw TCP socket: CAP_NET_RAW is needed"
