"""What the kernel says of devices and addresses, on the devices that there are: reading asks for no privilege."""

import resource
import socket
import struct

from steerd.net.devices import RESOLVED_FOR, Devices, LinkState, look
from steerd.probe.mtu.links import Addresses

NEW, LOST, LINK = 20, 21, 16


def message(kind: int, interface: int, address: str = "fd00::1") -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, address)
    cache = struct.pack("=HH", 20, 6) + bytes(16)  # IFA_CACHEINFO: lifetimes
    body = struct.pack("=BBBBi", socket.AF_INET6, 64, 0, 0, interface) + cache + struct.pack("=HH", 20, 1) + packed
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def heard(*datagrams: bytes) -> list[set[int]]:
    addresses = Addresses()
    return [addresses.news(datagram) for datagram in datagrams]


def test_an_address_is_news_when_it_comes_and_when_it_goes_and_not_when_it_is_renewed():
    came, renewed, went = message(NEW, 7), message(NEW, 7), message(LOST, 7)
    assert heard(came, renewed, went, came) == [{7}, set(), {7}, {7}]
    assert heard(message(NEW, 7) + message(NEW, 8), message(NEW, 8, "fd00::2")) == [{7, 8}, {8}]


def test_of_devices_that_went_while_messages_were_lost_nothing_is_kept():
    addresses = Addresses()
    for interface in range(1, 100):  # a container's each, of a number that is never used again
        addresses.news(message(NEW, interface))
    addresses.lost()
    assert addresses.news(message(NEW, 100)) == {100}
    assert len(addresses) == 1


def test_what_else_changes_of_a_device_is_for_others_to_compare():
    assert heard(message(LINK, 7)) == [set()]
    assert heard(b"", message(NEW, 7)[:20], bytes(64)) == [set()] * 3


def test_a_device_that_is_up_has_an_index_and_an_mtu_and_others_are_none():
    found = look("lo")
    assert found in (LinkState(socket.if_nametoindex("lo"), 65536, up=up) for up in (True, False))
    assert look("none-such") is None
    assert look("a-name-that-is-much-too-long-for-a-device") is None


def test_without_a_descriptor_left_a_device_is_where_it_was():
    now = [0.0]
    devices = Devices(lambda: now[0])
    index = devices.index("lo")
    assert index > 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        now[0] += RESOLVED_FOR
        assert (devices.index("lo"), devices.index("gone0"), look("lo")) == (index, 0, None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert devices.index("lo") == index
