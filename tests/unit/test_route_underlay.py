"""Which device a tunnel's outer packets leave by, from what the kernel says of the tunnel."""

import struct

import pytest

from steerd.net.netlink import attribute
from steerd.route.around.remarks import circles
from steerd.route.around.surroundings import based, told, underlays
from steerd.route.kernel.codec.link import far_end
from steerd.route.model.objects import Device
from steerd.status.snapshot import Underlay
from tests.unit.test_route_desired import policy, settings

FAR4, FAR6 = bytes((192, 0, 2, 7)), bytes.fromhex("20010db8000000000000000000000007")


@pytest.mark.parametrize(
    ("kind", "data", "found"),
    [
        (b"vxlan", attribute(1, bytes(4)) + attribute(2, FAR4), ("192.0.2.7", 0)),
        (b"vxlan", attribute(16, FAR6), ("2001:db8::7", 0)),
        (b"vxlan", attribute(2, bytes((239, 0, 0, 1))), ("", 0)),  # a group of many
        (b"vxlan", b"", ("", 0)),
        (b"geneve", attribute(7, FAR6), ("2001:db8::7", 0)),
        (b"gre", attribute(7, FAR4) + attribute(20, struct.pack("=I", 0x51)), ("192.0.2.7", 0x51)),
        (b"ip6gre", attribute(7, FAR6), ("2001:db8::7", 0)),
        (b"ipip", attribute(3, FAR4) + attribute(20, bytes(4)), ("192.0.2.7", 0)),
        (b"sit", attribute(3, bytes(4)), ("", 0)),  # 6to4: to anywhere
        (b"vti", attribute(5, FAR4) + attribute(6, struct.pack("=I", 3)), ("192.0.2.7", 3)),
        (b"vti", attribute(5, b"\1\2"), ("", 0)),  # no address
        (b"dummy", attribute(3, FAR4), ("", 0)),
        (b"", b"", ("", 0)),
    ],
)
def test_far_ends(kind, data, found):
    assert far_end(kind, data) == found


DEVICES = {
    "eth0": Device(1, "eth0", up=True),
    "t": Device(2, "t", up=True, remote="192.0.2.7", mark=0x51),
    "u": Device(3, "u", up=True, lower=1, remote="192.0.2.8"),
    "tun": Device(4, "tun", up=True),
}


def test_each_tunnel_is_looked_up_with_its_mark_and_bound_ones_are_where_they_are_bound():
    asked = []

    def lookup(address, mark):
        asked.append((address, mark))
        return {"192.0.2.7": (1, 254)}.get(address)

    found = underlays(DEVICES, ["t", "u", "tun", "gone", "t"], lookup)
    assert asked == [("192.0.2.7", 0x51), ("192.0.2.8", 0)]
    assert found == {"t": Underlay("192.0.2.7", "eth0", 254), "u": Underlay("192.0.2.8", "eth0", 0)}
    assert {name: one.lower for name, one in based(DEVICES, found).items()} == {"eth0": 0, "t": 1, "u": 1, "tun": 0}


def test_what_a_device_does_not_say_others_tell():
    """As of WireGuard, whose far ends and mark its own interface knows."""
    devices = told(DEVICES, {"tun": ("192.0.2.9", 7), "gone": ("192.0.2.1", 0)})
    assert (devices["tun"].remote, devices["tun"].mark) == ("192.0.2.9", 7)
    assert {name: one for name, one in devices.items() if name != "tun"} == {
        name: one for name, one in DEVICES.items() if name != "tun"
    }
    found = underlays(devices, ["tun"], lambda address, mark: (1, 254) if (address, mark) == ("192.0.2.9", 7) else None)
    assert found == {"tun": Underlay("192.0.2.9", "eth0", 254)}


def test_where_there_is_no_way_there_is_no_device():
    found = underlays(DEVICES, ["t"], lambda *_: None)
    assert found == {"t": Underlay("192.0.2.7", "", 0)}
    assert based(DEVICES, found) == DEVICES


def test_only_what_a_policy_steers_goes_in_circles():
    given = settings(policy("p", 0, "0.0.0.0/0", own_traffic=True))
    assert not list(circles(given, {"a": Underlay("192.0.2.7", "eth0", 254)}))
    (said,) = circles(given, {"a": Underlay("192.0.2.7", "a", 4200), "b": Underlay("192.0.2.8", "", 4200)})
    assert said.startswith("a: its outer packets, to 192.0.2.7, are steered into itself by a policy with own_traffic")
    (said,) = circles(given, {"a": Underlay("192.0.2.7", "b", 4200)})
    assert "are steered by b by a policy" in said
