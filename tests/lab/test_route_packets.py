"""Where policies' packets go, counted by nftables and compared with what comes out of each device."""

import ctypes
import socket
import subprocess
from collections import Counter
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows, Guard
from steerd.route.nft.counters import FEW, SAMPLE
from tests.lab.test_route_world import (
    LAN_GATEWAY,
    Gateway,
    Heard,
    entered,
    ip,
    packed,
    path,
    policy,
    reconfigure,
    routing,
    settings,
    steer,
)
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

EVERYTHING = ("0.0.0.0/0", "::/0")
PATHS = (path(1, "a"), path(2, "b"), path(3, "c"))
ALL = policy("all", 0, *EVERYTHING, guard=Guard.USUAL)
OPEN = replace(ALL, guard=Guard.OFF)


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def counted(router) -> Counter:
    """Packets so far, by policy, family, where and device."""
    return +Counter(dict(router.packet_totals()))


def told(router) -> dict:
    """What is wrong with each policy, as a status shows it."""
    return {name: one.wrong for name, one in router.packets().items()}


def nft(text: str, *words: str) -> str:
    done = subprocess.run(
        ["nft", *(words or ("-f", "-"))], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def batch(lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True, timeout=20)


async def counting(given):
    """A router whose counters are in place."""
    heard = Heard()
    router = heard.router(replace(given, count=True))
    await router.start()
    await until_async(lambda: "steerd_packets" in nft("", "list", "tables"))
    return heard, router


def test_packets_are_counted_by_the_device_that_they_leave_by(gateway):
    async def run():
        _, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3", 30)
        gateway.send("2001:db8::1", 20)
        gateway.send(LAN_GATEWAY, 5)
        gateway.send("203.0.113.77", 5)  # main knows it
        assert gateway.arrivals() == {"a": 50, "wan": 5}
        await until_async(lambda: counted(router) == {("all", 4, "choice", "a"): 30, ("all", 6, "choice", "a"): 20})
        assert told(router) == {"all": False}
        await router.stop()
        assert "steerd_packets" not in nft("", "list", "tables")

    routing(run())


def test_what_leaves_by_no_path_is_astray_and_an_error_with_its_cause(gateway):
    """A rule of another's comes before ours. Without a guard its packets leave in the clear."""

    async def run():
        heard, router = await counting(settings(PATHS, (OPEN,)))
        await router.steer(steer("all", "a"))
        ip("rule", "add", "priority", "90", "to", "10.0.0.0/8", "lookup", "90")
        ip("route", "add", "default", "dev", "wan", "table", "90")

        def send() -> bool:
            gateway.send("172.16.1.1", 60)
            gateway.send("10.1.2.3", 40)
            gateway.arrivals()
            return told(router) == {"all": True} and any(one.mismatch for one in heard.installed)

        await until_async(send)
        wrong = next(one.mismatch for one in reversed(heard.installed) if one.mismatch)
        assert wrong.startswith("some of its IPv4 packets leave by wan, which is no path of the policy's")
        assert "rule 'to 10.0.0.0/8 priority 90 lookup 90'" in wrong
        found = counted(router)
        assert found["all", 4, "astray", "wan"] >= 80
        assert {where for _, _, where, _ in found} == {"choice", "astray"}
        ip("rule", "del", "priority", "90")
        gateway.arrivals()

        def calm() -> bool:
            gateway.send("10.1.2.3", 40)
            gateway.arrivals()
            return heard.installed[-1].mismatch is None

        await until_async(calm)
        await router.stop()

    routing(run())


@pytest.mark.parametrize(("given", "goes"), [(OPEN, "leave by wan"), (ALL, "are dropped by the leak guard")])
def test_a_route_of_anothers_in_a_table_of_ours_is_named_as_the_cause(gateway, given, goes):
    async def run():
        heard, router = await counting(settings(PATHS, (given,)))
        await router.steer(steer("all", "a"))
        ip("route", "add", "10.0.0.0/8", "dev", "wan", "table", "4200", "metric", "5", "proto", "static")

        def sent() -> bool:
            gateway.send("10.1.2.3", 40)
            gateway.arrivals()
            return bool(heard.installed) and "table 4200 holds" in (heard.installed[-1].mismatch or "")

        await until_async(sent, told=lambda: f"{heard.installed[-1:]}")
        assert f"of its IPv4 packets {goes}" in heard.installed[-1].mismatch
        assert "holds IPv4 routes of protocol 4, which are not steerd's" in heard.installed[-1].mismatch
        await router.stop()

    routing(run())


def test_what_one_half_of_a_default_route_takes_is_astray_and_what_many_networks_take_is_not(gateway):
    networks = "".join(
        f"route add {number}.{half}.0.0/9 via 203.0.113.7 dev wan\n" for number in range(160, 200) for half in (0, 128)
    )

    async def run():
        heard, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        batch(networks)
        await until_async(lambda: any("routes of main" in one for one in router.remarks()))
        looks: list[tuple[int, int]] = []  # what each found, of the choice and astray

        def left_alone() -> bool:
            gateway.send("172.16.1.1", 40)  # main knows it, as a router does that has the whole Internet
            gateway.send("10.1.2.3", 40)
            gateway.arrivals()  # else the tunnel's queue holds them: its device sends nothing
            found = counted(router)
            pair = found["all", 4, "choice", "a"], found["all", 4, "astray", "wan"]
            if pair[:1] != tuple(one[0] for one in looks[-1:]):
                looks.append(pair)
            return len(looks) > 4 and looks[-1][1] == looks[-3][1]

        await until_async(left_alone)
        assert told(router) == {"all": False}
        ip("route", "add", "0.0.0.0/1", "via", "203.0.113.7", "dev", "wan")

        def send() -> bool:
            gateway.send("10.1.2.3", 40)
            gateway.send("201.1.2.3", 60)
            gateway.arrivals()
            return any(one.mismatch for one in heard.installed)

        await until_async(send)
        assert "of its IPv4 packets leave by wan, which is no path of the policy's: routes of main" in str(
            heard.installed[-1].mismatch
        )
        assert "0.0.0.0/1" in str(heard.installed[-1].mismatch)
        assert counted(router)["all", 4, "astray", "wan"] >= 80
        await router.stop()

    routing(run())


def mute(name: str) -> None:
    """A device with somebody at its far end who answers nothing."""
    ip("link", "add", "name", name, "type", "veth", "peer", "name", "far")
    ip("addr", "add", "192.0.2.1/24", "dev", name)
    ip("-6", "addr", "add", "2001:db8:2::1/64", "dev", name, "nodad")
    for one in (name, "far"):
        ip("link", "set", "dev", one, "up")


@pytest.mark.parametrize(
    ("via", "words"),
    [({"via": "192.0.2.9"}, "next hop 192.0.2.9 does not answer ARP on d"),
     ({"via6": "2001:db8:2::9"}, "next hop 2001:db8:2::9 does not answer neighbour discovery on d")],
)  # fmt: skip
def test_what_a_device_does_not_send_goes_nowhere_and_a_next_hop_that_does_not_answer_is_named(gateway, via, words):
    mute("d")
    family = 6 if "via6" in via else 4

    async def run():
        heard, router = await counting(settings((path(4, "d", carries=str(family), **via), *PATHS), (ALL,)))
        await router.steer(steer("all", "d"))

        def sent() -> bool:
            gateway.send("10.1.2.3" if family == 4 else "2001:db8::1", 40)
            return heard.installed[-1:] != [] and words in (heard.installed[-1].mismatch or "")

        await until_async(sent, told=lambda: f"{heard.installed[-1:]}")
        assert heard.installed[-1].mismatch.startswith("most of its packets are handed to d, which does not send them")
        assert told(router) == {"all": True}
        assert f"path pop/d: {words}" in "".join(router.remarks())
        await router.steer(steer("all", "a"))

        def calm() -> bool:
            gateway.send("10.1.2.3" if family == 4 else "2001:db8::1", 40)
            gateway.arrivals()
            return heard.installed[-1].mismatch is None

        await until_async(calm)
        await router.stop()

    routing(run())


def test_what_is_dropped_behind_the_last_chain_that_is_looked_at_is_an_error_that_says_where_to_look(gateway):
    async def run():
        heard, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        nft('table netdev x { chain c { type filter hook egress device "a" priority 0; meta length > 0 drop; }; }')

        def sent() -> bool:
            gateway.send("10.1.2.3", 40)
            return heard.installed[-1:] != [] and "does not send" in (heard.installed[-1].mismatch or "")

        await until_async(sent, told=lambda: f"{heard.installed[-1:]}")
        assert gateway.arrivals() == {}
        assert "`tc filter show dev a egress`" in heard.installed[-1].mismatch
        await router.stop()

    routing(run())


def local_for_all() -> None:
    """As for a transparent proxy, but for all packets: the way back to a LAN host is then this machine itself."""
    ip("rule", "add", "priority", "90", "ipproto", "udp", "lookup", "100")
    ip("route", "add", "local", "default", "dev", "lo", "table", "100")


def legacy_table(name: str) -> None:
    """As `iptables-legacy -t NAME -L`: whoever asks for a table first makes it."""
    asked = ctypes.create_string_buffer(name.encode(), 84)  # struct ipt_getinfo
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        size = ctypes.c_uint32(len(asked))
        failed = ctypes.CDLL(None, use_errno=True).getsockopt(sock.fileno(), 0, 64, asked, ctypes.byref(size))
    if failed:
        pytest.skip("this kernel has no legacy iptables")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda: ip("rule", "add", "priority", "90", "iif", "lan", "prohibit"),
            "priority 90 prohibit' comes before steerd",
        ),
        (
            lambda: ip("xfrm", "policy", "add", "src", "192.168.50.0/24", "dir", "fwd", "action", "block"),
            "IPsec drops some",
        ),
        (local_for_all, "the kernel takes some for martians"),
        (lambda: legacy_table("filter"), "iptables-legacy has tables (filter)"),
    ],
    ids=["rule", "IPsec", "martians", "legacy iptables"],
)
def test_what_goes_nowhere_has_the_cause_that_the_kernel_counts_or_where_to_look(gateway, change, words):
    async def run():
        heard, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        change()
        if "legacy" in words:  # what drops is seen, but tells nothing
            nft("table ip x { chain c { type filter hook forward priority 5; ip ttl 0-255 drop; }; }")

        def sent() -> bool:
            gateway.send("10.1.2.3", 40)
            return heard.installed[-1:] != [] and words in (heard.installed[-1].mismatch or "")

        await until_async(sent, told=lambda: f"{heard.installed[-1:]}")
        assert heard.installed[-1].mismatch.startswith("most of its IPv4 packets go nowhere")
        await router.stop()

    routing(run())


def test_what_main_rejects_by_a_longer_prefix_is_its_word_and_no_error(gateway):
    """As an operator's null routes, or the aggregate that BGP announces."""

    async def run():
        heard, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        for kind, prefix in (
            ("blackhole", "10.0.0.0/8"),
            ("unreachable", "172.16.0.0/12"),
            ("prohibit", "100.64.0.0/24"),
        ):
            ip("route", "add", kind, prefix)
        wanted = ("10.0.0.0/8", "172.16.0.0/12", "100.64.0.0/24")  # the table may be made anew between two of them

        def known() -> bool:
            listed = nft("", "list", "table", "inet", "steerd_packets")
            return all(prefix in listed for prefix in wanted)

        await until_async(known)
        sent = 0

        def enough() -> bool:
            nonlocal sent
            for address in ("10.1.2.3", "172.16.1.1", "100.64.0.7", "198.51.100.1"):
                gateway.send(address, 30)
            sent += 30
            return counted(router)["all", 4, "choice", "a"] > 200 and sent > 200

        await until_async(enough)
        assert counted(router)["all", 4, "nowhere", ""] < 100 < 3 * sent
        assert told(router) == {"all": False}
        assert not any(one.mismatch for one in heard.installed)
        await router.stop()

    routing(run())


def test_what_the_guard_drops_and_what_goes_nowhere_are_told_apart(gateway):
    async def run():
        heard, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        ip("rule", "add", "priority", "90", "iif", "lan", "lookup", "90")
        ip("route", "add", "default", "dev", "wan", "table", "90")

        def sent(address: str) -> bool:
            gateway.send(address, 40)
            gateway.arrivals()
            return heard.installed[-1:] != [] and "packets" in (heard.installed[-1].mismatch or "")

        await until_async(lambda: sent("10.1.2.3"))
        assert "most of its IPv4 packets are dropped by the leak guard" in heard.installed[-1].mismatch
        assert {where for _, _, where, _ in counted(router)} == {"guard"}
        ip("rule", "del", "priority", "90")
        gateway.sysctl("ipv6/conf/all/forwarding", 0)
        await until_async(lambda: sent("2001:db8::1") and "go nowhere" in heard.installed[-1].mismatch)
        assert "net.ipv6.conf.all.forwarding is 0" in heard.installed[-1].mismatch
        assert {where for _, family, where, _ in counted(router) if family == 6} == {"nowhere"}
        await router.stop()

    routing(run())


def test_a_switch_is_no_alarm_and_old_connections_are_on_another_path(gateway):
    pinned = replace(ALL, flows=Flows.AUTO)

    async def run():
        heard, router = await counting(settings(PATHS, (pinned,)))
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3", 30)
        await router.steer(steer("all", "b", "a"))
        gateway.send("10.1.2.3", 30)  # the same connection
        gateway.send("10.9.2.3", 25)
        assert gateway.arrivals() == {"a": 60, "b": 25}
        await until_async(lambda: counted(router) == {("all", 4, "path", "a"): 60, ("all", 4, "choice", "b"): 25})
        assert told(router) == {"all": False}
        assert not any(one.mismatch for one in heard.installed)
        await router.stop()

    routing(run())


def test_what_is_for_this_machine_is_no_policys_and_a_trace_that_ends_here_is_answered(gateway):
    async def run():
        _, router = await counting(settings(PATHS, (ALL,), bypass_mark=0x51))
        await router.steer(steer("all", "a"))
        ip("addr", "add", "198.18.0.1/32", "dev", "lo")
        nft(
            "table ip others { chain redirected { type nat hook prerouting priority dstnat; "
            "ip daddr 10.9.9.9 redirect; }; "
            "chain marked { type filter hook prerouting priority mangle; ip daddr 10.8.8.8 meta mark set 0x51; }; }"
        )
        ip("-6", "addr", "add", "2001:db8:77::1/128", "dev", "lo", "nodad")
        await until_async(lambda: "local" in ip("-6", "route", "get", "2001:db8:77::1"))
        gateway.send("198.18.0.1", 10)
        gateway.send("2001:db8:77::1", 10)
        gateway.send("10.9.9.9", 10)
        gateway.send("10.8.8.8", 10)  # bypassed
        gateway.send("224.1.2.3", 10)
        with entered(gateway.lan), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trace:
            trace.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
            for _ in range(10):
                trace.sendto(b"trace", ("10.1.2.3", 33434))
        gateway.send("10.1.2.3", 25)
        gateway.send("2001:db8::1", 21)
        wanted = {("all", 4, "choice", "a"): 25, ("all", 6, "choice", "a"): 21}
        await until_async(lambda: counted(router) == wanted, told=lambda: f"{counted(router)}")
        await router.stop()

    routing(run())


def test_counters_go_on_when_the_table_changes_and_a_removed_table_comes_back(gateway):
    other = policy("other", 0, "172.16.0.0/12", guard=Guard.USUAL)

    async def run():
        _, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3", 25)
        gateway.send("172.16.1.1", 5)
        await reconfigure(router, settings(PATHS[:2], (other, replace(ALL, order=1)), count=True))
        await router.steer(steer("other", "b"))
        await until_async(lambda: counted(router)["all", 4, "choice", "a"] == 30)
        before = nft("", "list", "table", "inet", "steerd_packets")
        assert "172.16.0.0" in before
        gateway.send("10.1.2.3", 25)
        gateway.send("172.16.1.1", 21)
        wanted = {("all", 4, "choice", "a"): 55, ("other", 4, "choice", "b"): 21}
        await until_async(lambda: counted(router) == wanted)
        nft("", "delete", "table", "inet", "steerd_packets")
        await until_async(lambda: "steerd_packets" in nft("", "list", "tables"))
        gateway.send("172.16.1.1", 4)
        await until_async(lambda: counted(router)["other", 4, "choice", "b"] == 25)
        await reconfigure(router, settings(PATHS[:2], (ALL,)))
        await until_async(lambda: "steerd_packets" not in nft("", "list", "tables"))
        await until_async(lambda: router.packets() == {})
        await router.stop()

    routing(run())


def test_what_an_earlier_run_counted_is_not_counted_again_and_another_programs_table_is_left_alone(gateway):
    async def run():
        _, router = await counting(settings(PATHS, (ALL,)))
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3", 5_000)
        await until_async(lambda: counted(router) == {("all", 4, "choice", "a"): 5_000})
        left = nft("", "list", "table", "inet", "steerd_packets")
        await router.stop()
        nft(left)  # as after a kill -9
        _, router = await counting(settings(PATHS, (ALL,)))
        sent = 0

        def is_counted() -> bool:
            nonlocal sent
            gateway.send("10.1.2.3")
            sent += 1
            return counted(router)["all", 4, "choice", "a"] > 0

        await until_async(is_counted)
        assert counted(router)["all", 4, "choice", "a"] <= sent
        await router.stop()
        nft("table inet steerd_packets { chain mine { }; }")
        _, router = await counting(settings(PATHS, (ALL,)))
        await until_async(lambda: any("that is not steerd's" in one for one in router.remarks()))
        await router.steer(steer("all", "a"))
        gateway.send("10.1.2.3", 21)
        await router.stop()
        assert "chain mine" in nft("", "list", "table", "inet", "steerd_packets")

    routing(run())


def test_of_many_prefixes_one_packet_of_many_is_counted(gateway):
    listed = [f"10.{number // 256}.{number % 256}.0/24" for number in range(0, 2 * FEW + 2, 2)]
    many = (replace(ALL, prefixes=packed("0.0.0.0/0", "::/0", *listed)),)

    async def run():
        _, router = await counting(settings(PATHS, many))
        await router.steer(steer("all", "a"))
        for _ in range(16):
            gateway.send("10.1.2.3", 1_000)
            assert gateway.arrivals() == {"a": 1_000}
        await until_async(lambda: counted(router)["all", 4, "choice", "a"] > 8_000)  # 16 standard deviations
        assert counted(router)["all", 4, "choice", "a"] % SAMPLE == 0
        assert not told(router)["all"]
        await router.stop()

    routing(run())
