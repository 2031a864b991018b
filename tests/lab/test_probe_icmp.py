"""The prober on real packets: each test runs a scene of its own, in namespaces of its own."""

import asyncio
import collections
import ctypes
import select
import socket
import struct
import time
from typing import Any

import pytest

from steerd.config.probe_settings import ProbeSettings
from steerd.core.effects import Cadence
from steerd.core.settings import PathId
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.net.icmp import ECHO, ECHO_REPLY
from steerd.probe.error import ProbeError
from steerd.probe.prober import Prober
from steerd.probe.wire.echo import echo_request, head
from tests.lab.probing import DELAY, address, both, off_beat, path, probe, tunnels, wire

pytestmark = pytest.mark.lab


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def accuracy() -> Any:
    with tunnels("v0") as _:
        return probe([path(1, both(1), interval=0.05)], 2)


def test_rtts_are_those_of_the_path_in_both_families() -> None:
    found = scene("accuracy")
    assert set(found["counts"]) == {"reply"}
    legs = found["legs"]
    assert legs["reply0"] + legs["reply1"] + found["skipped"] == pytest.approx(80, abs=6)
    assert min(legs.values()) > 25
    assert DELAY - 0.0005 < found["median"] < DELAY + 0.002
    assert found["queues"][0] < 0.001


def blocked() -> Any:
    async def block(_: Prober) -> None:
        for _ in range(11):
            await asyncio.sleep(0.15)
            time.sleep(0.05)  # noqa: ASYNC251 -- that is the point

    with tunnels("v0", "v1") as _:
        paths = [path(1, both(1), interval=0.05), path(2, both(2), "v1", interval=0.05)]

        async def impatient(prober: Prober) -> None:
            for each in paths:
                prober.cadence(Cadence(each.path, 0.05, DELAY + 0.020))
            await block(prober)

        return probe(paths, 2.3, impatient)


def test_a_blocked_loop_neither_loses_probes_nor_spoils_their_rtts() -> None:
    found = scene("blocked")
    assert found["lag"] > 0.03
    assert found["counts"]["reply"] > 110
    assert sum(found["counts"].values()) - found["counts"]["reply"] <= 2  # the machine is shared
    assert DELAY - 0.0005 < found["median"] < DELAY + 0.002
    assert found["p90"] < DELAY + 0.010


def dead() -> Any:
    with tunnels("v0", "v1") as ask:
        ask(pop="v1", change={"dead": True}, at=0.0)
        seen: dict[str, set[int]] = collections.defaultdict(set)

        async def look(prober: Prober) -> None:
            for _ in range(20):
                await asyncio.sleep(0.1)
                for leg in prober.roster:
                    seen[f"{leg.settings.pop}-{leg.family}"].add(leg.identifier)

        found = probe([path(1, both(1)), path(2, both(2), "v1", timeout=0.5)], 2.2, look)
        return {**found, "identifiers": {each: len(used) for each, used in seen.items()}}


def test_a_dead_path_is_overdue_and_lost_and_its_neighbour_is_not() -> None:
    found = scene("dead")
    of = collections.defaultdict(list)
    for name, outcome, sent_at in found["told"]:
        of[name].append((outcome, sent_at))
    assert {outcome for outcome, _ in of["pop1/wg0"]} == {"reply"}
    assert {outcome for outcome, _ in of["pop2/wg0"]} == {"overdue", "lost"}
    overdue = [at for outcome, at in of["pop2/wg0"] if outcome == "overdue"]
    lost = [at for outcome, at in of["pop2/wg0"] if outcome == "lost"]
    assert len(lost) >= 12
    assert lost == overdue[: len(lost)]
    assert found["identifiers"] == {"pop1-4": 1, "pop1-6": 1, "pop2-4": 2, "pop2-6": 2}


def late() -> Any:
    async def patience(prober: Prober) -> None:
        prober.cadence(Cadence(PathId("pop1/wg0"), 0.1, 0.05))

    with tunnels("v0") as ask:
        ask(pop="v0", change={"delay_ms": 600.0}, at=0.0)
        return probe([path(1, ["10.64.1.1"], timeout=0.2)], 2.0, patience)


def test_late_answers_follow_their_loss_and_tell_the_rtt() -> None:
    found = scene("late")
    counts = found["counts"]
    assert set(counts) == {"overdue", "lost", "late"}
    assert counts["overdue"] >= counts["lost"] >= counts["late"] >= 10
    assert 0.599 < found["median"] < 0.61


def local() -> Any:
    wire()
    namespaces.ip("rule add fwmark 7 prohibit priority 10\nrule add fwmark 8 lookup 8 priority 11")
    namespaces.ip("route add blackhole 10.98.0.0/16 table 8\nlink set lo up")
    found = probe(
        [path(1, ["10.98.0.1"], "", mark=7), path(2, ["10.98.0.2"], "", mark=8), path(3, ["10.98.0.3"], "none")], 1
    )
    found["sound"] = probe([path(4, ["10.98.0.4"])], 0.5)["counts"]
    namespaces.ip("link set v0 down")
    found["down"] = probe([path(5, ["10.98.0.5"])], 0.5)["counts"]
    return found


def test_what_this_machine_refuses_to_send_is_local() -> None:
    found = scene("local")
    assert {outcome for _, outcome, _ in found["told"]} == {"local"}
    assert {name for name, _, _ in found["told"]} == {"pop1/wg0", "pop2/wg0", "pop3/wg0"}
    assert set(found["sound"]) == {"reply"}
    assert set(found["down"]) == {"local"}


def unresolved() -> Any:
    wire()
    # Nobody has this address: the kernel gives up on ARP after some seconds and tells itself so.
    return probe([path(1, ["10.9.0.77"], timeout=0.5)], 4)


def test_a_next_hop_that_does_not_answer_arp_is_lost_with_an_error_as_hint() -> None:
    counts = scene("unresolved")["counts"]
    assert counts["lost"] >= 12
    assert counts["error"] >= 1
    assert set(counts) == {"overdue", "lost", "error"}


def overflowing() -> Any:
    from steerd.probe import pace
    from steerd.probe.wire import datagram as sockets

    sockets.RECEIVE_BUFFER = 100_000
    pace.phase = lambda _, __: 0.5  # all in the same tick
    wire()
    paths = [path(n, [f"10.98.{n // 250}.{n % 250 + 1}"], interval=0.5) for n in range(600)]
    return {**probe(paths, 2), "told": []}


def test_an_overflow_of_our_own_buffer_is_no_loss() -> None:
    counts = scene("overflowing")["counts"]
    assert set(counts) == {"reply", "local"}
    assert counts["local"] > 300
    assert counts["reply"] > 100


def recreated() -> Any:
    with tunnels("v0", "v1") as ask:

        async def recreate(_: Prober) -> None:
            await asyncio.sleep(0.8)
            ask(pop="v0", attached=False)
            await asyncio.sleep(0.8)
            ask(pop="v0", attached=True)
            address("v0", 1)

        return probe([path(1, ["10.64.1.1"])], 3.0, recreate)


def test_a_device_that_goes_and_comes_back_is_probed_again() -> None:
    told = [outcome for _, outcome, _ in scene("recreated")["told"]]
    assert told.count("local") >= 2
    assert told.index("local") >= 2
    assert told[-3:] == ["reply"] * 3


def crowd() -> Any:
    wire()
    paths = [path(n, [f"10.98.{n // 250}.{n % 250 + 1}"], interval=1.0) for n in range(1000)]
    probe(paths[:5], 0.5)  # the neighbour is known from here on
    return {**probe(paths, 3), "told": []}


def test_a_thousand_targets_without_a_false_loss() -> None:
    found = scene("crowd")
    assert found["counts"]["reply"] > 2700
    assert set(found["counts"]) == {"reply"}


def fifty() -> Any:
    wire()
    return {**probe([path(n, [f"10.98.0.{n + 1}"], interval=1.0) for n in range(50)], 3), "told": []}


def test_fifty_paths_cost_next_to_nothing() -> None:
    found = scene("fifty")
    assert found["cpu"] < 0.04  # half of that where nothing else runs
    assert found["rss"] < 60_000


def reconfigured() -> Any:
    when: list[float] = []
    with tunnels("v0", "v1") as _:

        async def change(prober: Prober) -> None:
            await asyncio.sleep(1.0)
            when.append(time.monotonic())
            change = await prober.prepare(ProbeSettings((path(1, both(1)), path(2, both(2), "v1")), 0.2))
            await change.commit()
            await asyncio.sleep(1.0)
            with pytest.raises(ProbeError, match="by carrier pigeon is not available"):
                await prober.prepare(ProbeSettings((path(3, both(1), method="carrier pigeon"),), 0.2))
            prober.cadence(Cadence(PathId("pop1/wg0"), None, 1.0))

        return {**probe([path(1, both(1))], 3.0, change), "when": when[0]}


def test_a_new_configuration_leaves_the_phase_of_the_others() -> None:
    found = scene("reconfigured")
    assert set(found["counts"]) == {"reply"}
    first = sorted(at for name, _, at in found["told"] if name == "pop1/wg0")
    second = sorted(at for name, _, at in found["told"] if name == "pop2/wg0")
    assert len(second) == pytest.approx(20, abs=5)
    assert len(first) == pytest.approx(20, abs=5)  # at rest in the last second
    for leg in (0, 1):
        assert off_beat(found["sent"][f"pop1/wg0 {leg}"], 0.2, found["when"]) == []


def stamps_by_packet() -> Any:
    from steerd.probe.wire import datagram as sockets

    sockets.SCM_TS_OPT_ID = 250  # as on a kernel that does not know the option
    with tunnels("v0") as _:
        return probe([path(1, both(1), interval=0.1)], 1.5)


def test_an_older_kernel_matches_stamps_by_the_packet() -> None:
    found = scene("stamps_by_packet")
    assert set(found["counts"]) == {"reply"}
    assert DELAY - 0.0005 < found["median"] < DELAY + 0.002
    assert found["queues"][0] > 0


def stepped() -> Any:
    with tunnels("v0") as _:

        async def step(_: Prober) -> None:
            from steerd.probe import exchange as module

            await asyncio.sleep(0.6)
            real = module.realtime_offset
            module.realtime_offset = lambda: real() + 10

        return probe([path(1, both(1), interval=0.02)], 1.2, step)


def test_a_clock_step_voids_what_is_in_flight_and_nothing_else() -> None:
    counts = scene("stepped")["counts"]
    assert set(counts) == {"reply", "void"}
    assert 1 <= counts["void"] <= 8


def unprivileged() -> Any:
    ctypes.CDLL(None).capset(struct.pack("=II", 0x20080522, 0), bytes(24))
    try:
        probe([path(1, ["10.64.1.1"])], 0.1)
    except ProbeError as error:
        return str(error)


def test_without_the_capability_it_says_so_in_a_line() -> None:
    assert scene("unprivileged") == "cannot open a raw ICMP socket: CAP_NET_RAW is needed"


def foretold() -> Any:
    """Whoever has received a probe answers those that follow, by counting on, before they can be there."""
    with tunnels("v0") as _, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as ear:
        ear.bind(("v0", 3))
        forged = 0

        async def forge(_: Prober) -> None:
            nonlocal forged
            end = time.monotonic() + 1.5
            seen: list[tuple[float, bytes]] = []
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as mouth:
                while (now := time.monotonic()) < end:
                    await asyncio.sleep(0.002)
                    while select.select([ear], [], [], 0)[0]:
                        packet = ear.recv(4096)
                        if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_ICMP and packet[20] == ECHO[4]:
                            seen.append((now + DELAY / 2.0, packet))  # when it is at the far end
                    known = [packet for at, packet in seen if at < now]
                    for step in range(1, 5) if known else ():
                        mouth.sendto(answer(known[-1], step), (socket.inet_ntoa(known[-1][12:16]), 0))
                        forged += 1

        found = probe([path(1, both(1)[:1], interval=0.05)], 2, forge)
        return {**found, "forged": forged}


def answer(request: bytes, step: int) -> bytes:
    """The echo reply to the probe whose number is so much higher than that of this request."""
    identifier, _, cookie, number = struct.unpack_from("!4xHH16sI", request, 20)
    number = (number + step) % (1 << 32)
    made = echo_request(head(4, identifier, cookie), cookie, number)
    checksum = (struct.unpack_from("!H", made, 2)[0] + (ECHO[4] << 8)) % 0xFFFF
    reply = bytes((ECHO_REPLY[4], 0)) + struct.pack("!H", checksum) + made[4:]
    return request[:12] + request[16:20] + request[12:16] + reply


def test_who_answers_probes_in_advance_gains_nothing() -> None:
    found = scene("foretold")
    assert found["forged"] > 500
    assert set(found["counts"]) == {"reply"}
    assert min(found["rtts"]["pop1/wg0"]) > DELAY - 0.0005
