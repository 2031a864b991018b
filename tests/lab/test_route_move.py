"""An order lets go of what stays on other paths: of the policy alone, on real packets."""

import socket
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows, Guard
from steerd.core.settings import PolicyId
from steerd.route.error import RouteError
from steerd.route.kernel.conntrack import counted
from steerd.route.move import Moved
from tests.lab.test_route_clients import FAMILIES, FAR, OTHER, PATHS, PHONE, RTP, SIP, phones
from tests.lab.test_route_guard import nft
from tests.lab.test_route_pins import udp
from tests.lab.test_route_world import PORT, Gateway, Heard, entered, policy, routing, settings, steer
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

ALL = policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL, flows=Flows.AUTO)
WEB = policy("web", 1, "10.64.0.0/10", flows=Flows.PIN)
WEB_HOST = "10.64.1.1"
MASK = 0xFF << 24


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


def moved(path: str, let_go: int = 0, unsure: int = 0) -> Moved:
    return Moved((f"pop/{path}",), let_go, unsure)


def test_all_of_the_policy_goes_by_its_choice_and_nobody_elses(gateway):
    nft(
        "table inet others {\n chain c {\n type filter hook prerouting priority -150;\n"
        " udp dport 9 ct mark set 0x77\n }\n}\n"
    )

    async def run(phone):
        router = Heard().router(settings(PATHS, (ALL, WEB)))
        await router.start()
        for best in "abc":
            for name in ("all", "web"):
                await router.steer(steer(name, best))
            port = SIP + ord(best)
            for family in FAMILIES:
                assert phone.by(PHONE, port, family) == best
            assert phone.by(PHONE, port, 4, WEB_HOST) == best
        # A connection that another program marks, to somewhere that main knows.
        with entered(gateway.lan), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"x", ("203.0.113.9", 9))
        assert await router.move(PolicyId("all")) == moved("c", 4)
        for best in "abc":
            for family in FAMILIES:
                assert phone.by(PHONE, SIP + ord(best), family) == "c"
            assert phone.by(PHONE, SIP + ord(best), 4, WEB_HOST) == best
        assert counted(0x77) == {(0x77, 4): 1}
        assert await router.move(PolicyId("all")) == moved("c")
        assert await router.move(PolicyId("web")) == moved("c", 2)
        assert {mark for mark, _ in counted(MASK)} == {PATHS[2].mark}
        await router.steer(steer("all", None))
        with pytest.raises(RouteError, match="all has no path now"):
            await router.move(PolicyId("all"))
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


@pytest.mark.parametrize("how", ["an order", "max_drain"])
def test_an_answer_that_was_on_its_way_brings_nothing_back(gateway, how):
    """It comes by the path that was left, when nothing is pinned there any more."""
    flows = replace(ALL, max_drain=3600.0 if how == "an order" else 1.0)

    async def run(phone):
        router = Heard().router(settings(PATHS, (flows,)))
        await router.start()
        await router.steer(steer("all", "a"))
        assert phone.by(PHONE, SIP, 4) == "a"
        await router.steer(steer("all", "b"))
        if how == "an order":
            assert await router.move(PolicyId("all")) == moved("b", 1)
        else:
            await until_async(lambda: not counted(MASK))
        gateway.inject("a", udp(FAR[4], PORT, PHONE[0], SIP))
        assert phone.by(PHONE, SIP, 4) == "b"
        assert counted(MASK) == {(PATHS[1].mark, 4): 1}
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_what_leaves_under_another_address_begins_anew(gateway):
    nft(
        "table ip nat {\n chain c {\n type nat hook postrouting priority srcnat;\n"
        ' oifname "a" snat to 10.99.0.1\n oifname "b" snat to 10.99.0.2\n }\n}\n'
    )

    async def run(phone):
        router = Heard().router(settings(PATHS, (ALL,)))
        await router.start()
        await router.steer(steer("all", "a"))
        assert phone.by(PHONE, SIP, 4) == "a"
        await router.steer(steer("all", "b"))
        assert await router.move(PolicyId("all")) == moved("b", 1)
        phone.send(PHONE, SIP, 4)
        await until_async(lambda: any(one[12:16] == bytes((10, 99, 0, 2)) for one in gateway.packets("b")))
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_clients_move_whole(gateway):
    calls, desk = (replace(one, flows=Flows.CLIENT) for one in (ALL, WEB))

    async def run(phone):
        router = Heard().router(settings(PATHS, (calls, desk)))
        await router.start()
        for name in ("all", "web"):
            await router.steer(steer(name, "a"))
        for family in FAMILIES:
            assert phone.by(PHONE, SIP, family) == "a"
        assert phone.by(PHONE, SIP, 4, WEB_HOST) == "a"
        for name in ("all", "web"):
            await router.steer(steer(name, "b"))
        assert await router.move(PolicyId("all")) == moved("b", 2)
        for family in FAMILIES:
            assert {phone.by(PHONE, port, family) for port in (RTP, SIP, RTP + 2)} == {"b"}
        assert {phone.by(PHONE, port, 4, WEB_HOST) for port in (RTP, SIP)} == {"a"}
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_what_may_be_anothers_stays(gateway):
    """By the interface it is told where the sender is a neighbour, by the mark never."""
    guests = policy("guests", 0, "0.0.0.0/0", iifs=("lan",), flows=Flows.AUTO)
    marked = policy("marked", 1, "10.1.0.0/16", fwmark=(0x10, 0xF0), flows=Flows.AUTO, allowed=frozenset({"pop/a"}))
    rest = policy("rest", 2, "0.0.0.0/0", flows=Flows.AUTO)

    async def run(phone, policies, name, found):
        router = Heard().router(settings(PATHS, policies))
        await router.start()
        for best in "abc":
            for one in policies:
                await router.steer(steer(one.policy, best))
            for sender in (PHONE, OTHER):
                assert phone.by(sender, SIP + ord(best), 4, FAR[4]) == best
        assert await router.move(PolicyId(name)) == found
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone, (guests, rest), "guests", moved("c", 4)))
    for name, found in (("rest", moved("c", 2, 2)), ("marked", moved("c", 0, 4))):
        with Gateway("a", "b", "c") as other, phones(other) as phone:
            routing(run(phone, (marked, rest), name, found))
