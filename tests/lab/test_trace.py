"""Traces on real packets: a chain of routers that answer, drop, refuse, or carry less than they should; and the
daemon's own, in the lab's world.

::

    gw (10.90.1.1) -- r1 (10.90.1.2, 10.90.2.1) -- r2 (10.90.2.2, 10.90.3.1) -- pop (10.90.3.2)

and the same in IPv6, fd90:0:0:n::. On the gateway only the path's mark leads there.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.waiting import until

pytestmark = pytest.mark.lab

MARK, TABLE = 0x81000000, 4301
CHAIN = ("gw", "r1", "r2", "pop")
R1 = ("10.90.1.2", "fd90:0:0:1::2")
R2 = ("10.90.2.2", "fd90:0:0:2::2")
POP = ("10.90.3.2", "fd90:0:0:3::2")
TCP, UDP, CLOSED = 4433, 4434, 4435

SERVER = f"""
import select, socket
tcp = socket.create_server(("::", {TCP}), family=socket.AF_INET6, dualstack_ipv6=True)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); udp.bind(("::", {UDP}))
print("ready", flush=True)
while True:
    for ready in select.select([tcp, udp], [], [])[0]:
        if ready is tcp:
            tcp.accept()[0].close()
        else:
            data, peer = udp.recvfrom(2048); udp.sendto(data, peer)
"""


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


@contextmanager
def chain() -> Iterator[None]:
    namespaces.add(*CHAIN)
    for name in CHAIN:
        namespaces.sysctl(
            name,
            ipv4__ip_forward=1,
            ipv6__conf__all__forwarding=1,
            ipv6__conf__default__accept_dad=0,
            ipv4__icmp_ratemask=0,  # a rate limit of 0 would empty the bucket of other errors, which it shares
            ipv6__icmp__ratelimit=0,
        )
    for link, (left, right) in enumerate(pairwise(CHAIN), 1):
        namespaces.ip(f"link add right{link} netns {left} type veth peer name left{link} netns {right}")
        for name, device, end in ((left, f"right{link}", 1), (right, f"left{link}", 2)):
            namespaces.ip(
                f"""addr add 10.90.{link}.{end}/24 dev {device}
                    addr add fd90:0:0:{link}::{end}/64 dev {device} nodad
                    link set {device} up""",
                name,
            )
    routes = {
        "gw": [(f"default table {TABLE}", *R1)],
        "r1": [("10.90.3.0/24", R2[0], None), ("fd90:0:0:3::/64", None, R2[1])],
        "r2": [("default", "10.90.2.1", "fd90:0:0:2::1")],
        "pop": [("default", "10.90.3.1", "fd90:0:0:3::1")],
    }
    for name, given in routes.items():
        for where, *vias in given:
            for via in filter(None, vias):
                to, _, table = where.partition(" ")
                namespaces.ip(f"route add {to} via {via} {table}", name)
    for family in ("-4", "-6"):
        ip("gw", family, f"rule add fwmark {MARK:#x} lookup {TABLE}")
    with namespaces.spawn("pop", [sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"ready\n"
        for address in POP:  # so that no neighbour has to be found while times are taken
            trace(aims=[address])
        try:
            yield
        finally:
            server.kill()


def ip(namespace: str, family: str, command: str) -> None:
    subprocess.run(["ip", "-n", namespace, family, *command.split()], check=True)


def asked(method: str, port: int, aims: Any = POP, device: str = "right1", mark: int = MARK) -> Any:
    targets = [{"family": 6 if ":" in aim else 4, "address": aim} for aim in aims]
    return {
        "path": "pop/right1", "device": device, "mark": mark, "method": method, "port": port, "dscp": 0,
        "aims": targets,
    }  # fmt: skip


def trace(method: str = "icmp", port: int = 0, *, aims: Any = POP, device: str = "right1", mark: int = MARK) -> Any:
    request = asked(method, port, aims, device, mark)
    command = namespaces.command("gw", [sys.executable, "-P", "-m", "steerd.trace"])
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)


def whole() -> Any:
    with chain():
        found = {
            "icmp": trace(),
            "tcp": trace("tcp", TCP),
            "udp": trace("udp", UDP),
            "tcp, closed": trace("tcp", CLOSED),
            "udp, closed": trace("udp", CLOSED),
            "without the mark": trace(mark=0),
            "without a device": trace(device="right9"),
        }
        for method in ("icmp", "tcp"):
            request = REQUEST.format(method=method, port=TCP, mark=MARK, target=POP[0])
            command = namespaces.command("gw", [sys.executable, "-c", request])
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
            found[f"{method} loads"] = done.stdout.split()
        half_open = namespaces.command("pop", ["cat", "/proc/net/tcp6"])
        lines = subprocess.run(half_open, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        return {**found, "half open": [line for line in lines if line.split()[3] == "03"]}


REQUEST = """
import sys
from steerd.trace.process.run import run
from steerd.trace.request import Aim, Request
record = run(Request("pop/right1", "right1", {mark}, "{method}", {port}, 0, (Aim(4, "{target}"),)))
assert record["legs"][0]["mtu"]["size"] == 1500, record
print(*({{"scapy", "icmplib"}} & set(sys.modules)))
"""


def test_each_method_finds_every_hop_in_both_families_down_the_path_alone() -> None:
    found = scene("whole")
    for method in ("icmp", "tcp", "udp", "tcp, closed", "udp, closed"):
        for family, leg in enumerate(found[method]["legs"]):
            assert leg["source"] == ("10.90.1.1", "fd90:0:0:1::1")[family]
            assert [hop["addresses"] for hop in leg["hops"]] == [[R1[family]], [R2[family]], [POP[family]]], method
            assert [(hop["sent"], hop["answered"]) for hop in leg["hops"]] == [(3, 3)] * 3, method
            assert all(0 < hop["best_ms"] <= hop["mean_ms"] < 20 for hop in leg["hops"]), leg["hops"]
            assert [hop["target"] for hop in leg["hops"]] == [False, False, True]
            assert (leg["mtu"]["state"], leg["mtu"]["size"]) == ("found", 1500)
            assert leg["reached"]
    assert "the target answers, at hop 3" in found["icmp"]["verdict"]
    assert found["tcp, closed"]["verdict"] == 'the target answers with "connection refused"'
    assert found["udp, closed"]["verdict"] == 'the target answers with "port unreachable"'
    # Without a route IPv4 sends out of the device to whoever may be there.
    without = [leg["verdict"] for leg in found["without the mark"]["legs"]]
    assert without[1] == "this machine cannot send: Network is unreachable"
    assert "no hop answered" in without[0]
    assert found["without a device"] == {"path": "pop/right1", "error": "the device right9 is not there"}
    assert (found["icmp loads"], found["tcp loads"]) == (["icmplib"], ["scapy"])
    # Nothing but the path's own mark leads to the target: what the kernel would reset by itself stays half open.
    assert found["half open"] == []


def broken() -> Any:
    found: dict[str, Any] = {}
    with chain():
        for kind, method in (("prohibit", "icmp"), ("blackhole", "udp"), ("circle", "icmp")):
            for address, back in zip(POP, ("10.90.2.1", "fd90:0:0:2::1"), strict=True):
                where = f"{address} via {back}" if kind == "circle" else f"{kind} {address}"
                namespaces.ip(f"route replace {where}", "r2")
            found[kind] = trace(method, UDP)
        for address in POP:
            namespaces.ip(f"route del {address}", "r2")
        namespaces.sysctl("pop", ipv4__ip_forward=0, ipv6__conf__all__forwarding=0)
        ip("pop", "-4", "addr flush dev left3")
        ip("pop", "-6", "addr flush dev left3")
        found["gone"] = trace("tcp", TCP)
        for family in ("-4", "-6"):
            ip("r1", family, "rule add iif left1 priority 1 blackhole")
        found["silent"] = trace()
    return found


def test_a_break_is_found_where_it_is() -> None:
    found = scene("broken")
    verdicts = {kind: [leg["verdict"] for leg in record["legs"]] for kind, record in found.items()}
    assert verdicts["prohibit"] == [f'hop 2 ({address}) says "prohibited"' for address in R2]
    assert verdicts["blackhole"] == [f"answers until hop 1 ({address}), nothing beyond" for address in R1]
    # An IPv6 router answers from where the packet came in, so that its address differs from one round to the next.
    assert verdicts["circle"] == [
        "goes in circles from hop 1 on, by 10.90.1.2 and 10.90.2.2",
        "goes in circles from hop 2 on, by fd90:0:0:2::2 and fd90:0:0:2::1",
    ]
    assert verdicts["gone"] == [f"answers until hop 2 ({address}), nothing beyond" for address in R2]
    assert all("no hop answered" in verdict for verdict in verdicts["silent"])
    for record in found.values():
        assert record["took_s"] < 10
        for leg in record["legs"]:
            assert leg["mtu"]["state"] == "unknown"
            assert not leg["reached"]
            assert len(leg["hops"]) <= 16


def unprivileged(method: str) -> Any:
    """While a trace to a target that swallows everything goes on: the capabilities of each thread of its processes."""
    with chain():
        for address in POP:
            namespaces.ip(f"route replace blackhole {address}", "r2")
        command = namespaces.command("gw", [sys.executable, "-P", "-m", "steerd.trace"])
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdin.write(json.dumps(asked(method, TCP)))
            process.stdin.close()
            found: dict[str, str] = {}

            def tracing() -> bool:
                found.clear()
                for one in (process.pid, *children(process.pid)):
                    for task in Path(f"/proc/{one}/task").iterdir():
                        found[task.name] = capabilities(task)
                return len(found) >= 1 + len(POP) and len({*found.values()}) == 1

            until(tracing)
            process.kill()
        return {"threads": len(found), "capabilities": sorted(set(found.values()))}


def children(pid: int) -> list[int]:
    found = [
        int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()
    ]
    return found + [deeper for one in found for deeper in children(one)]


def capabilities(task: Path) -> str:
    lines = (task / "status").read_text().splitlines()
    return " ".join(line.split()[1] for line in lines if line.startswith(("CapEff", "CapPrm", "CapInh", "CapAmb")))


@pytest.mark.parametrize("method", ["icmp", "udp"])
def test_what_comes_from_the_network_is_read_without_capabilities(method: str) -> None:
    found = scene("unprivileged", method)
    assert found["threads"] >= 3
    assert found["capabilities"] == [" ".join(4 * ["0" * 16])]


def elsewhere() -> Any:
    rules = "ip saddr 10.90.3.2 ip saddr set 10.90.3.9; ip6 saddr fd90:0:0:3::2 ip6 saddr set fd90:0:0:3::9"
    with chain():
        script = f"table inet far {{\n chain c {{\n type filter hook output priority 0;\n {rules}\n }}\n}}"
        subprocess.run(namespaces.command("pop", ["nft", "-f", "-"]), input=script, text=True, check=True)
        return {"icmp": trace(), "tcp": trace("tcp", TCP), "udp": trace("udp", UDP)}


@pytest.mark.nft
def test_who_answers_in_the_targets_place_is_named() -> None:
    for method, record in scene("elsewhere").items():
        for leg, address in zip(record["legs"], ("10.90.3.9", "fd90:0:0:3::9"), strict=True):
            assert leg["verdict"].startswith(f"{address} answers in the target's place"), method
            assert not leg["reached"]
            assert leg["mtu"]["state"] == "unknown"


def sizes() -> Any:
    found: dict[str, Any] = {}
    with chain():
        namespaces.ip("link set right2 mtu 1400", "r1")
        namespaces.ip("link set left2 mtu 1400", "r2")
        found["told"] = trace()
        # What r1 itself has to say does not leave it any more; what it forwards does.
        ip("r1", "-4", "rule add iif lo to 10.90.1.1 priority 1 blackhole")
        ip("r1", "-6", "rule add iif lo to fd90:0:0:1::1 priority 1 blackhole")
        found["hidden"] = trace()
        namespaces.sysctl("pop", ipv4__icmp_echo_ignore_all=1, ipv6__icmp__echo_ignore_all=1)
        found["unknown"] = trace("tcp", TCP)
    return found


def test_what_fits_through_is_told_from_what_vanishes() -> None:
    found = scene("sizes")
    for at, leg in enumerate(found["told"]["legs"]):
        assert leg["mtu"] == {"state": "found", "size": 1400, "device": 1500, "reported_by": R1[at]}
        assert "vanish" not in leg["verdict"]
    for leg in found["hidden"]["legs"]:
        assert leg["mtu"] == {"state": "black-hole", "size": 1400, "device": 1500, "reported_by": None}
        assert leg["verdict"].endswith("packets of more than 1400 bytes vanish without an error")
        assert [hop["answered"] for hop in leg["hops"]] == [0, 3, 3]
    for leg in found["unknown"]["legs"]:
        assert leg["mtu"]["state"] == "unknown"
        assert leg["reached"]


SOCKET = "/run/steerd-lab/control.sock"


def steerctl(world: World, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "steerd.cli.steerctl", "--socket", SOCKET, *arguments]
    process = world.spawn("gw", command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def tracing() -> list[str]:
    """The tracing processes of this enclosure."""
    lines = [file.read_text() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    return [line for line in lines if "\0steerd.trace\0" in line]


def daemon() -> Any:
    found: dict[str, Any] = {}
    with World() as world:
        process = world.run_daemon(world.gateway_config(), stderr=subprocess.DEVNULL)
        until(lambda: '"choice":"fra1/tun-fra1"' in steerctl(world, "status", "--json")[1].replace(" ", ""))
        found["whole"] = steerctl(world, "trace", "fra1")
        found["unknown"] = steerctl(world, "trace", "fra2")
        found["other"] = steerctl(world, "trace", "fra1", "--path", "tun-fra")
        found["started"] = "Trace of" in steerctl(world, "why")[1]
        world.pops["nyc1"].link(False)
        found["down"] = steerctl(world, "trace", "nyc1", "--path", "nyc1/tun-nyc1")
        world.pops["fra1"].set(dead=True)
        until(tracing)
        found["busy"] = steerctl(world, "trace", "ams1")
        until(lambda: "Trace of" in steerctl(world, "why")[1])
        found["why"] = steerctl(world, "why")[1]
        found["history"] = json.loads(steerctl(world, "history", "--json")[1])
        world.spawn("gw", [sys.executable, "-m", "steerd.cli.steerctl", "--socket", SOCKET, "trace", "fra1"],
                    stderr=subprocess.DEVNULL)  # fmt: skip
        until(tracing)
        process.terminate()
        found["ended"] = process.wait(60)
        found["left"] = tracing()
    return found


@pytest.mark.broker
def test_the_daemon_traces_what_it_is_asked_for_and_what_it_had_to_leave() -> None:
    found = scene("daemon")
    assert found["whole"][0] == 0, found["whole"]
    assert "Verdict: the first hop is the target (a tunnel shows no hops)." in found["whole"][1]
    assert "MTU: 1500, the device's" in found["whole"][1]
    assert found["unknown"] == [1, 'steerctl: there is no PoP "fra2"; did you mean "fra1"?\n']
    assert found["other"] == [1, 'steerctl: there is no path of fra1 "tun-fra"; did you mean "tun-fra1"?\n']
    assert found["down"] == [1, "steerctl: nyc1/tun-nyc1: the device tun-nyc1 is down\n"]
    assert found["busy"][0] == 1
    assert "another trace is being made, of fra1/tun-fra1" in found["busy"][1]
    assert not found["started"]
    assert "Trace of fra1/tun-fra1, " in found["why"]
    assert "s after: no hop answered" in found["why"]
    assert max(map(len, found["why"].splitlines())) <= 100
    by_reason = {switch["reason"]: switch["trace"] for switch in found["history"]["switches"]}
    assert by_reason["start"] is None
    assert by_reason["down"].startswith("no hop answered")
    assert (found["ended"], found["left"]) == (0, [])
