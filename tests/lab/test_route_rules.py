"""Rules of others before and after ours: what is remarked of them is what packets do."""

import subprocess

import pytest

from steerd.config.route_settings import Guard
from tests.lab.test_route_world import Gateway, Heard, goes, ip, path, policy, routing, settings, steer
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

PATHS = (path(1, "a"), path(2, "b"))
BARE = policy("all", 0, "0.0.0.0/0", "::/0")
GUARDED = policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL)
LAN_HOST = "192.168.50.2"
NEIGHBOURS = (
    # Tailscale, with nobody to talk to.
    "rule add priority 5210 fwmark 0x80000/0xff0000 lookup main",
    "rule add priority 5230 fwmark 0x80000/0xff0000 lookup default",
    "rule add priority 5250 fwmark 0x80000/0xff0000 unreachable",
    "rule add priority 5270 lookup 52",
    "route add throw 127.0.0.0/8 table 52",
    # wg-quick, of a tunnel that is a path.
    "rule add priority 32764 lookup main suppress_prefixlength 0",
    "rule add priority 32765 not fwmark 0xca6c lookup 51820",
    "route add default dev b table 51820",
    # strongSwan, and an address of this gateway's with a table of its own.
    "rule add priority 220 lookup 220",
    "rule add priority 221 from 203.0.113.1 lookup 221",
    "route add default dev wan table 221",
)


@pytest.fixture
def gateway():
    with Gateway("a", "b") as one:
        ip("route", "add", "default", "dev", "wan", "table", "101")
        yield one


def batch(*lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=60)


def test_neighbours_that_take_nothing_from_policies_are_no_remarks(gateway):
    batch(*NEIGHBOURS)

    async def run():
        heard = Heard()
        router = heard.router(settings(PATHS, (GUARDED,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        ip("rule", "add", "priority", "6000", "from", LAN_HOST, "lookup", "101")
        await until_async(router.remarks)  # so it was looked at them all
        (said,) = router.remarks()
        assert "priority 6000" in said
        assert goes(gateway, "198.51.100.1") == "a"
        await router.stop()

    routing(run())


@pytest.mark.parametrize("guarded", [False, True])
def test_a_rule_before_ours_takes_traffic_or_has_the_guard_drop_it_and_is_told_until_it_goes(gateway, guarded):
    async def run():
        router = Heard().router(settings(PATHS, (GUARDED if guarded else BARE,)))
        await router.start()
        await router.steer(steer("all", "a"))
        # Without a priority it comes before all but that of local addresses, since ours are there.
        ip("rule", "add", "from", LAN_HOST, "lookup", "101")
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert "comes before steerd's and takes traffic of policy all by wan" in said
        assert ("where the leak guard drops it" in said) is guarded
        assert goes(gateway, "198.51.100.1") == (None if guarded else "wan")
        ip("rule", "del", "from", LAN_HOST, "lookup", "101")
        await until_async(lambda: not router.remarks())
        assert goes(gateway, "198.51.100.1") == "a"
        await router.stop()

    routing(run())


def test_a_rule_at_the_first_priority_is_told_too(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (BARE,)))
        await router.start()
        await router.steer(steer("all", "a"))
        ip("rule", "add", "priority", "0", "from", LAN_HOST, "lookup", "101")
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert "lookup 101' comes before steerd's and takes traffic of policy all by wan" in said
        await router.stop()

    routing(run())


@pytest.mark.parametrize("action", ["blackhole", "unreachable", "prohibit"])
def test_a_rule_before_ours_that_drops_is_told_by_what_it_does_and_the_guard_is_not_blamed(gateway, action):
    ip("rule", "add", "priority", "3000", "from", LAN_HOST, action)

    async def run():
        router = Heard().router(settings(PATHS, (GUARDED,)))
        await router.start()
        await router.steer(steer("all", "a"))
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert f"rule 'from {LAN_HOST}/32 priority 3000 {action}' comes before steerd's and takes" in said
        assert " of policy all to nowhere: remove it" in said
        await router.stop()

    routing(run())


def test_a_rule_after_ours_gets_nothing_and_is_told_until_it_goes(gateway):
    batch(
        f"rule add priority 5000 from {LAN_HOST} lookup 101",
        "rule add priority 5001 fwmark 1 lookup 100",
        "route add local default dev lo table 100",
        "rule add priority 5270 lookup 52",
        "route add 100.64.1.2 dev wan table 52",
    )
    ip("-6", "rule", "add", "priority", "5002", "to", "2001:db8::/32", "lookup", "101")
    ip("-6", "route", "add", "default", "dev", "wan", "table", "101")

    async def run():
        router = Heard().router(settings(PATHS, (BARE,)))
        await router.start()
        await router.steer(steer("all", "a"))
        await until_async(lambda: len(router.remarks()) == 4)
        for number in (5000, 5001, 5002, 5270):
            (said,) = [one for one in router.remarks() if f"priority {number} " in one]
            assert "comes after steerd's and gets no traffic of policy all" in said
        assert {goes(gateway, one) for one in ("198.51.100.1", "100.64.1.2", "2001:db8::1")} == {"a"}
        for number in (5000, 5001, 5270):
            ip("rule", "del", "priority", str(number))
        ip("-6", "rule", "del", "priority", "5002")
        await until_async(lambda: not router.remarks())
        await router.stop()

    routing(run())


def test_of_hundreds_five_are_named(gateway):
    batch(*(f"rule add priority {6000 + n} from 192.168.51.{n % 250}/32 dport {n + 1} lookup 101" for n in range(300)))

    async def run():
        router = Heard().router(settings(PATHS, (BARE,)))
        await router.start()
        await until_async(router.remarks)
        *named, last = router.remarks()
        assert len(named) == 5
        assert last == "and 295 more rules of others come after steerd's and get none of policies' traffic"
        await router.stop()

    routing(run())


def test_a_rule_about_all_but_a_policys_sources_takes_nothing_of_it(gateway):
    mine = policy("mine", 0, "0.0.0.0/0", sources=("192.168.50.0/24",))

    async def run():
        router = Heard().router(settings(PATHS, (mine,)))
        await router.start()
        await router.steer(steer("mine", "a"))
        ip("rule", "add", "priority", "90", "not", "from", "192.168.0.0/16", "lookup", "101")
        ip("rule", "add", "priority", "91", "not", "from", "192.168.51.0/24", "lookup", "101")
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert "priority 91 " in said
        ip("rule", "del", "priority", "91")
        await until_async(lambda: not router.remarks())
        assert goes(gateway, "198.51.100.1") == "a"
        await router.stop()

    routing(run())


def test_local_addresses_that_are_looked_up_too_late_are_told_with_the_cure(gateway):
    """As those do who have VRFs: the rule of local addresses goes to the end."""

    async def run():
        router = Heard().router(settings(PATHS, (BARE,)))
        await router.start()
        await router.steer(steer("all", "a"))
        for words in ("add priority 32765", "del priority 0"):
            ip("rule", *words.split(), "lookup", "local")
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert "does not reach this gateway's own IPv4 addresses; `ip rule add priority 0 lookup local`" in said
        assert not gateway.ping_from_lan("192.168.50.1")
        ip("rule", "add", "priority", "0", "lookup", "local")
        await until_async(lambda: not router.remarks())
        assert gateway.ping_from_lan("192.168.50.1")
        await router.stop()

    routing(run())
