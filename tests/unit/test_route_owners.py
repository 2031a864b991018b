"""Whose a connection is, by its addresses: as the kernel's rules have it, or not sure."""

from ipaddress import ip_address, ip_interface

from steerd.route.owners import Owners
from steerd.route.wanted.selection import selections
from tests.lab.test_route_world import path, policy, settings

ADDRESSES = {
    "lan": [ip_interface("192.168.50.1/24"), ip_interface("fd00:50::1/64")],
    "dmz": [ip_interface("192.168.60.1/24")],
    "wan": [ip_interface("203.0.113.1/24")],
}
LAN, DMZ, BEHIND, OWN = "192.168.50.2", "192.168.60.2", "172.20.1.1", "203.0.113.1"
FAR = "10.1.2.3"


def owners(*policies):
    given = settings((path(1, "a"),), policies)
    found = Owners(given, selections(given), ADDRESSES)

    def of(source: str, destination: str) -> list[str]:
        one, other = ip_address(source), ip_address(destination)
        return [owner.policy for owner in found.of(one.version, one.packed, other.packed)]

    return of


def test_the_longest_prefix_wins_and_what_is_excepted_is_nobodys():
    of = owners(policy("all", 0, "0.0.0.0/0", "::/0", excepted=("10.9.0.0/16",)), policy("ten", 1, "10.0.0.0/8"))
    assert of(LAN, FAR) == ["ten"]
    assert of(LAN, "11.0.0.0") == of("fd00:50::2", "2001:db8::1") == ["all"]
    assert of(LAN, "10.9.1.1") == []


def test_the_first_that_selects_the_sender_has_it_and_leaves_over_what_it_has_no_prefix_for():
    of = owners(policy("some", 0, "10.0.0.0/8", sources=("192.168.50.0/24",)), policy("all", 1, "0.0.0.0/0"))
    assert of(LAN, FAR) == ["some"]
    assert of(LAN, "11.1.1.1") == of(DMZ, FAR) == ["all"]


def test_the_interface_tells_of_neighbours_alone():
    of = owners(policy("guests", 0, "0.0.0.0/0", iifs=("dmz",)), policy("all", 1, "0.0.0.0/0"))
    assert of(DMZ, FAR) == ["guests"]
    assert of(LAN, FAR) == ["all"]
    assert of(BEHIND, FAR) == ["guests", "all"]


def test_a_mark_is_not_known():
    of = owners(policy("marked", 0, "10.0.0.0/8", fwmark=(0x10, 0xF0)), policy("all", 1, "0.0.0.0/0"))
    assert of(LAN, FAR) == ["marked", "all"]
    assert of(LAN, "11.1.1.1") == ["all"]


def test_the_gateways_own_is_that_of_policies_with_own_traffic():
    assert owners(policy("all", 0, "0.0.0.0/0"))(OWN, FAR) == []
    assert owners(policy("all", 0, "0.0.0.0/0", own_traffic=True))(OWN, FAR) == ["all"]
