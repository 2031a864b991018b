"""Probing by UDP against `steerd reflect` and against worse, on real packets."""

import contextlib
import ctypes
import errno
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steerd.cli.steerd import main
from steerd.config.probe_settings import ProbePath
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.net.devices import Devices
from steerd.probe.methods.udp import UdpCarrier
from steerd.probe.stamp import packet as stamp
from steerd.probe.wire import datagram as wire_options
from tests.lab import ticks
from tests.lab.probing import path as path_of_prober
from tests.lab.probing import probe
from tests.lab.ticks import Ticks, wire

pytestmark = pytest.mark.lab

PORT = 862
KEY = "00112233445566778899aabbccddeeff"


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def path(target: str = "10.9.0.2", number: int = 1, **changes: Any) -> ProbePath:
    return ticks.path("udp", target, number, port=changes.pop("port", PORT), **changes)


def probing(*paths: ProbePath, every: float = 0.02, family: int = 4) -> Ticks:
    return Ticks(lambda find: UdpCarrier(family, find, Devices()), paths, every)


class Reflecting:
    """`steerd reflect` in `far`."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "steerd.cli.steerd", "reflect", *options]
        self.process = namespaces.spawn("far", command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert "reflecting on" in line, line

    def stop(self) -> dict[str, int]:
        """What it counted."""
        self.process.send_signal(signal.SIGTERM)
        _, text = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, text
        return {name: int(count) for name, count in re.findall(r"([a-z-]+) (\d+)", text.splitlines()[-1])}


def key_file(name: str, text: str = KEY) -> Path:
    file = Path("/run") / name
    file.write_text(text + "\n")
    return file


def reflected() -> Any:
    wire()
    reflecting = Reflecting()
    found = {}
    for family, target in ((4, "10.9.0.2"), (6, "fd09::2")):
        legs = [path(target), path(target, 2, size=300, dscp=46)]
        probed = probing(*legs, family=family).until("reply", 10).until("reply", 10, 1)
        probed.run(0.05, sending=False)
        found[family] = [[probed.counts(leg), probed.median(leg), probed.directions(leg)] for leg in (0, 1)]
        found[family].append(all(flight.left_ns >= flight.queued_ns > 0 for flight in probed.flights))
        probed.carrier.close()
    probed = probing(path(), every=0.01)
    for _ in range(6):
        probed.run(0.03)
        probed.send(time.monotonic())
        time.sleep(0.05)
    blocked = [probed.counts(), probed.rtts()[len(probed.rtts()) * 9 // 10]]
    return {"legs": found, "blocked": blocked, "counted": reflecting.stop()}


def test_the_reflector_answers_in_both_families_and_every_size():
    found = scene("reflected")
    for family in ("4", "6"):
        *legs, stamped = found["legs"][family]
        assert stamped
        for counts, median, (loss_out, loss_back, variation_out, variation_back) in legs:
            assert set(counts) == {"reply"}
            assert counts["reply"] >= 10
            assert 0 < median < 0.002
            assert (loss_out, loss_back) == (0, 0)
            assert 0 < variation_out < 0.005
            assert 0 < variation_back < 0.005
    # A loop that is blocked for 50 ms again and again does not show in the RTTs.
    counts, p90 = found["blocked"]
    assert set(counts) == {"reply"}
    assert p90 < 0.005
    assert found["counted"]["received"] == found["counted"]["reflected"] >= 40
    assert found["counted"]["dropped"] == 0


WAYS = {
    "out": {"out": {"drop": 5}},
    "back": {"back": {"drop": 5}},
    "both": {"out": {"drop": 10}, "back": {"drop": 4, "double": 5}},
    "slow": {"back": {"delay": 0.005}},
}


def through() -> Any:
    """Probe through a relay, by one way after the other."""
    wire()
    reflecting = Reflecting("--listen", "127.0.0.1:8862", "--rate", "1000")
    found = {}
    for name, way in WAYS.items():
        options = {"listen": ["10.9.0.2", PORT], "target": ["127.0.0.1", 8862], **way}
        command = [sys.executable, "-m", "tests.lab.relay", json.dumps(options)]
        relay = namespaces.spawn("far", command, stdout=subprocess.PIPE)
        relay.stdout.readline()
        probed = probing(path(timeout=0.15), every=0.008).run(0.55, tick=0.002)
        probed.run(0.2, sending=False)
        relay.kill()
        relay.wait()
        found[name] = [probed.counts(), probed.directions()]
    reflecting.stop()
    return found


def test_loss_and_variation_are_those_of_their_direction():
    found = scene("through")
    share = {0.1: pytest.approx(0.1, abs=0.03), 0.2: pytest.approx(0.2, abs=0.03), 0.25: pytest.approx(0.25, abs=0.04)}
    losses = {name: directions[:2] for name, (_, directions) in found.items()}
    assert losses == {
        "out": [share[0.2], 0],
        "back": [0, share[0.2]],
        "both": [share[0.1], share[0.25]],
        "slow": [0, 0],
    }
    assert found["out"][0]["lost"] >= 5
    assert found["back"][0]["lost"] >= 5
    assert found["both"][0]["duplicate"] >= 3
    *_, out, back = found["slow"][1]
    assert back > 0.003  # a relay that waits for a core adds to it
    assert out < back / 2


def keys() -> Any:
    wire()
    right, wrong = key_file("right.key"), key_file("wrong.key", KEY[::-1])
    reflecting = Reflecting("--key-file", str(right), "--rate", "1000")
    legs = [
        path(key_file=right, timeout=0.2),
        path(number=2, key_file=wrong, timeout=0.2),
        path(number=3, timeout=0.2),
        path(number=4, size=200, key_file=right),
    ]
    probed = probing(*legs).run(0.3)
    probed.run(0.25, sending=False)
    # A key replaced in its file is that of the next session.
    wrong.write_text(KEY)
    probed.legs[1].renew()
    again = probed.told.copy()
    probed.told.clear()
    probed.run(0.3)
    answered = probed.counts(1)
    probed.told = again
    # Nor does one that cannot be read yet keep other paths from being probed.
    wrong.unlink()
    waiting = probing(path(key_file=wrong, timeout=0.2), path(number=2, key_file=right, timeout=0.2)).run(0.3)
    late = [waiting.counts(leg) for leg in range(2)]
    wrong.write_text(KEY)
    waiting.told.clear()
    waiting.run(0.3)
    late.append(waiting.counts(0))
    return {
        "legs": [probed.counts(leg) for leg in range(4)],
        "again": answered,
        "late": late,
        "counted": reflecting.stop(),
    }


def test_only_the_right_key_is_answered():
    found = scene("keys")
    right, wrong, none, padded = found["legs"]
    assert set(right) == set(padded) == {"reply"}
    assert set(wrong) == set(none) == {"overdue", "lost"}
    assert set(found["again"]) == {"reply"}
    before, other, after = found["late"]
    assert set(before) == {"local"}
    assert set(other) == {"reply"}
    assert "reply" in after
    assert found["counted"]["unauthenticated"] == wrong["lost"]
    assert found["counted"]["short"] >= none["lost"]


def restarted() -> Any:
    wire()
    first = Reflecting()
    probed = probing(path(timeout=0.2)).run(0.4)
    first.stop()
    probed.run(0.2)
    before = probed.directions()
    second = Reflecting()
    probed.told.clear()
    probed.until("reply", 10)
    probed.run(0.22, sending=False)
    second.stop()
    return {"before": before, "counts": probed.counts(), "after": probed.directions(), "refusals": probed.refusals}


def test_a_restarted_reflector_is_answered_to_and_counts_anew():
    found = scene("restarted")
    assert found["counts"]["reply"] >= 10
    assert found["before"][:2] == [0, 0]
    assert found["after"][:2] == [0, 0]
    assert not found["refusals"]


def closed() -> Any:
    wire()
    namespaces.sysctl("far", ipv4__icmp_ratelimit=0, ipv4__icmp_msgs_per_sec=100_000, ipv6__icmp__ratelimit=0)
    found = []
    for family, target in ((4, "10.9.0.2"), (6, "fd09::2")):
        probed = probing(path(target, timeout=0.2), family=family, every=0.03).run(0.3)
        # An error that nobody has read yet is there when the next probe is sent.
        for _ in range(2):
            probed.send(time.monotonic())
            time.sleep(0.03)
        probed.run(0.25, sending=False)
        found.append([probed.counts(), len(probed.flights), probed.refusals])
    return found


def test_a_closed_port_is_an_error_as_hint_and_never_a_refusal_of_our_own():
    for counts, sent, refusals in scene("closed"):
        assert set(counts) == {"error", "overdue", "lost"}
        assert counts["error"] == counts["lost"] == sent >= 5
        assert not refusals


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket, bytes, Any], None]) -> Iterator[None]:
    """Somebody else's reflector, at the address and port that is probed."""
    ready, stop = threading.Event(), threading.Event()

    def serve() -> None:
        namespaces.enter("far")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("10.9.0.2", PORT))
            sock.settimeout(0.05)
            ready.set()
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    answer(sock, *sock.recvfrom(9000))

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(60)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def reflection(data: bytes, **changes: Any) -> bytes:
    asked = stamp.read_sender(data, None)
    assert asked is not None
    now = stamp.ntp(time.time_ns())
    answer = stamp.ReflectedPacket(
        asked.sequence, now, stamp.UNSYNCHRONIZED, 0, now, asked.sequence, asked.timestamp, asked.error, 64
    )
    return stamp.pack(answer._replace(**changes), None)


FORGERIES = ("port", "address", "timestamp", "sequence", "identifier", "short")


def forged() -> Any:
    def answer(sock: socket.socket, data: bytes, source: Any) -> None:
        asked = stamp.read_sender(data, None)
        match how:
            case "right":
                sock.sendto(reflection(data), source)
            case "port" | "address":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    other.bind(("10.9.0.2", 0) if how == "port" else ("10.9.0.3", 0))
                    other.sendto(reflection(data), source)
            case "timestamp":
                sock.sendto(reflection(data, sender_timestamp=asked.timestamp ^ 1), source)
            case "sequence":
                sock.sendto(reflection(data, sender_sequence=asked.sequence + 1), source)
            case "identifier":
                sock.sendto(reflection(data, ssid=asked.ssid ^ 1), source)
            case "short":
                sock.sendto(reflection(data)[:43], source)

    wire()
    namespaces.ip("addr add 10.9.0.3/24 dev v1", "far")
    found = {}
    how = "right"
    with answering(answer):
        for how in (*FORGERIES, "right"):
            probed = probing(path(timeout=0.08), every=0.02).run(0.1)
            found[how] = [probed.run(0.1, sending=False).counts(), probed.directions()]
    return found


def test_a_forged_answer_is_none_and_that_of_a_stateless_reflector_is_one():
    found = scene("forged")
    right, directions = found.pop("right")
    assert {how: set(counts) for how, (counts, _) in found.items()} == {how: {"overdue", "lost"} for how in FORGERIES}
    assert set(right) == {"reply"}
    assert directions[:2] == [0, 0]


def slow() -> Any:
    def answer(sock: socket.socket, data: bytes, source: Any) -> None:
        received = stamp.ntp(time.time_ns())
        count[0] += 1
        time.sleep(0.01 if asked["clock"] == "mad" or count[0] % 2 else 0.0)
        # In the format of PTP, as some routers answer.
        seconds, rest = divmod(time.time_ns(), 10**9)
        ptp = (seconds + 37) << 32 | rest
        if asked["clock"] == "ptp":
            came = stamp.nanoseconds(received)
            changes = {"error": 0x4001, "received": (came // 10**9 + 37) << 32 | came % 10**9, "timestamp": ptp}
        elif asked["clock"] == "mad":
            changes = {"received": 0, "timestamp": 7 << 60}
        else:
            changes = {"received": received, "timestamp": stamp.ntp(time.time_ns())}
        sock.sendto(reflection(data, **changes), source)

    wire()
    asked, count = {"clock": "ntp"}, [1]
    found = {}
    with answering(answer):
        for clock in ("ntp", "ptp", "mad"):
            asked["clock"], count[0] = clock, 1
            found[clock] = probing(path(), every=0.04).run(0.4).rtts()
    return found


def test_the_time_in_the_reflector_is_no_part_of_the_rtt():
    found = scene("slow")
    # Every other answer takes the reflector 10 ms. One of the rest may have waited in its socket, on a busy machine.
    assert sorted(found["ntp"])[-2] < 0.005
    assert sorted(found["ptp"])[-2] < 0.005
    assert min(found["mad"]) > 0.01


def boasting(key: str) -> Any:
    """A reflector 50 ms away that says 47 of them were its own; and a path of 20 ms beside it."""

    def answer(sock: socket.socket, data: bytes, source: Any) -> None:
        now = time.time_ns()
        received = stamp.ntp(now - 47_000_000)
        fields = stamp.read_sender(data, secret)
        reflected = stamp.ReflectedPacket(
            fields.sequence, stamp.ntp(now), 1, 0, received, fields.sequence, fields.timestamp, fields.error, 64
        )
        threading.Timer(0.05, sock.sendto, (stamp.pack(reflected, secret), source)).start()

    wire()
    secret = bytes.fromhex(key) if key else None
    file = {"key_file": key_file("boasting.key", key)} if key else {}
    with answering(answer):
        one = path_of_prober(1, ["10.9.0.2"], method="udp", port=PORT, interval=0.05, **file)
        return probe([one], 1.5)


@pytest.mark.parametrize("key", ["", KEY], ids=["unsigned", "signed"])
def test_a_reflector_cannot_claim_most_of_the_round_trip_for_itself(key):
    found = scene("boasting", key)
    assert min(found["rtts"]["pop1/wg0"]) > 0.05
    assert "claims 47.0 ms of 5" in found["findings"]["pop1/wg0"]["residence"]


def carried() -> Any:
    wire()
    namespaces.ip("addr add 10.9.0.9/24 dev v0")
    # Nothing leads there but the mark.
    namespaces.ip("rule add fwmark 0x700 lookup 70 priority 10\nroute add 10.99.0.1 via 10.9.0.2 table 70")
    namespaces.ip("addr add 10.99.0.1/32 dev lo", "far")
    seen: list[Any] = []
    ready, stop = threading.Event(), threading.Event()

    def look() -> None:
        namespaces.enter("far")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("10.99.0.1", 4000))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            sock.settimeout(0.05)
            ready.set()
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    data, ancillary, _, source = sock.recvmsg(2000, 100)
                    seen.append([len(data), ancillary[0][2][0], *source, data[:4].hex()])

    thread = threading.Thread(target=look)
    thread.start()
    ready.wait(60)
    settings = path("10.99.0.1", port=4000, mark=0x700, dscp=46, size=100, source="10.9.0.9", device="")
    probed = probing(settings, path("10.99.0.1", 2, port=4000, device="")).run(0.2)
    probed.legs[0].renew()
    probed.run(0.2)
    stop.set()
    thread.join()
    return {"seen": seen, "refusals": probed.refusals, "counts": probed.counts(1)}


def test_a_probe_carries_mark_source_dscp_and_size_and_a_session_its_port():
    found = scene("carried")
    assert {tuple(each[:3]) for each in found["seen"]} == {(100, 46 << 2, "10.9.0.9")}
    ports = [each[3] for each in found["seen"]]
    assert len(set(ports)) == 2
    for port in set(ports):
        numbers = [int(each[4], 16) for each in found["seen"] if each[3] == port]
        assert numbers[:4] == [0, 2, 3, 4]
    assert set(found["refusals"]) == {str(errno.ENETUNREACH)}
    assert set(found["counts"]) == {"local"}


def renewed() -> Any:
    """A relay that is slow, and a new session while answers are under way."""
    wire()
    reflecting = Reflecting()
    probed = probing(path(), every=0.02)
    found = []
    for _ in range(5):
        probed.run(0.1)
        probed.send(time.monotonic())
        probed.legs[0].renew()
        found.append(len(probed.carrier.sessions))
    probed.run(0.1)
    probed.legs[0].session.sequence = 2**32 - 3  # soon at its end
    probed.run(0.2)
    probed.run(0.1, sending=False)
    last = probed.legs[0].session.sequence
    probed.legs[0].drop()
    left = len(probed.carrier.sessions)
    probed.run(0.1, sending=False)
    reflecting.stop()
    return {"counts": probed.counts(), "sessions": found, "left": left, "sent": len(probed.flights), "last": last}


def test_a_new_session_does_not_lose_the_answers_to_the_old_one():
    found = scene("renewed")
    assert found["counts"] == {"reply": found["sent"]}
    assert found["sessions"] == [1, 2, 2, 2, 2]
    assert 2 <= found["last"] < 20
    assert found["left"] == 0


def recreated() -> Any:
    wire()
    reflecting = Reflecting()
    probed = probing(path()).run(0.2)
    namespaces.ip("link del v0")
    probed.until("local", 3)
    gone = probed.counts()
    # The same name, with another index.
    namespaces.ip("link add other type veth peer name other1\nlink add v0 type veth peer name v1 netns far")
    namespaces.ip("addr add 10.9.0.1/24 dev v0\nlink set v0 up")
    namespaces.ip("addr add 10.9.0.2/24 dev v1\nlink set v1 up", "far")
    probed.told.clear()
    probed.until("reply", 10)
    reflecting.stop()
    return {"gone": gone, "back": probed.counts(), "last": probed.told[-1][1]}


def test_a_device_that_goes_and_comes_back_is_probed_again():
    found = scene("recreated")
    assert found["gone"]["local"] >= 3
    assert found["back"]["reply"] >= 10
    assert found["last"] == "reply"


def stamps_by_packet() -> Any:
    wire_options.SCM_TS_OPT_ID = 250  # as on a kernel that does not know the option
    wire()
    reflecting = Reflecting()
    probed = probing(path(), path(number=2, size=300)).run(0.5)
    probed.run(0.1, sending=False)
    reflecting.stop()
    stamped = all(flight.left_ns >= flight.queued_ns > 0 for flight in probed.flights)
    return {"counts": [probed.counts(0), probed.counts(1)], "stamped": stamped, "refusals": probed.refusals}


def test_an_older_kernel_matches_stamps_by_the_packet():
    found = scene("stamps_by_packet")
    assert [set(counts) for counts in found["counts"]] == [{"reply"}, {"reply"}]
    assert found["stamped"]
    assert not found["refusals"]


def multicast() -> Any:
    """What is asked by a group, or comes from another reflector, has no answer."""
    wire()
    namespaces.ip("route add 239.0.0.0/8 dev v0")
    reflecting = Reflecting("--listen", f"0.0.0.0:{PORT}", "--listen", f"[::]:{PORT}")
    question = struct.pack("!IQHH28x", 0, 0, 1, 0)
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for target in ("10.9.0.2", "10.9.0.255"):
            sock.sendto(question, (target, PORT))
            with contextlib.suppress(TimeoutError):
                found[target] = sock.recvfrom(100)[1][0]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.bind(("::", PORT))
        sock.sendto(question, ("fd09::2", PORT))
        with contextlib.suppress(TimeoutError):
            found["reflector"] = sock.recvfrom(100)[1][0]
    counted = reflecting.stop()
    return {"answered": found, "counted": counted}


def test_the_reflector_answers_hosts_only():
    found = scene("multicast")
    assert found["answered"] == {"10.9.0.2": "10.9.0.2"}
    assert (found["counted"]["not-unicast"], found["counted"]["source-port"]) == (1, 1)


def unprivileged() -> Any:
    ctypes.CDLL(None).capset(struct.pack("=II", 0x20080522, 0), bytes(24))
    with contextlib.redirect_stderr(io.StringIO()) as said:
        return [main(["reflect"]), said.getvalue()]


def test_without_the_right_to_its_port_the_reflector_says_so():
    said = "steerd reflect: cannot listen on 0.0.0.0:862: port 862 needs CAP_NET_BIND_SERVICE\n"
    assert scene("unprivileged") == [1, said]
