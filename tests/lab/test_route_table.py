"""A table of nftables is changed while packets go by: none that it lets through is lost, none that it stops gets by."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from steerd.config.route_settings import Flows, Guard, RouteSettings
from steerd.route.nft.firewall import Firewall
from steerd.route.nft.ruleset import Inputs, ruleset
from steerd.route.nft.table import Table
from steerd.route.wanted.selection import selections
from tests.lab.test_route_guard import nft
from tests.lab.test_route_world import Gateway, entered, packed, path, policy, settings

pytestmark = [pytest.mark.alone, pytest.mark.lab, pytest.mark.nft]

PATHS = (path(1, "a"), path(2, "b"))
ALL = policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL)
CORP = policy("corp", 1, "10.64.0.0/10", excepted=("10.127.0.0/16",), guard=Guard.OFF, flows=Flows.MOVE)
KEPT = policy("kept", 2, "10.128.0.0/9", "172.16.0.0/12", guard=Guard.ALWAYS)
PINNED = replace(ALL, flows=Flows.AUTO)
WHOLE = replace(ALL, flows=Flows.CLIENT)
"""A table of each kind of what may stand in it, and each may take any other's place."""
SETTINGS = (
    settings(PATHS, (replace(ALL, excepted=packed("10.66.0.0/16")), CORP, KEPT)),
    settings(PATHS, (PINNED, CORP, replace(KEPT, excepted=packed("10.200.0.0/16")))),
    settings(PATHS, (WHOLE, CORP, replace(KEPT, excepted=packed("10.200.0.0/16")))),
    settings(PATHS, (ALL, CORP), management=("198.51.100.0/24", "203.0.113.0/24")),
    settings(PATHS, (ALL, CORP), management=("198.51.100.0/24",), nft_table="steerd"),
    settings(
        (*PATHS, path(3, "c")),
        tuple(replace(one, sources=("192.168.50.0/25", "192.168.51.0/24")) for one in (ALL, CORP, KEPT)),
    ),
)
ROUNDS = 60
RATE = 20_000.0
"""Packets a second, to each destination in turn."""
BATCH = 20

LET_THROUGH = ("203.0.113.9", "10.64.1.1")
"""What main knows, and what belongs to an unguarded policy: with no rule of ours in the kernel both leave by `wan`."""
STOPPED = ("10.1.2.3", "172.16.1.1")
ALL_OF = (*LET_THROUGH, *STOPPED)


def made(given: RouteSettings) -> Table:
    found = ruleset(given, selections(given), Inputs(main=packed("203.0.113.0/24", "192.168.50.0/24")))
    assert found is not None
    return found


@contextlib.contextmanager
def counted(gateway: Gateway) -> Iterator[None]:
    """Packets to these addresses, all the time. A table of its own counts them, come and gone, in the kernel."""
    rules = {"prerouting priority -400": "came", "postrouting priority 400": "went"}
    chains = "".join(
        f"chain {name} {{ type filter hook {hook}; " + "".join(f"ip daddr {one} counter; " for one in ALL_OF) + "}\n"
        for hook, name in rules.items()
    )
    nft(f"table inet counts {{\n{chains}}}\n")
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        with entered(gateway.lan):
            senders = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in ALL_OF]
        for sender, address in zip(senders, ALL_OF, strict=True):
            sender.connect((address, 4000))

        def send() -> None:
            while not ended.is_set():
                for sender in senders * BATCH:
                    with contextlib.suppress(OSError):
                        sender.send(b"x")
                time.sleep(BATCH * len(senders) / RATE)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def counts(chain: str) -> list[int]:
    lines = nft("", "list", "chain", "inet", "counts", chain).splitlines()
    return [int(line.split("packets ")[1].split()[0]) for line in lines if "packets " in line]


@pytest.mark.parametrize("other", range(1, len(SETTINGS)))
def test_no_packet_notices_a_change(other: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with Gateway("a", "b", "c") as gateway, Firewall() as firewall:
        firewall.hold("steerd", made(SETTINGS[0]))
        with counted(gateway):
            for number in range(ROUNDS):
                firewall.hold("steerd", made(SETTINGS[other if number % 2 == 0 else 0]))
        came, went = counts("came"), counts("went")
        assert caplog.messages == []  # else it would be: replaced as a whole
        assert min(came) > 100
        assert went == [*came[: len(LET_THROUGH)], *([0] * len(STOPPED))]


def test_a_new_daemon_finds_the_table_of_the_last_one_and_no_packet_notices() -> None:
    with Gateway("a", "b", "c") as gateway:
        with Firewall() as firewall:
            firewall.hold("steerd", made(SETTINGS[0]))
        with counted(gateway):
            for _ in range(ROUNDS):
                with Firewall() as firewall:
                    firewall.hold("steerd", made(SETTINGS[0]))
        came, went = counts("came"), counts("went")
        assert went == [*came[: len(LET_THROUGH)], *([0] * len(STOPPED))]


def test_the_table_is_the_same_whatever_was_there_before() -> None:
    with Gateway("a", "b", "c"), Firewall() as firewall:
        listings = {}
        for name in ("whole", "changed"):
            for number, given in enumerate(SETTINGS):
                if name == "whole":
                    nft("delete table inet steerd" if number else "add table inet steerd")
                    nft(made(given).whole)
                else:
                    firewall.hold("steerd", made(given))
                listings[name, number] = sorted(nft("", "-s", "list", "table", "inet", "steerd").splitlines())
        for number in range(len(SETTINGS)):
            assert listings["whole", number] == listings["changed", number]


def test_a_chain_that_somebody_made_to_be_of_another_kind_is_replaced_with_the_table() -> None:
    with Gateway("a", "b", "c"):
        right = made(SETTINGS[0])
        nft(right.whole)
        before = nft("", "-s", "list", "ruleset")
        nft("delete chain inet steerd guard")
        nft("add chain inet steerd guard { type filter hook prerouting priority 7; policy accept; }")
        with Firewall() as firewall:
            firewall.hold("steerd", right)
        assert nft("", "-s", "list", "ruleset") == before
