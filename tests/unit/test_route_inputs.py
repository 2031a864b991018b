"""By which devices a policy's packets come in: what has to forward for them to go anywhere."""

from ipaddress import ip_interface

import pytest

from steerd.route.model.objects import Device
from steerd.route.wanted.samples import inputs
from steerd.route.wanted.selection import selections
from tests.unit.test_route_desired import policy, settings

NAMES = ("lo", "a", "wan", "lan", "dmz", "down")
DEVICES = {name: Device(number, name, name != "down") for number, name in enumerate(NAMES, 1)}
ADDRESSES = {
    "lo": ["127.0.0.1/8", "192.0.2.200/32"],
    "a": ["10.64.0.2/30"],
    "wan": ["203.0.113.1/24", "2001:db8:1::1/64"],
    "lan": ["192.168.50.1/24", "fe80::1/64"],
    "dmz": ["192.168.60.0/31", "fd00:60::1/64"],
    "down": ["192.168.70.1/24"],
}


def found(family=4, uplinks=("wan",), but=(), **selectors):
    given = settings(policy("p", 0, "0.0.0.0/0", "::/0", **selectors))
    addresses = {name: list(map(ip_interface, some)) for name, some in ADDRESSES.items() if name not in but}
    return inputs(given, selections(given)[0], family, DEVICES, addresses, set(uplinks))


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["dmz", "lan"]),
        ({"family": 6}, ["dmz"]),
        ({"iifs": ("lan", "wan", "down", "absent")}, ["lan", "wan"]),
        ({"sources": ("192.168.50.128/25",)}, ["lan"]),
        ({"sources": ("192.168.0.0/16",)}, ["dmz", "lan"]),
        ({"sources": ("198.51.100.0/24",)}, ["dmz", "lan"]),  # behind a router
        ({"sources": ("192.168.50.0/24",), "family": 6}, []),
        ({"but": ("lan", "dmz")}, ["wan"]),
        ({"but": ("lan", "dmz", "wan")}, ["a"]),
        ({"but": ("lan", "dmz", "wan"), "family": 6}, []),
    ],
)
def test_they_are_those_named_or_with_a_network_of_the_family_that_is_no_paths_nor_an_uplinks(given, names):
    assert found(**given) == names
