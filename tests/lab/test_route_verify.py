"""What the kernel really does with a policy's packets is asked of the kernel, and what is wrong with it is said."""

import pytest

from steerd.config.family import IPV4, IPV6
from steerd.core.events import Installed
from steerd.route.kernel.kernel import Kernel
from steerd.route.kernel.verify import Verifier
from steerd.route.wanted.selection import selections
from tests.lab.test_route_world import Gateway, Heard, ip, ours, path, policy, routing, settings, steer
from tests.lab.waiting import until_async

pytestmark = pytest.mark.lab

PATHS = (path(1, "a"), path(2, "b"))
ALL = policy("all", 0, "0.0.0.0/0", "::/0")


@pytest.fixture
def gateway():
    with Gateway("a", "b") as one:
        yield one


def mismatches(heard):
    return [one.mismatch for one in heard.installed]


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("-4", "the kernel sends 128.0.0.1 from 192.168.50.2 iif lan by wan, table 77, not by a"),
        ("-6", "the kernel sends 8000::1 from fd00:50::2 iif lan by wan, table 77, not by a"),
    ],
)
def test_a_rule_of_another_before_ours_is_seen_and_told_until_it_goes(gateway, family, words):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        assert await router.steer(steer("all", "a", "b")) == Installed("all", "pop/a", "pop/b")
        ip(family, "route", "add", "default", "dev", "wan", "table", "77")
        ip(family, "rule", "add", "priority", "100", "iif", "lan", "lookup", "77")
        installed = await router.steer(steer("all", "a"))
        assert (installed.best, installed.error, installed.mismatch) == ("pop/a", None, words)
        before = len(heard.installed)
        ip(family, "rule", "del", "priority", "100")  # of another's protocol: nobody tells us
        await until_async(lambda: heard.installed[before:] and heard.installed[-1].mismatch is None)
        assert heard.installed[-1][:2] == ("all", "pop/a")
        await router.stop()

    routing(run())


def test_what_main_knows_better_of_a_policy_is_meant_so(gateway):
    narrow = policy("all", 0, "198.51.0.0/16", "192.0.0.0/12", "2001:db8::/32", "2001:100::/24")
    for words in (["-4", "route", "add", "198.51.0.0/16"], ["-6", "route", "add", "2001:db8::/32"]):
        ip(*words, "dev", "wan")

    async def run():
        router = Heard().router(settings(PATHS, (narrow,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert (await router.steer(steer("all", None))).mismatch is None
        await router.stop()

    routing(run())


def test_a_blocked_policy_whose_packets_leave_all_the_same_is_told(gateway):
    ip("route", "add", "default", "dev", "wan", "table", "77")

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        assert (await router.steer(steer("all", None))).mismatch is None
        ip("rule", "add", "priority", "100", "iif", "lan", "lookup", "77")
        words = (await router.steer(steer("all", None))).mismatch
        assert words is not None
        assert words.endswith("by wan, table 77, though it is to be blocked")
        await router.stop()

    routing(run())


def test_policies_are_told_apart_and_a_gateway_that_takes_nothing_in_is_no_mismatch(gateway):
    outer, inner = policy("outer", 0, "10.0.0.0/8"), policy("inner", 1, "10.128.0.0/9")
    config = settings(PATHS, (outer, inner))
    with Kernel() as kernel:
        seen = kernel.read(config)
        verifier = Verifier(kernel)
        verifier.prepare(config, selections(config), seen.devices)
        samples = verifier.samples
        assert set(samples) == {("outer", IPV4), ("inner", IPV4)}
        assert {one.destination[1] < 128 for one in samples["outer", IPV4]} == {True}
        assert {one.destination[1] < 128 for one in samples["inner", IPV4]} == {False}
        assert verifier.mismatch("inner", {IPV4: "wan"}) is None  # by main's default: no rules yet
        assert "not by a" in verifier.mismatch("inner", {IPV4: "a"})
        gateway.sysctl("ipv4/conf/lan/forwarding", 0)
        assert verifier.mismatch("inner", {IPV4: "a"}) is None
        assert verifier.mismatch("inner", {IPV6: "a"}) is None  # nothing to ask about


def test_a_policy_is_asked_about_by_what_no_selection_before_it_takes(gateway):
    office = policy("office", 0, "0.0.0.0/0", sources=("192.168.50.0/24",))
    rest = policy("rest", 1, "0.0.0.0/0", "::/0")
    config = settings(PATHS, (office, rest))

    async def run():
        router = Heard().router(config)
        await router.start()
        for one, best in (("office", "a"), ("rest", "b")):
            assert (await router.steer(steer(one, best))).mismatch is None
        await router.stop()

    routing(run())
    with Kernel() as kernel:
        verifier = Verifier(kernel)
        verifier.prepare(config, selections(config), kernel.read(config).devices)
        assert set(verifier.samples) == {("office", IPV4), ("rest", IPV6)}  # of rest's IPv4 the LAN has nothing


def test_packets_are_picked_by_their_mark_in_rules_guard_and_questions(gateway):
    marked = policy("marked", 0, "0.0.0.0/0", "::/0", fwmark=(0x10, 0xF0))
    plain = policy("plain", 1, "0.0.0.0/0", "::/0")

    async def run():
        router = Heard().router(settings(PATHS, (marked, plain)))
        await router.start()
        assert await router.steer(steer("marked", "a")) == Installed("marked", "pop/a")
        assert await router.steer(steer("plain", "b")) == Installed("plain", "pop/b")
        for family, address in (("-4", "192.0.2.9"), ("-6", "2a00::9")):
            origin = ["from", "192.168.50.2" if family == "-4" else "fd00:50::2", "iif", "lan"]
            for mark, device in (("0x13", "a"), ("0x23", "b"), ("0", "b")):
                assert f"dev {device} " in ip(family, "route", "get", address, *origin, "mark", mark)
        before = ours()
        await router.stop()
        again = Heard().router(settings(PATHS, (plain, marked)))  # the tables that the rules lead to are kept
        assert [one[:2] for one in await again.start()] == [("marked", "pop/a"), ("plain", "pop/b")]
        assert "fwmark 0x10/0xf0 lookup 4200" in before
        await again.stop()

    routing(run())
