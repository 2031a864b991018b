"""What is not forwarded goes nowhere, whatever routes say: it is told with what is to be changed."""

import subprocess

import pytest

from tests.lab.test_route_world import Gateway, Heard, goes, ip, path, policy, routing, settings, steer
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab]

PATHS = (path(1, "a"), path(2, "b"))
ALL = policy("all", 0, "0.0.0.0/0", "::/0")
ADDRESS, ADDRESS6 = "198.51.100.1", "2001:db8::1"


@pytest.fixture
def gateway():
    with Gateway("a", "b") as one:
        yield one


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True, timeout=20)


def told(heard):
    return heard.installed[-1].mismatch if heard.installed else None


@pytest.mark.parametrize(
    ("off", "words", "address", "other"),
    [
        (
            "ipv4/ip_forward",
            "IPv4 that comes in by lan is not forwarded, since net.ipv4.ip_forward is 0",
            ADDRESS,
            ADDRESS6,
        ),
        (
            "ipv4/conf/lan/forwarding",
            "IPv4 that comes in by lan is not forwarded, since net.ipv4.conf.lan.forwarding is 0",
            ADDRESS,
            ADDRESS6,
        ),
        (
            "ipv6/conf/all/forwarding",
            "IPv6 that comes in by lan is not forwarded, since net.ipv6.conf.all.forwarding is 0",
            ADDRESS6,
            ADDRESS,
        ),
    ],
)
def test_forwarding_that_is_off_is_an_error_that_names_the_sysctl_until_it_is_on(gateway, off, words, address, other):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        gateway.sysctl(off, 0)
        await until_async(lambda: told(heard))
        key = words.split("since ")[1].removesuffix(" is 0")
        assert told(heard) == f"{words}: `sysctl -w {key}=1`"
        assert (goes(gateway, address), goes(gateway, other)) == (None, "a")
        gateway.sysctl(off, 1)
        await until_async(lambda: told(heard) is None)
        assert goes(gateway, address) == "a"
        await router.stop()

    routing(run())


def test_forwarding_that_was_never_on_is_an_error_from_the_first_choice_on(gateway):
    gateway.sysctl("ipv4/ip_forward", 0)

    async def run():
        router = Heard().router(settings(PATHS, (ALL, policy("named", 1, "0.0.0.0/0", iifs=("lan", "wan")))))
        await router.start()
        for name in ("all", "named"):
            assert "net.ipv4.ip_forward is 0" in (await router.steer(steer(name, "a"))).mismatch
        await router.stop()

    routing(run())


def test_what_only_some_packets_or_a_host_of_its_own_miss_is_a_remark(gateway):
    ip("link", "add", "dmz", "type", "veth", "peer", "name", "dmz2")
    ip("addr", "add", "192.168.60.1/24", "dev", "dmz")
    ip("link", "set", "dmz", "up")
    ip("link", "set", "dmz2", "up")
    mine = policy("mine", 1, "0.0.0.0/0", own_traffic=True, sources=("192.168.50.0/24",))

    async def run():
        router = Heard().router(settings(PATHS, (ALL, mine)))
        await router.start()
        gateway.sysctl("ipv4/conf/dmz/forwarding", 0)
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert (await router.steer(steer("mine", "a"))).mismatch is None
        await until_async(lambda: len(router.remarks()) == 1)
        assert router.remarks()[0].startswith("policy all: IPv4 that comes in by dmz is not forwarded")
        gateway.sysctl("ipv4/conf/dmz/forwarding", 1)
        gateway.sysctl("ipv4/conf/lan/forwarding", 0)
        await until_async(lambda: len(router.remarks()) == 2)
        assert {one.split(" is ")[0] for one in router.remarks()} == {
            "policy all: IPv4 that comes in by lan", "policy mine: IPv4 that comes in by lan"
        }  # fmt: skip
        gateway.sysctl("ipv4/conf/lan/forwarding", 1)
        await until_async(lambda: router.remarks() == ())
        await router.stop()

    routing(run())


def test_a_family_that_is_not_on_the_lan_or_that_no_path_carries_may_be_off(gateway):
    ip("-6", "addr", "flush", "dev", "lan", "scope", "global")
    gateway.sysctl("ipv6/conf/all/forwarding", 0)
    only4 = (path(1, "a", carries="6"), path(2, "b", carries="6"))

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        await router.stop()
        gateway.sysctl("ipv4/ip_forward", 0)
        router = Heard().router(settings(only4, (policy("all", 0, "0.0.0.0/0"),)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        await router.stop()

    routing(run())


def chain(*rules, kind="inet"):
    lines = "\n".join(("type filter hook forward priority 0; policy drop;", *rules))
    return f"table {kind} fw {{\nchain f {{\n{lines}\n}}\n}}\n"


@pytest.mark.nft
@pytest.mark.parametrize(
    ("text", "address", "other"),
    [
        (chain(), ADDRESS, None),
        (chain('ct state established,related accept\niifname "lan" oifname "wan" accept'), ADDRESS, None),
        (chain(kind="ip"), ADDRESS, "a"),
        (chain('iifname "wan" accept', kind="ip6"), ADDRESS6, "a"),
    ],
    ids=["no rule", "other devices", "IPv4", "IPv6"],
)
def test_a_chain_of_another_that_drops_everything_is_an_error_that_names_it_until_it_accepts(
    gateway, text, address, other
):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        nft(text)
        await until_async(lambda: told(heard))
        table = text.split()[1] + " fw"
        assert f"chain f of nftables' table {table} drops" in told(heard)
        assert "from lan to a" in told(heard)
        assert (goes(gateway, address), goes(gateway, ADDRESS6 if address == ADDRESS else ADDRESS)) == (None, other)
        nft(f'insert rule {table} f iifname "lan" oifname "a" accept\n')
        await until_async(lambda: told(heard) is None)
        assert goes(gateway, address) == "a"
        await router.stop()

    routing(run())


@pytest.mark.nft
@pytest.mark.parametrize(
    ("family", "base", "rule"),
    [
        ("ip", "filter hook prerouting priority raw", 'iifname "lan" drop'),
        ("ip", "filter hook postrouting priority mangle", 'oifname "a" drop'),
        ("netdev", 'filter hook ingress device "lan" priority 0', "drop"),
        ("netdev", 'filter hook egress device "a" priority 0', "drop"),
    ],
    ids=["prerouting", "postrouting", "ingress", "egress"],
)
def test_a_chain_that_drops_everything_before_or_behind_the_forward_hook_is_an_error_too(gateway, family, base, rule):
    heard = Heard()

    async def run():
        router = heard.router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        nft(f"table {family} fw {{\nchain f {{\ntype {base};\n{rule}\n}}\n}}\n")
        await until_async(lambda: told(heard))
        assert f"chain f of nftables' table {family} fw drops IPv4 from lan to a" in told(heard)
        assert goes(gateway, ADDRESS) is None
        nft(f"delete table {family} fw\n")
        await until_async(lambda: told(heard) is None)
        assert goes(gateway, ADDRESS) == "a"
        await router.stop()

    routing(run())


@pytest.mark.nft
def test_a_chain_of_another_that_sets_a_mark_of_ours_is_a_remark_until_it_goes(gateway):
    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        nft("table ip fw {\nchain f {\ntype filter hook prerouting priority mangle;\nmeta mark set 0x02000000\n}\n}\n")
        await until_async(router.remarks)
        (said,) = router.remarks()
        assert "chain f of nftables' table ip fw sets mark 0x2000000, which is steerd's own for path pop/b" in said
        assert goes(gateway, ADDRESS) == "b"
        nft("delete table ip fw\n")
        await until_async(lambda: not router.remarks())
        assert goes(gateway, ADDRESS) == "a"
        await router.stop()

    routing(run())


@pytest.mark.nft
def test_a_chain_of_another_that_may_drop_is_a_remark(gateway):
    nft(chain("udp dport 5005 accept"))

    async def run():
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        assert (await router.steer(steer("all", "a"))).mismatch is None
        assert goes(gateway, ADDRESS) == "a"
        assert len(router.remarks()) == 2  # with the choice, not at the next look around
        for family, remark in zip((4, 6), sorted(router.remarks()), strict=True):
            assert f"policy all: chain f of nftables' table inet fw may drop IPv{family} from lan to a" in remark
        nft("add table inet other { chain f { type filter hook forward priority 5; }; }")
        nft(chain('iifname "lan" accept').replace("table", "flush table inet fw\ntable", 1))
        nft("delete table inet other")
        await until_async(lambda: router.remarks() == ())
        await router.stop()

    routing(run())
