"""Where a stale tunnel's far end is sought, of the addresses that its name has."""

import pytest

from steerd.config.values.addresses import endpoint
from steerd.tunnel.endpoints import next_of, resolved


@pytest.mark.parametrize(
    ("addresses", "now", "then"),
    [
        ([], "192.0.2.1", ""),
        (["192.0.2.1"], "192.0.2.1", ""),  # there is no other
        (["192.0.2.2"], "192.0.2.1", "192.0.2.2"),
        (["192.0.2.1", "192.0.2.2"], "192.0.2.1", "192.0.2.2"),  # one after the other
        (["192.0.2.1", "192.0.2.2"], "192.0.2.2", "192.0.2.1"),
        (["2001:db8::1", "192.0.2.2"], "192.0.2.1", "192.0.2.2"),  # the family in use
        (["192.0.2.2", "2001:db8::1"], "2001:db8::9", "2001:db8::1"),
        (["2001:db8::1"], "192.0.2.1", "2001:db8::1"),  # which the name no longer has
        (["2001:db8::1", "192.0.2.2"], "2001:db8::1", "192.0.2.2"),
        (["192.0.2.1"], "", "192.0.2.1"),
    ],
)
def test_which_address_is_tried(addresses, now, then):
    assert next_of(addresses, now) == then


def test_an_address_is_tried_again_at_another_port():
    assert next_of(["192.0.2.1"], "192.0.2.1", astray=True) == "192.0.2.1"
    assert next_of(["192.0.2.2"], "192.0.2.1", astray=True) == "192.0.2.2"
    assert next_of([], "192.0.2.1", astray=True) == ""


def test_an_address_resolves_to_itself():
    assert resolved("192.0.2.1", 51820) == ["192.0.2.1"]
    assert resolved("2001:db8::1", 51820) == ["2001:db8::1"]


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.53", "224.0.0.1", "169.254.1.1", "::", "::1", "fe80::1%1",
                                     "0.1.2.3", "255.255.255.255", "::ffff:127.0.0.1", "::ffff:192.0.2.1"])  # fmt: skip
def test_no_far_end_is_this_machine_or_on_its_link(address):
    """As resolvers of filters and portals answer."""
    assert resolved(address, 51820) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("fra1.Example.net:51820", ("fra1.example.net", 51820)),
        ("192.0.2.1:1", ("192.0.2.1", 1)),
        ("[2001:DB8::1]:65535", ("2001:db8::1", 65535)),
    ],
)
def test_an_endpoint_is_written_as_wireguard_writes_it(written, meant):
    assert endpoint(written) == meant


@pytest.mark.parametrize("written", ["localhost:1", "LOCALHOST.:1", "127.0.0.1:4567", "[::1]:1", "0.0.0.0:1",
                                     "[fe80::1]:1", "[::ffff:192.0.2.1]:1", "255.255.255.255:1"])  # fmt: skip
def test_an_endpoint_that_no_far_end_can_have_is_refused(written):
    """As a wrapper of WireGuard's packets on this machine has: it does not move."""
    with pytest.raises(ValueError, match="must be beyond this machine and its link"):
        endpoint(written)


@pytest.mark.parametrize(
    "written",
    ["", "fra1", "fra1:", "fra1:0", "fra1:65536", "fra1:+1", ":51820", "2001:db8::1:51820", "[192.0.2.1]:1", "a b:1",
     "[fra1]:1", 51820, None, "fra1:٣"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(written):
    with pytest.raises(ValueError, match="must be a host and a port"):
        endpoint(written)
