"""The leak guard on real packets: what belongs to a policy leaves by its paths or not at all, whatever breaks."""

import os
import signal
import socket
import struct
import subprocess
from dataclasses import replace

import pytest

from steerd.config.route_settings import Guard, OnStop
from steerd.core.events import Installed
from steerd.route.error import RouteError
from steerd.route.nft import firewall
from steerd.route.nft.program import find_nft
from steerd.route.once import cleanup, guard
from tests.lab.test_route_world import (
    LAN_HOST,
    WAN_ADDRESS,
    Gateway,
    Heard,
    echo,
    entered,
    goes,
    ip,
    ipv4,
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


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def nft(text: str, *words: str) -> str:
    done = subprocess.run(
        ["nft", *(words or ("-f", "-"))], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ruleset() -> str:
    return nft("", "-s", "list", "ruleset")


def both(gateway, times=5):
    gateway.send("10.1.2.3", times)
    gateway.send("2001:db8::1", times)


def test_nothing_leaves_before_the_first_choice_and_the_lan_stays_reachable(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        both(gateway)
        assert gateway.arrivals() == {}
        gateway.send_own("10.1.2.3")
        assert gateway.arrivals() == {"wan": 1}  # the gateway's own
        gateway.send("203.0.113.77", 2)  # on the uplink's own network: main knows it
        assert gateway.arrivals() == {"wan": 2}
        await router.steer(steer("all", "a"))
        both(gateway)
        assert gateway.arrivals() == {"a": 10}
        await router.stop()

    routing(run())


def test_without_rules_routes_devices_or_daemon_nothing_leaks(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        both(gateway)
        assert gateway.arrivals() == {"a": 10}
        await router.stop()  # what it put there is all there is
        for family in ("-4", "-6"):
            for line in ip(family, "rule").splitlines():
                if "proto 210" in line:
                    ip(family, "rule", "del", "priority", line.split(":")[0])
        both(gateway)
        assert gateway.arrivals() == {}
        ip("link", "set", "dev", "a", "down")
        both(gateway)
        assert gateway.arrivals() == {}
        await router.stop()

    routing(run())


@pytest.mark.parametrize("on_stop", list(OnStop))
def test_the_guard_outlives_a_stop_unless_all_is_to_go(gateway, on_stop):
    async def run():
        given = settings(PATHS, (ALL,), on_stop=on_stop)
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "b"))
        await router.steer(steer("all", None))
        both(gateway)
        assert gateway.arrivals() == {}
        await router.stop()
        both(gateway)
        if on_stop is OnStop.CLEANUP:
            assert ruleset() == ""
            assert gateway.arrivals()["wan"] == 10
        else:
            assert gateway.arrivals() == {}
            assert "chain guard" in ruleset()
            cleanup(given)
            assert ruleset() == ""

    routing(run())


def test_what_is_left_to_main_may_leave_by_it(gateway):
    corp = policy("corp", 1, "10.64.0.0/10", guard=Guard.OFF)
    given = settings(
        PATHS,
        (replace(ALL, excepted=policy("", 0, "10.9.0.0/16").prefixes), corp),
        management=("198.51.100.0/24",),
        bypass_mark=0x51,
    )

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "a"))
        for address in ("10.9.1.1", "198.51.100.7"):
            gateway.send(address, 2)
            assert gateway.arrivals() == {"wan": 2}, address
        ip("route", "add", "10.200.0.0/16", "dev", "wan")  # as when a container network comes up
        await until_async(lambda: goes(gateway, "10.200.1.1") == "wan")
        ip("route", "del", "10.200.0.0/16", "dev", "wan")
        await until_async(lambda: goes(gateway, "10.200.1.1") == "a")
        await router.stop()

    routing(run())


def test_each_policy_is_kept_to_its_own_devices(gateway):
    """Longest prefix first, as the routes have it: `corp` is not guarded and may leave by `c`, nobody else may."""
    given = settings(
        PATHS,
        (
            replace(ALL, allowed=frozenset({"pop/a", "pop/b"})),
            policy("corp", 1, "10.0.0.0/8", allowed=frozenset({"pop/c"})),
            policy("lab", 2, "10.5.0.0/16", guard=Guard.ALWAYS, allowed=frozenset({"pop/b"})),
        ),
    )

    async def run():
        router = Heard().router(given)
        await router.start()
        for name, best in (("all", "a"), ("corp", "c"), ("lab", "b")):
            await router.steer(steer(name, best))
        gateway.send("172.20.0.1", 2)
        gateway.send("10.1.1.1", 3)
        gateway.send("10.5.1.1", 4)
        assert gateway.arrivals() == {"a": 2, "c": 3, "b": 4}
        await router.stop()
        ip("rule", "add", "priority", "100", "lookup", "77")
        ip("route", "add", "default", "dev", "c", "table", "77")
        gateway.send("172.20.0.1", 2)
        gateway.send("10.1.1.1", 3)
        gateway.send("10.5.1.1", 4)
        assert gateway.arrivals() == {"c": 3}
        await router.stop()

    routing(run())


def test_what_somebody_does_to_it_is_put_right_and_counted(gateway):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        right = ruleset()
        main = next(word for word in right.split() if word.startswith("main4_"))
        for times, harm in enumerate(
            (
                "flush ruleset",
                "delete table inet steerd",
                "flush chain inet steerd guard",
                'insert rule inet steerd guard oifname "wan" accept',
                "add element inet steerd MAIN { 8.8.8.8 }",
            ),
            1,
        ):
            nft(harm.replace("MAIN", main))
            assert ruleset() != right
            await until_async(lambda times=times: heard.repairs["nft"] >= times)
            assert ruleset() == right, harm
            assert heard.repairs["nft"] == times
        await router.stop()

    routing(run())


def test_foreign_tables_are_left_as_they_are(gateway):
    nft("table inet steerd_other {\n chain c {\n type filter hook forward priority 0;\n ip daddr 9.9.9.9 drop\n }\n}\n")
    nft('table ip nat {\n chain post {\n type nat hook postrouting priority 100;\n oifname "wan" masquerade\n }\n}\n')
    before = ruleset()
    given = settings(PATHS, (ALL,))

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await reconfigure(router, replace(given, nft_table="elsewhere"))
        assert "table inet elsewhere" in ruleset()
        assert "table inet steerd {" not in ruleset()
        await reconfigure(router, replace(given, policies=(replace(ALL, guard=Guard.OFF),)))
        assert ruleset() == before
        await reconfigure(router, given)
        await router.stop()

    routing(run())
    cleanup(given)
    assert ruleset() == before


def test_another_table_of_the_name_is_a_collision(gateway):
    nft("add table inet steerd")

    async def run():
        with pytest.raises(RouteError, match="table inet steerd of nftables, without steerd's comment"):
            await Heard().router(settings(PATHS, (ALL,))).start()

    routing(run())
    assert cleanup(settings(PATHS, (ALL,))) == 0
    assert "table inet steerd" in ruleset()


def test_a_guard_without_nft_is_refused_where_it_was_asked_for(gateway, monkeypatch):
    monkeypatch.setattr("steerd.route.nft.firewall.find_nft", lambda: None)

    async def run():
        with pytest.raises(RouteError, match="policy all: leak_guard cannot be had: nft is not installed"):
            await Heard().router(settings(PATHS, (replace(ALL, guard=Guard.ALWAYS),))).start()
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        assert await router.steer(steer("all", "a")) == Installed("all", "pop/a", None)
        await router.stop()

    routing(run())


def test_before_the_daemon_it_is_loaded_from_the_configuration_alone(gateway):
    given = settings(PATHS, (ALL,))
    assert guard(given)
    both(gateway)
    assert gateway.arrivals() == {}
    assert gateway.ping_from_lan("192.168.50.1")
    before = ruleset()
    assert guard(given)
    assert ruleset() == before


def test_traffic_on_a_path_that_the_configuration_drops_goes_on_until_there_is_a_choice(gateway):
    given = settings(PATHS, (ALL,))

    async def run():
        router = Heard().router(given)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        await reconfigure(router, replace(given, paths=PATHS[1:]))
        both(gateway)
        assert gateway.arrivals() == {"a": 10}
        await router.steer(steer("all", "b"))
        both(gateway)
        assert gateway.arrivals() == {"b": 10}
        await router.stop()
        ip("rule", "add", "priority", "100", "lookup", "77")
        ip("route", "add", "default", "dev", "a", "table", "77")
        gateway.send("10.1.2.3", 3)
        assert gateway.arrivals() == {}
        await router.stop()

    routing(run())


def test_answers_from_the_tunnels_reach_the_lan(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        gateway.pinger.sendto(echo(9), ("10.1.2.3", 0))
        gateway.inject("a", ipv4("10.1.2.3", LAN_HOST, echo(9, kind=0)))
        assert gateway.pinger.recv(2048)[24:26] == b"\0\x09"
        await router.stop()

    routing(run())


def strange_comment() -> None:
    text = b'add chain inet steerd strange { comment "\xff\xfe" ; }\n'
    subprocess.run(["nft", "-f", "-"], input=text, check=True)


def test_comments_of_any_bytes_in_our_table_stop_neither_the_watch_nor_a_start(gateway):
    async def run():
        given = settings(PATHS, (ALL,))
        heard = Heard()
        router = heard.router(given)
        await router.start()
        await router.steer(steer("all", "a", "b"))
        strange_comment()
        await until_async(lambda: heard.repairs["nft"] == 1)
        assert "strange" not in ruleset()
        await router.stop()
        strange_comment()
        router = Heard().router(given)
        (installed,) = await router.start()
        assert installed.best == "pop/a"
        assert "strange" not in ruleset()

    routing(run())


def test_what_the_guard_drops_is_counted_for_each_policy_and_said(gateway, caplog):
    """The counters begin anew whenever the table changes, and the count goes on."""
    listed = policy("listed", 1, "10.0.0.0/8", guard=Guard.ALWAYS)

    async def run():
        router = Heard().router(settings(PATHS, (ALL, listed)))
        await router.start()
        for name in ("all", "listed"):
            await router.steer(steer(name, "b"))
        assert router.dropped() == {}
        ip("rule", "add", "priority", "90", "iif", "lan", "lookup", "90")
        ip("route", "add", "default", "dev", "wan", "table", "90")
        gateway.send("172.20.1.1", 3)
        gateway.send("10.1.2.3", 2)
        assert gateway.arrivals() == {}
        await until_async(lambda: router.dropped() == {"all": 3, "listed": 2})
        said = (
            "the leak guard dropped 3 packets of policy all in the last minute: they would have left by no path of it, "
            "e.g. 192.168.50.2 -> 172.20.1.1 by wan"
        )
        assert said in router.remarks()
        await reconfigure(router, settings(PATHS[:2], (ALL, listed)))
        gateway.send("172.20.1.1", 4)
        await until_async(lambda: router.dropped() == {"all": 7, "listed": 2})
        await router.stop()

    routing(run())
    assert caplog.text.count("the leak guard dropped") <= 2


def test_no_switch_waits_for_an_nft_that_hangs(gateway, tmp_path, monkeypatch):
    hangs, hung = tmp_path / "hangs", tmp_path / "hung"
    real = find_nft()
    (tmp_path / "nft").write_text(f'#!/bin/sh\n[ -e {hangs} ] || exec {real} "$@"\necho $$ >> {hung}\nexec sleep 600\n')
    (tmp_path / "nft").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(firewall, "_TIMEOUT", 600.0)
    # A policy without a choice yet, and a path that is left for good, are switches that move more than a group.
    listed = policy("listed", 1, "172.20.0.0/16", guard=Guard.ALWAYS)

    def look() -> None:
        """Give a reason to."""
        subprocess.run([real or "", "add", "table", "inet", "others"], check=True, timeout=20)

    async def run():
        router = Heard().router(settings(PATHS, (ALL, listed)))
        await router.start()
        await router.steer(steer("all", "a", "b"))
        hangs.touch()
        look()
        ip("link", "set", "dev", "c", "down")
        await until_async(hung.exists)
        for best in "ba" * 10:
            assert (await router.steer(steer("all", best))).error is None
            gateway.send("10.1.2.3")
            assert gateway.arrivals() == {best: 1}
        assert (await router.steer(steer("listed", "b"))).error is None
        gateway.send("172.20.1.1")
        assert gateway.arrivals() == {"b": 1}
        waiting = [int(line) for line in hung.read_text().split()]
        assert len(waiting) == 1
        hangs.unlink()
        os.kill(waiting[0], signal.SIGKILL)  # which fails unless it hangs still
        await router.stop()

    routing(run())


def test_what_was_left_loose_for_a_switch_is_tightened_afterwards(gateway):
    async def run():
        heard = Heard()
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "c"))
        await reconfigure(router, settings(PATHS[:2], (ALL,)))  # which still uses c
        assert '"c" }' in ruleset()
        await router.steer(steer("all", "a"))
        await until_async(lambda: '"c" }' not in ruleset())
        await router.stop()

    routing(run())


def told(gateway, device: str, target: str, port: int) -> bool:
    """Whether what listens on all addresses of the gateway hears a datagram for this one that comes in so."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as own:
        own.bind(("", port))
        own.settimeout(0.5)
        payload = struct.pack("!HHHH", 4000, port, 12, 0) + b"test"
        if device == "lan":
            with entered(gateway.lan), socket.socket(family, socket.SOCK_DGRAM) as host:
                host.sendto(b"test", (target, port))
        elif family == socket.AF_INET:
            gateway.inject(device, ipv4("198.51.100.9", target, payload, socket.IPPROTO_UDP))
        else:
            gateway.inject(device, udp6("2001:db8:99::9", target, payload))
        try:
            return own.recv(100) == b"test"
        except TimeoutError:
            return False


def udp6(source: str, target: str, datagram: bytes) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    words = struct.unpack(f"!{(len(ends) + len(datagram)) // 2}H", ends + datagram)
    total = sum(words) + len(datagram) + socket.IPPROTO_UDP
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    datagram = datagram[:6] + struct.pack("!H", total ^ 0xFFFF) + datagram[8:]
    return struct.pack("!IHBB", 6 << 28, len(datagram), socket.IPPROTO_UDP, 64) + ends + datagram


OWN = ("10.8.0.2", "2001:db8:8::2")


@pytest.mark.parametrize("rp_filter", [0, 2])
def test_what_is_addressed_to_a_tunnels_own_address_does_not_come_in_by_an_uplink(gateway, rp_filter):
    gateway.sysctl("ipv4/conf/all/rp_filter", rp_filter)
    ip("addr", "add", "10.8.1.2", "dev", "b")  # without any the kernel takes nothing there that it checks loosely
    for address in OWN:
        # Without nodad an IPv6 address takes nothing until the kernel has looked for its double.
        ip("addr", "add", address, "dev", "a", *(["nodad"] if ":" in address else []))
        assert told(gateway, "wan", address, 7000)

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        for address in OWN:
            assert not told(gateway, "wan", address, 7000)
            for device in ("a", "b", "lan"):
                assert told(gateway, device, address, 7000), device
        assert told(gateway, "wan", WAN_ADDRESS, 7000)
        # Another address, as a tunnel that is made anew has.
        ip("addr", "add", "10.8.0.77", "dev", "a")
        await until_async(lambda: not told(gateway, "wan", "10.8.0.77", 7000))
        # A path that is an uplink, too: its own address is reached as before, and it does not lead to others'.
        assert not told(gateway, "wan", "10.8.1.2", 7000)
        ip("route", "add", "default", "dev", "b", "metric", "9")
        await until_async(lambda: told(gateway, "wan", "10.8.1.2", 7000))
        assert told(gateway, "b", "10.8.1.2", 7000)
        await until_async(lambda: not told(gateway, "b", "10.8.0.2", 7000))
        await router.stop()

    routing(run())
    assert not told(gateway, "wan", OWN[0], 7000)  # as the guard itself


def test_without_a_guard_nothing_is_judged_that_comes_in(gateway):
    ip("addr", "add", OWN[0], "dev", "a")

    async def run():
        router = Heard().router(settings(PATHS, (replace(ALL, guard=Guard.OFF),)))
        await router.start()
        await router.steer(steer("all", "a"))
        assert told(gateway, "wan", OWN[0], 7000)
        await router.stop()

    routing(run())
