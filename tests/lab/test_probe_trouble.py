"""What goes wrong on this side, or only seems to go wrong on the way: no path is blamed for it."""

import asyncio
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steerd.config.probe_settings import ProbeSettings, Target
from steerd.core.settings import PathId
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.probe.prober import Prober
from tests.lab.probing import DELAY, address, both, off_beat, path, probe, tunnels, wire
from tests.lab.waiting import until_async

pytestmark = pytest.mark.lab


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def firewall(*targets: str) -> None:
    """Drop what this namespace sends there."""
    from pyroute2.nftables.expressions import ipv4addr, verdict
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=2) as nft:
        nft.table("add", name="wall")
        nft.chain("add", table="wall", name="out", hook="output", type="filter", policy=1)
        for target in targets:
            nft.rule("add", table="wall", chain="out", expressions=(ipv4addr(dst=target), verdict(code=0)))


def walled() -> Any:
    wire()
    firewall("10.98.0.2")
    return probe([path(n, [f"10.98.0.{n}"], interval=0.1) for n in (1, 2, 3)], 2)


def test_a_firewall_of_our_own_is_local_and_does_not_shift_the_stamps_of_others() -> None:
    found = scene("walled")
    assert set(found["by_path"]["pop2/wg0"]) == {"local"}
    assert "a firewall on this machine drops the probes (EPERM)" in found["findings"]["pop2/wg0"]["local"]
    for other in ("pop1/wg0", "pop3/wg0"):
        assert set(found["by_path"][other]) == {"reply"}
        assert not found["findings"][other]
        # A stamp that belonged to another probe would be wrong by tens of milliseconds.
        assert statistics.median(found["rtts"][other]) < 0.005


def unrouted() -> Any:
    wire()
    namespaces.ip("rule add fwmark 7 lookup 7 priority 10\nroute add unreachable default metric 900 table 7")
    namespaces.ip("rule add fwmark 8 lookup 8 priority 11\nroute add prohibit 10.97.0.0/16 table 8")
    # Nobody on the wire says that these addresses are its own, as the kernel asks when no route does.
    paths = [path(1, ["10.97.0.1"], timeout=0.5, mark=7), path(2, ["10.97.0.2"], timeout=0.5, mark=8)]
    return probe([*paths, path(3, ["10.98.0.3"])], 2.5)


def test_a_missing_route_is_local_though_the_kernel_sends_what_is_bound_to_a_device() -> None:
    found = scene("unrouted")
    for name in ("pop1/wg0", "pop2/wg0"):
        assert set(found["by_path"][name]) <= {"local", "error"}
        assert found["by_path"][name]["local"] >= 8
        assert "EHOSTUNREACH" in found["findings"][name]["local"]
    assert set(found["by_path"]["pop3/wg0"]) == {"reply"}


def shape(rate: str, burst: int, limit: int) -> None:
    """A queue before v0 that is emptied at this rate."""
    options = ["rate", rate, "burst", str(burst), "limit", str(limit)]
    subprocess.run(["tc", "qdisc", "add", "dev", "v0", "root", "tbf", *options], check=True)


def saturated() -> Any:
    """Two PoPs as far away; the queue before the first one's device is full of somebody else's traffic."""
    with tunnels("v0", "v1") as _:
        shape("4mbit", burst=3000, limit=30_000)
        flood = subprocess.Popen([sys.executable, "-c", FLOOD, "10.64.1.1", "500"])
        try:
            return probe([path(1, both(1), interval=0.05), path(2, both(2), "v1", interval=0.05)], 2.5)
        finally:
            flood.kill()
            flood.wait()


FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 10
while time.monotonic() < end:
    for _ in range(10):
        try:
            s.sendto(bytes(1200), (sys.argv[1], 9))
        except OSError:
            pass
    time.sleep(10 / float(sys.argv[2]))
"""


def test_a_full_uplink_shows_as_local_queue_and_neither_as_rtt_nor_as_loss() -> None:
    found = scene("saturated")
    queued, free = found["queues"]
    assert queued > 0.02
    assert free < 0.002
    assert statistics.median(found["rtts"]["pop1/wg0"]) < DELAY + 0.004
    assert found["by_path"]["pop1/wg0"]["reply"] > 15
    assert "lost" not in found["by_path"]["pop1/wg0"]
    assert set(found["by_path"]["pop2/wg0"]) == {"reply"}


def choked() -> Any:
    wire()
    shape("8kbit", burst=200, limit=400)
    return probe([path(n, [f"10.98.0.{n + 1}"], interval=0.1, timeout=0.5) for n in range(5)], 2.5)


def test_what_our_own_queue_drops_is_local() -> None:
    found = scene("choked")
    assert found["counts"]["local"] > 30
    assert not set(found["counts"]) - {"reply", "local", "late"}
    assert any("queue" in each.get("local", "") for each in found["findings"].values())


def limited() -> Any:
    wire()
    # The kernel's own limiter, as routers have it: an answer a second for each target, after a burst.
    control = "echo 6169 > /proc/sys/net/ipv4/icmp_ratemask; echo 1000 > /proc/sys/net/ipv4/icmp_ratelimit"
    subprocess.run(namespaces.command("far", ["sh", "-c", control]), check=True)
    return probe([path(1, ["10.98.0.1"], interval=0.05, timeout=0.2)], 13)


def test_a_target_that_limits_its_answers_is_told_from_a_path_that_loses() -> None:
    found = scene("limited")
    assert found["counts"]["lost"] > 100
    assert "seems to answer only" in found["findings"]["pop1/wg0"]["rate-limited"]


def forged() -> Any:
    wire()
    mute = "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all"
    subprocess.run(namespaces.command("far", ["sh", "-c", mute]), check=True)
    forger = subprocess.Popen(namespaces.command("far", [sys.executable, "-c", FORGER]))
    try:
        return probe([path(n, [f"10.98.0.{n}"], interval=0.1, timeout=0.4) for n in (1, 2, 3, 4, 5)], 2)
    finally:
        forger.kill()
        forger.wait()


# Answers each probe by what its target's last digit says is wrong with the answer; 5 is answered well.
FORGER = """
import socket, struct
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for _ in range(10_000):
    packet, (source, _) = s.recvfrom(2000)
    target, echo = packet[16:20], bytearray(packet[20:])
    if echo[0] != 8:
        continue
    echo[0] = 0
    wrong, sender = target[3], socket.inet_ntoa(target)
    if wrong == 1:
        echo[20] ^= 1  # the cookie's end
    elif wrong == 2:
        sender = "10.98.0.99"
    elif wrong == 3:
        echo[5] ^= 1  # the identifier
    elif wrong == 4:
        del echo[24:]  # cut short: no number
    echo[2:4] = bytes(2)
    echo[2:4] = struct.pack("!H", checksum(bytes(echo)))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as out:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_FREEBIND if hasattr(socket, "IP_FREEBIND") else 15, 1)
        out.bind((sender, 0))
        out.sendto(bytes(echo), (source, 0))
"""


def test_an_answer_counts_only_with_cookie_source_identifier_and_number() -> None:
    found = scene("forged")
    for number in (1, 2, 3, 4):
        assert not {"reply", "late", "duplicate"} & set(found["by_path"][f"pop{number}/wg0"]), number
    assert found["by_path"]["pop5/wg0"]["reply"] > 10
    elsewhere = {path for path, findings in found["findings"].items() if "answered-elsewhere" in findings}
    assert elsewhere == {"pop2/wg0"}


def translated() -> Any:
    """The far side changes the source of all its answers; for the last two paths only at first."""
    wire()
    reflect = [sys.executable, "-m", "steerd.cli.steerd", "reflect", "--listen", "0.0.0.0:862"]
    reflector = namespaces.spawn("far", reflect, stderr=subprocess.PIPE, text=True)
    assert "reflecting on" in reflector.stderr.readline()
    rules = "\n".join(f"ip saddr 10.98.0.{n} ip saddr set 10.98.0.99" for n in (1, 2, 3, 4))
    nft(f"table ip far {{\n chain c {{\n type filter hook output priority 0;\n {rules}\n }}\n}}")
    paths = [
        path(n, [f"10.98.0.{n}"], interval=0.1, timeout=0.3, **({"method": "udp", "port": 862} if n % 2 else {}))
        for n in (1, 2, 3, 4)
    ]
    seen: dict[str, Any] = {}

    async def during(prober: Prober) -> None:
        each = [PathId(one.path) for one in paths]
        await until_async(lambda: all("answered-elsewhere" in prober.findings.of(one) for one in each))
        seen.update({one: prober.findings.of(one) for one in each})
        nft("flush chain ip far c")
        await until_async(lambda: not any(prober.findings.of(one) for one in each))

    try:
        return {**probe(paths, 1, during), "seen": seen}
    finally:
        reflector.kill()
        reflector.wait()


def nft(script: str) -> None:
    """In `far`."""
    subprocess.run(namespaces.command("far", ["nft", "-f", "-"]), input=script, text=True, check=True, timeout=20)


@pytest.mark.nft
def test_who_answers_in_the_targets_place_is_named_and_counts_for_nothing() -> None:
    found = scene("translated")
    for findings in found["seen"].values():
        assert findings["answered-elsewhere"].startswith("10.98.0.99 answers")
    for number in (1, 2, 3, 4):
        outcomes = {sent: outcome for name, outcome, sent in found["told"] if name == f"pop{number}/wg0"}
        assert outcomes[min(outcomes)] == "lost"
        assert "reply" in outcomes.values()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def sockets() -> Any:
    wire()
    paths = [path(n, [f"10.98.0.{n + 1}"]) for n in range(100)]

    async def main() -> tuple[int, int]:
        before = descriptors()
        prober = Prober(ProbeSettings(tuple(paths), 0.2), on_outcome=lambda _: None, seed=1)
        prober.start()
        await asyncio.sleep(0.3)
        during = descriptors()
        prober.close()
        return during - before, descriptors() - before

    return asyncio.run(main())


def test_a_hundred_targets_share_one_socket() -> None:
    assert scene("sockets") == [2, 0]  # and another to ask the kernel about routes


def recreated() -> Any:
    with tunnels("v0", "v1") as ask:
        back: list[float] = []

        async def recreate(_: Prober) -> None:
            await asyncio.sleep(1.0)
            ask(pop="v0", attached=False)
            await asyncio.sleep(1.2)
            ask(pop="v0", attached=True)
            address("v0", 1)
            back.append(time.monotonic())

        return {**probe([path(1, ["10.64.1.1"], interval=0.3)], 3.5, recreate), "back": back[0]}


def test_a_device_made_again_is_probed_again() -> None:
    """How soon is asserted on another path's probes (`test_a_path_added_or_made_again_is_probed_at_once`)."""
    found = scene("recreated")
    assert [1 for _, outcome, sent in found["told"] if outcome == "reply" and sent > found["back"]]
    assert "local" in found["counts"]
    assert "lost" not in found["counts"]


def added() -> Any:
    with tunnels("v0", "v1") as _:
        when: list[float] = []

        async def add(prober: Prober) -> None:
            await asyncio.sleep(0.7)
            when.append(time.monotonic())
            later = [path(n, ["10.64.2.1"], "v1", interval=0.4) for n in range(2, 12)]
            change = await prober.prepare(ProbeSettings((path(1, ["10.64.1.1"], interval=0.4), *later), 0.4))
            await change.commit()

        found = probe([path(1, ["10.64.1.1"], interval=0.4)], 1.8, add)
        first = {name: min(sent for one, _, sent in found["told"] if one == name) for name, _, _ in found["told"]}
        return {"when": when[0], "first": [at - when[0] for name, at in first.items() if name != "pop1/wg0"], **found}


def test_a_path_added_by_a_reload_is_probed_within_one_interval_and_others_keep_their_phase() -> None:
    found = scene("added")
    assert len(found["first"]) == 10
    assert max(found["first"]) < 0.4 + 0.06
    before = found["sent"]["pop1/wg0 0"]
    assert len(before) + found["skipped"] >= 4
    assert off_beat(before, 0.4, found["when"]) == []


def suspended() -> Any:
    """The machine stands still with a flood of answers on the way."""
    with tunnels("v0", "v1") as _:

        async def stand_still(_: Prober) -> None:
            await asyncio.sleep(0.6)
            time.sleep(1.2)  # noqa: ASYNC251 -- that is the point

        return probe([path(1, both(1), interval=0.05)], 2.6, stand_still)


def test_a_stall_is_skipped_and_no_burst_follows() -> None:
    found = scene("suspended")
    assert found["skipped"] > 30
    assert not set(found["counts"]) - {"reply", "void"}
    sent = sorted(at for _, _, at in found["told"])
    assert max(sum(1 for at in sent if begin <= at < begin + 0.05) for begin in sent) <= 4


def mixed_sizes() -> Any:
    wire()
    plain = path(1, ["10.98.0.1"], interval=0.1)
    big = path(2, ["10.98.0.2"], interval=0.1, size=1400, dscp=46)
    sourced = path(3, ["10.98.0.3"], interval=0.1)
    namespaces.ip("addr add 10.9.0.7/24 dev v0")
    from dataclasses import replace

    sourced = replace(sourced, targets=(replace(sourced.targets[0], source="10.9.0.7"),))
    log = Path("/run/seen")
    watcher = subprocess.Popen(namespaces.command("far", [sys.executable, "-c", WATCHER, str(log)]))
    try:
        time.sleep(0.3)
        found = probe([plain, big, sourced], 1)
    finally:
        watcher.kill()
        watcher.wait()
    return {**found, "seen": sorted(set(log.read_text().split("\n")[:-1]))}


WATCHER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
with open(sys.argv[1], "w", buffering=1) as log:
    for _ in range(1000):
        packet = s.recv(2000)
        if packet[20] == 8:
            print(socket.inet_ntoa(packet[12:16]), packet[19], packet[1] >> 2, len(packet) - 28, file=log)
"""


def test_size_dscp_and_source_are_those_of_each_path() -> None:
    found = scene("mixed_sizes")
    assert set(found["counts"]) == {"reply"}
    assert found["seen"] == ["10.9.0.1 1 0 56", "10.9.0.1 2 46 1400", "10.9.0.7 3 0 56"]


def by_hand(kind: str) -> Any:
    """Both wires, on the same path."""
    from steerd.probe.wire.batch import Batch
    from steerd.probe.wire.single import Single

    wire()
    told: list[Any] = []

    async def main() -> None:
        wired = {"batch": Batch, "single": Single}[kind]
        paths = tuple(path(n, [f"10.98.0.{n + 1}"], interval=0.1) for n in range(200))
        prober = Prober(ProbeSettings(paths, 0.1), on_outcome=told.append, seed=1, wired=wired)
        prober.start()
        await asyncio.sleep(1.5)
        queue = prober.local_queue(PathId("pop0/wg0"))
        prober.close()
        told.append(queue)

    asyncio.run(main())
    queue = told.pop()
    return {"outcomes": sorted({each.outcome.value for each in told}), "count": len(told), "queue": queue}


@pytest.mark.parametrize("kind", ["batch", "single"])
def test_both_wires_do_the_same(kind: str) -> None:
    found = scene("by_hand", kind)
    assert found["outcomes"] == ["reply"]
    assert found["count"] > 1000  # 3,000, where no slot is skipped
    assert found["queue"] > 0


def itself() -> Any:
    """The first target is an address of this machine, from the start; the second becomes one."""
    with tunnels("v0", "v1") as _:
        namespaces.ip("addr add 10.97.0.1/32 dev v0")
        paths = [path(1, ["10.97.0.1"], interval=0.1), path(2, both(2), "v1", interval=0.1)]

        async def become(prober: Prober) -> None:
            await asyncio.sleep(1.0)
            namespaces.ip(f"addr add {both(2)[0]}/32 dev lo")
            await until_async(lambda: "local" in prober.findings.of(PathId("pop2/wg0")))

        return probe(paths, 1.0, become)


def test_a_target_that_is_this_machine_measures_nothing() -> None:
    found = scene("itself")
    assert set(found["by_path"]["pop1/wg0"]) == {"local"}
    assert "10.97.0.1 is an address of this machine" in found["findings"]["pop1/wg0"]["local"]
    assert {"reply", "local"} <= set(found["by_path"]["pop2/wg0"])
    assert "is an address of this machine" in found["findings"]["pop2/wg0"]["local"]


def unsourced() -> Any:
    """The addresses that probes are sent from go."""
    wire()
    namespaces.ip("addr add 10.97.0.1/32 dev v0\naddr add fd97::1/128 dev v0 nodad")
    ends = [Target(4, "10.98.0.1", source="10.97.0.1"), Target(6, "fd98::1", source="fd97::1")]
    paths = [replace(path(n, ["10.98.0.1"], interval=0.1), targets=(end,)) for n, end in enumerate(ends, 1)]

    async def go(prober: Prober) -> None:
        await asyncio.sleep(1.0)
        namespaces.ip("addr del 10.97.0.1/32 dev v0\naddr del fd97::1/128 dev v0")
        await until_async(lambda: all("local" in prober.findings.of(each.path) for each in paths))

    return probe(paths, 1.0, go)


def test_a_source_address_that_is_gone_is_named() -> None:
    found = scene("unsourced")
    for name, source in (("pop1/wg0", "10.97.0.1"), ("pop2/wg0", "fd97::1")):
        assert "local" in found["by_path"][name]
        assert f"the source {source} is not an address of this machine" in found["findings"][name]["local"]
