"""Tunnels whose own packets are led over an uplink of their own: by which device they leave, on real packets."""

from dataclasses import replace

import pytest

from steerd.route.once import cleanup
from tests.lab.test_route_world import Gateway, Heard, ip, ours, path, policy, reconfigure, routing, settings
from tests.lab.waiting import until_async

pytestmark = pytest.mark.lab

MARK = 0x101
TABLE = 4400
FAR, FAR6 = "198.51.100.9", "2001:db8:9::1"
OVER = replace(path(1, "a"), over=("lte", TABLE))
GIVEN = settings((OVER, path(2, "b")), (policy("all", 0, "10.0.0.0/8", "2001:db8::/32"),))
KNOWN = {"a": (FAR, MARK), "b": ("198.51.100.10", 0)}
BOTH = ["lte", "lte"]


@pytest.fixture
def gateway():
    """``wan`` has the better default route of both families."""
    with Gateway("a", "b", "lte") as one:
        default("add")
        yield one


def default(verb: str) -> None:
    for family in ("-4", "-6"):
        ip(family, "route", verb, "default", "dev", "lte", "metric", "5000")


def outer(gateway, mark: int = MARK) -> list[str]:
    """By which device the tunnel's own packets leave, in each family."""
    found = []
    for address in (FAR, FAR6):
        assert gateway.send_own(address, mark) is None
        found += gateway.arrivals()
    return found


def led(gateway, by: list[str]):
    return until_async(lambda: outer(gateway) == by)


def test_they_leave_by_the_uplink_while_it_has_a_default_route(gateway):
    async def run():
        router = Heard().router(GIVEN)
        await router.start()
        assert outer(gateway) == ["wan", "wan"]
        router.far_ends(KNOWN)
        await led(gateway, BOTH)
        assert outer(gateway, 0) == outer(gateway, 0x102) == ["wan", "wan"]
        # What is forwarded with such a mark is none of the tunnel's.
        gateway.send(FAR)
        assert dict(gateway.arrivals()) == {"wan": 1}
        # Without a default route they go as they did, and it is said.
        ip("link", "set", "dev", "lte", "down")
        await led(gateway, ["wan", "wan"])
        await until_async(lambda: any("no default route by lte" in one for one in router.remarks()))
        ip("link", "set", "dev", "lte", "up")
        default("add")
        await led(gateway, BOTH)
        await until_async(lambda: not any("default route by lte" in one for one in router.remarks()))
        await router.stop()

    routing(run())


def test_what_somebody_removes_comes_back_and_goes_with_the_key(gateway):
    async def run():
        router = Heard().router(GIVEN)
        await router.start()
        router.far_ends(KNOWN)
        await led(gateway, BOTH)
        for family in ("-4", "-6"):
            ip(family, "rule", "del", "iif", "lo", "fwmark", f"{MARK:#x}", "lookup", str(TABLE))
        await led(gateway, BOTH)
        for family in ("-4", "-6"):
            ip(family, "route", "flush", "table", str(TABLE))
        await led(gateway, BOTH)
        await reconfigure(router, replace(GIVEN, paths=(path(1, "a"), path(2, "b"))))
        assert outer(gateway) == ["wan", "wan"]
        assert f"table {TABLE}" not in ours()
        assert f"lookup {TABLE}" not in ours()
        await reconfigure(router, GIVEN)
        await led(gateway, BOTH)
        await router.stop()

    routing(run())
    assert outer(gateway) == BOTH
    cleanup(GIVEN)
    assert ours() == ""
    assert outer(gateway) == ["wan", "wan"]


def test_a_restart_leaves_them_where_they_are_until_marks_are_read(gateway):
    async def run(*, told: bool):
        router = Heard().router(GIVEN)
        await router.start()
        assert told or outer(gateway) == BOTH
        if told:
            router.far_ends(KNOWN)
            await led(gateway, BOTH)
        # The device is away for a moment: its mark is not known then.
        router.far_ends({})
        before = ours()
        assert outer(gateway) == BOTH
        assert ours() == before
        await router.stop()

    routing(run(told=True))
    routing(run(told=False))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"a": (FAR, 0)}, "it has no FwMark; `wg set a fwmark 0x101`"),
        ({"a": (FAR, 0x2000101)}, "its FwMark 0x2000101 has bits of route.mark"),
        ({"a": (FAR, 0x51)}, "its FwMark 0x51 is route.bypass_mark"),
        ({"a": (FAR, MARK), "b": ("", MARK)}, "b has its FwMark 0x101, too; `wg set a fwmark 0x102`"),
        ({"a": (FAR, 0x77)}, "a rule of another, at priority 99, is about its FwMark 0x77"),
    ],
)
def test_where_it_cannot_be_they_go_as_they_did_and_it_is_said(gateway, known, said):
    ip("rule", "add", "priority", "99", "fwmark", "0x77", "lookup", "main")

    async def run():
        router = Heard().router(replace(GIVEN, bypass_mark=0x51))
        await router.start()
        router.far_ends(KNOWN)
        await led(gateway, BOTH)
        router.far_ends(known)
        await until_async(lambda: any(f"path pop/a: a is not led over lte: {said}" in one for one in router.remarks()))
        assert outer(gateway) == ["wan", "wan"]
        await router.stop()

    routing(run())


def test_a_strict_uplink_is_left_alone(gateway):
    gateway.sysctl("ipv4/conf/lte/rp_filter", 1)

    async def run():
        router = Heard().router(GIVEN)
        await router.start()
        router.far_ends(KNOWN)
        await until_async(lambda: any("rp_filter of lte is in effect as 1" in one for one in router.remarks()))
        assert outer(gateway) == ["wan", "wan"]
        await router.stop()

    routing(run())
