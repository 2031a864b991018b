"""Clients that are kept whole, on real packets: what one has open and what it opens next leave by one device."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows, Guard, OnStop
from steerd.route.nft import pins
from steerd.route.once import cleanup
from tests.lab.test_route_guard import nft
from tests.lab.test_route_world import PORT, Gateway, Heard, entered, ip, path, policy, reconfigure, routing, settings
from tests.lab.test_route_world import steer as steered
from tests.lab.waiting import until_async

pytestmark = [pytest.mark.lab, pytest.mark.nft]

PATHS = tuple(replace(path(n, name), inbound_mark=(100 + n) << 24) for n, name in enumerate("abc", 1))
CALLS = policy("calls", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL, flows=Flows.CLIENT)
PHONE, OTHER = ("192.168.50.11", "fd00:50::11"), ("192.168.50.12", "fd00:50::12")
FAR = {4: "10.1.2.3", 6: "2001:db8::1"}
FAMILIES = (4, 6)
SIP, RTP = 5060, 20000


class Phones:
    """Clients of the LAN, each with an address of both families, that send from ports of their own."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._open = ExitStack()
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        with entered(gateway.lan):
            for address, address6 in (PHONE, OTHER):
                ip("addr", "add", f"{address}/24", "dev", "eth0")
                ip("-6", "addr", "add", f"{address6}/64", "dev", "eth0", "nodad")

    def by(self, phone: tuple[str, str], port: int, family: int, far: str | None = None) -> str | None:
        """The device by which a datagram from this port leaves; None: it does not."""
        self.send(phone, port, family, far)
        (left,) = (*self._gateway.arrivals(), None)[:1]
        return left

    def send(self, phone: tuple[str, str], port: int, family: int, far: str | None = None) -> None:
        address = phone[FAMILIES.index(family)]
        if (address, port) not in self._sockets:
            with entered(self._gateway.lan):
                made = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[address, port] = self._open.enter_context(made)
            made.bind((address, port))
        one = self._sockets[address, port]
        for _ in range(2):
            try:
                one.sendto(b"test", (far or FAR[family], PORT))
                break
            except OSError:  # an earlier datagram was answered with "unreachable"
                continue

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def gateway():
    with Gateway("a", "b", "c") as one:
        yield one


@contextmanager
def phones(gateway: Gateway) -> Iterator[Phones]:
    found = Phones(gateway)
    try:
        yield found
    finally:
        found.close()


def steer(best: str):
    return steered("calls", best)


def clients() -> set[str]:
    """Who is remembered, by whichever set."""
    table = nft("", "-s", "list", "table", "inet", "steerd")
    return {one for phone in (PHONE, OTHER) for one in phone if f"{one} timeout" in table}


def test_a_call_and_what_belongs_to_it_stay_together_over_brown_out_return_and_death(gateway):
    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (CALLS,)))
        await router.start()
        await router.steer(steer("a"))
        for family in FAMILIES:
            assert phone.by(PHONE, SIP, family) == "a"
        # a is worse now: who has a call goes on by it, with a new flow too; who had none begins by b.
        await router.steer(steer("b"))
        for family in FAMILIES:
            assert phone.by(PHONE, RTP, family) == "a"
            assert phone.by(PHONE, SIP, family) == "a"
            assert phone.by(OTHER, SIP, family) == "b"
        # And back.
        await router.steer(steer("a"))
        for family in FAMILIES:
            assert phone.by(OTHER, RTP, family) == "b"
            assert phone.by(OTHER, SIP, family) == "b"
            assert phone.by(PHONE, RTP + 2, family) == "a"
        # A third path, then the first dies: all of the one client moves, none of the other.
        await router.steer(steer("c"))
        for family in FAMILIES:
            assert {phone.by(PHONE, port, family) for port in (SIP, RTP, RTP + 2, RTP + 4)} == {"a"}
        router.lost("pop/a")
        for family in FAMILIES:
            await until_async(lambda family=family: phone.by(PHONE, SIP, family) == "c")
            assert {phone.by(PHONE, port, family) for port in (SIP, RTP, RTP + 2, RTP + 4, RTP + 6)} == {"c"}
            assert {phone.by(OTHER, port, family) for port in (SIP, RTP, RTP + 2)} == {"b"}
        # It answers again, and is chosen again: nobody goes back there.
        router.found("pop/a")
        await router.steer(steer("a"))
        for family in FAMILIES:
            assert {phone.by(PHONE, port, family) for port in (SIP, RTP, RTP + 8)} == {"c"}
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_the_path_in_use_dies(gateway):
    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (CALLS,)))
        await router.start()
        await router.steer(steer("a"))
        for family in FAMILIES:
            assert phone.by(PHONE, SIP, family) == "a"
        router.lost("pop/a")
        await router.steer(steer("b"))
        for family in FAMILIES:
            assert {phone.by(PHONE, port, family) for port in (SIP, RTP)} == {"b"}
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_after_max_drain_a_client_moves_as_one(gateway):
    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (replace(CALLS, max_drain=2.0),)))
        await router.start()
        await router.steer(steer("a"))
        assert phone.by(PHONE, SIP, 4) == "a"
        await router.steer(steer("b"))
        assert phone.by(PHONE, RTP, 4) == "a"
        await until_async(lambda: phone.by(PHONE, SIP, 4) == "b")
        assert {phone.by(PHONE, port, 4) for port in (SIP, RTP, RTP + 2)} == {"b"}
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_a_restart_a_reload_and_a_change_of_others_part_nobody(gateway):
    async def first(phone: Phones):
        router = Heard().router(settings(PATHS, (CALLS,)))
        await router.start()
        await router.steer(steer("a"))
        assert {phone.by(PHONE, SIP, family) for family in FAMILIES} == {"a"}
        await router.steer(steer("b"))
        await router.stop()

    async def second(phone: Phones):
        heard = Heard()
        router = heard.router(settings(PATHS, (CALLS,)))
        await router.start()
        assert {phone.by(PHONE, RTP, family) for family in FAMILIES} == {"a"}
        # Another policy and a longer idle time: the table changes, and whom it knows it knows.
        data = policy("data", 1, "10.128.0.0/9", flows=Flows.AUTO)
        await reconfigure(router, settings(PATHS, (replace(CALLS, client_idle=600.0), data)))
        assert {phone.by(PHONE, RTP + 2, family) for family in FAMILIES} == {"a"}
        # What packets bring into a set is nobody's change of our table.
        assert {phone.by(OTHER, SIP, family) for family in FAMILIES} == {"b"}
        nft("add table inet others\nadd chain inet others c\n")
        await asyncio.sleep(0.5)
        assert not heard.repairs
        assert {phone.by(PHONE, RTP + 4, family) for family in FAMILIES} == {"a"}
        # A path that the policy may no longer use keeps nobody: its guard would drop what is led there.
        others = frozenset({"pop/b", "pop/c"})
        await reconfigure(router, settings(PATHS, (replace(CALLS, allowed=others), data)))
        assert {phone.by(PHONE, RTP + 6, family) for family in FAMILIES} == {"b"}
        await router.stop()

    with phones(gateway) as phone:
        routing(first(phone))
        assert {phone.by(PHONE, RTP + 10, family) for family in FAMILIES} == {"a"}  # while nobody steers
        routing(second(phone))
    cleanup(settings(PATHS, (CALLS,)))
    assert "steerd" not in nft("", "list", "tables")


def test_each_policy_keeps_clients_of_its_own_and_others_go_by_the_choice(gateway):
    """Whatever is about none of them, such as the gateway itself and what main knows, is left alone."""
    video = policy("video", 0, "10.128.0.0/9", flows=Flows.CLIENT, sources=(f"{OTHER[0]}/32",))
    calls = policy("calls", 1, "0.0.0.0/0", guard=Guard.USUAL, flows=Flows.CLIENT)
    web = policy("web", 2, "10.64.0.0/10", flows=Flows.PIN)
    desk = policy("desk", 3, "172.16.0.0/12", flows=Flows.CLIENT)

    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (video, calls, web, desk)))
        await router.start()
        for name, best in (("calls", "a"), ("web", "a"), ("desk", "b"), ("video", "a")):
            await router.steer(steered(name, best))
        assert phone.by(PHONE, SIP, 4) == "a"
        assert phone.by(PHONE, SIP, 4, "172.16.1.1") == "b"
        assert phone.by(PHONE, SIP, 4, "10.64.1.1") == "a"
        assert phone.by(OTHER, SIP, 4, "10.128.1.1") == "a"
        for name in ("calls", "web", "desk", "video"):
            await router.steer(steered(name, "c"))
        assert phone.by(PHONE, RTP, 4) == "a"
        assert phone.by(PHONE, RTP, 4, "172.16.1.1") == "b"
        assert phone.by(PHONE, RTP, 4, "10.64.1.1") == "c"
        assert phone.by(PHONE, RTP, 4, "10.128.1.1") == "a"  # of calls, since it is not from OTHER
        assert phone.by(OTHER, RTP, 4, "10.128.1.1") == "a"
        assert phone.by(OTHER, RTP, 4) == "c"
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_who_is_silent_for_long_is_free_again(gateway):
    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (replace(CALLS, client_idle=2.0),)))
        await router.start()
        await router.steer(steer("a"))
        for one in (PHONE, OTHER):
            assert phone.by(one, SIP, 4) == "a"
        await router.steer(steer("b"))
        for _ in range(8):  # four idle times and more, in which one of them is heard
            await asyncio.sleep(1.0)
            assert phone.by(PHONE, SIP, 4) == "a"
        assert clients() >= {PHONE[0]}
        assert phone.by(PHONE, RTP, 4) == "a"
        assert phone.by(OTHER, RTP, 4) == "b"
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


@pytest.mark.parametrize("how", ["a choice", "a stop"])
def test_what_is_blocked_is_so_for_clients_too(gateway, how):
    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (CALLS,), on_stop=OnStop.BLOCK))
        await router.start()
        await router.steer(steer("a"))
        for family in FAMILIES:
            assert phone.by(PHONE, SIP, family) == "a"
        if how == "a choice":
            await router.steer(steered("calls", None))
        else:
            await router.stop()
        for family in FAMILIES:
            assert phone.by(PHONE, RTP, family) is None
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_a_device_that_goes_while_nobody_steers_keeps_no_client(gateway):
    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (CALLS,)))
        await router.start()
        await router.steer(steered("calls", "a", "b"))
        assert {phone.by(PHONE, SIP, family) for family in FAMILIES} == {"a"}
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))
        ip("link", "set", "dev", "a", "down")
        for port in (RTP, RTP + 2):
            assert {phone.by(PHONE, port, family) for family in FAMILIES} == {"b"}


def test_whom_a_full_set_has_no_room_for_goes_by_the_choice_and_that_is_said(gateway, monkeypatch):
    monkeypatch.setattr(pins, "MOST_CLIENTS", 1)

    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (CALLS,)))
        await router.start()
        await router.steer(steer("a"))
        for one in (PHONE, OTHER):
            assert phone.by(one, SIP, 4) == "a"
        await router.steer(steer("b"))
        assert phone.by(PHONE, RTP, 4) == "a"
        assert phone.by(OTHER, RTP, 4) == "b"
        assert phone.by(OTHER, SIP, 4) == "a"  # pinned all the same
        await until_async(lambda: any("more clients than" in remark for remark in router.remarks()))
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))


def test_marks_of_others_are_left_alone(gateway):
    nft(
        "table inet others {\n chain c {\n type filter hook prerouting priority -150;\n"
        " ct mark set ct mark or 0x77\n meta mark set 0x3f00\n }\n"
        " chain seen {\n type filter hook postrouting priority 0;\n"
        ' oifname "a" meta mark and 0x00ffffff == 0x3f00 ct mark and 0x00ffffff == 0x77 counter\n }\n}\n'
    )

    async def run(phone: Phones):
        router = Heard().router(settings(PATHS, (CALLS,)))
        await router.start()
        await router.steer(steer("a"))
        assert phone.by(PHONE, SIP, 4) == "a"
        await router.steer(steer("b"))
        assert phone.by(PHONE, RTP, 4) == "a"
        assert phone.by(PHONE, RTP, 4) == "a"
        await router.stop()

    with phones(gateway) as phone:
        routing(run(phone))
    assert "counter packets 3" in nft("", "list", "table", "inet", "others")
