"""Which addresses a guard at the way in is about."""

from ipaddress import ip_interface

from steerd.route.nft.ingress import inside
from tests.unit.test_route_desired import path, settings

PATHS = (path(1, "a"), path(2, "b"))


def addresses(**given):
    return {device: [ip_interface(one) for one in texts] for device, texts in given.items()}


def test_own_addresses_of_the_paths_devices_and_of_no_other():
    found = addresses(a=["10.8.0.2/32", "fe80::1/64", "fd00:8::2/64"], wan=["203.0.113.1/24"], lan=["10.9.0.1/24"])
    assert inside(settings(paths=PATHS), found, {"wan"}) == {"a": {"10.8.0.2", "fd00:8::2"}}


def test_not_those_of_an_uplink_nor_of_a_network_that_an_uplink_is_in():
    found = addresses(a=["203.0.113.7/24", "10.8.0.2/24"], b=["198.51.100.2/24"], wan=["203.0.113.1/24"])
    assert inside(settings(paths=PATHS), found, {"wan", "b"}) == {"a": {"10.8.0.2"}}
