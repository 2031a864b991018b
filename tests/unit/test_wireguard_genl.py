"""The codec of the kernel's WireGuard devices, against pyroute2's own."""

import asyncio
from base64 import b64encode
from socket import AF_INET, AF_INET6

import pytest
from pyroute2.netlink.generic.wireguard import AsyncWireGuard, wgmsg

from steerd.config.prefixes import pack
from steerd.net.netlink import HEADER, attribute
from steerd.net.wireguard import genl
from steerd.net.wireguard.device import Device, Grant, Peer

KEYS = [b64encode(bytes([n]) * 32).decode() for n in range(1, 5)]
SECRET = b64encode(b"s" * 32).decode()


def encoded(attrs) -> bytes:
    """As pyroute2 writes a message, without its netlink header."""
    message = wgmsg()
    message["cmd"], message["version"], message["attrs"] = 0, 1, attrs
    message.encode()
    return bytes(message.data[16:])


def decoded(body: bytes):
    """As pyroute2 reads a message."""
    message = wgmsg(HEADER.pack(HEADER.size + len(body), 31, 0, 1, 0) + body)
    message.decode()
    return message


def allowed_of(peer) -> list[str]:
    return [one["addr"] for one in peer.get_attr("WGPEER_A_ALLOWEDIPS") or ()]


class Unsent(AsyncWireGuard):
    """pyroute2's own interface, which here keeps what it would send, and hears that all went well."""

    prid = pid = 0

    def __init__(self) -> None:
        self.sent = b""

    def sendto(self, data, _address) -> None:
        self.sent = bytes(data)

    async def get(self):
        yield wgmsg()


def test_a_device_as_pyroute2_writes_it():
    body = encoded(
        [
            ["WGDEVICE_A_IFINDEX", 7],
            ["WGDEVICE_A_IFNAME", "wg0"],
            ["WGDEVICE_A_PRIVATE_KEY", SECRET],
            ["WGDEVICE_A_FWMARK", 0xCA6C],
            [
                "WGDEVICE_A_PEERS",
                [
                    {
                        "attrs": [
                            ["WGPEER_A_PUBLIC_KEY", KEYS[0]],
                            ["WGPEER_A_PRESHARED_KEY", SECRET],
                            ["WGPEER_A_LAST_HANDSHAKE_TIME", {"tv_sec": 1_700_000_000, "tv_nsec": 500_000_000}],
                            ["WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL", 25],
                            ["WGPEER_A_TX_BYTES", 1 << 40],
                            ["WGPEER_A_RX_BYTES", 148],
                            ["WGPEER_A_ENDPOINT", {"addr": "192.0.2.7", "port": 51820}],
                        ]
                    },
                    {
                        "attrs": [
                            ["WGPEER_A_PUBLIC_KEY", KEYS[1]],
                            [
                                "WGPEER_A_ENDPOINT",
                                {"addr": "2001:db8::7", "port": 51820, "flowinfo": 0, "scope_id": 0},
                            ],
                        ]
                    },
                ],
            ],
        ]
    )
    device = genl.decode("wg0", [body])
    assert device == Device(
        "wg0",
        0xCA6C,
        {
            KEYS[0]: Peer(KEYS[0], 1_700_000_000.5, rx=148, tx=1 << 40, keepalive=25, endpoint="192.0.2.7", port=51820),
            KEYS[1]: Peer(KEYS[1], endpoint="2001:db8::7", port=51820),
        },
    )
    assert SECRET not in repr(device)


def test_a_peer_goes_on_in_the_next_message():
    """As wg_get_device_dump does: there it has nothing but its key and the rest of its allowed IPs."""
    first = genl.set_request("wg0", [genl.peer_of(KEYS[0], 0, ()) + attribute(7, (9).to_bytes(8, "little"))])
    more = [
        genl.set_request("wg0", [genl.peer_of(KEYS[0], 0, (pack(text),))]) for text in ("10.0.0.0/8", "2001:db8::/32")
    ]
    last = genl.set_request("wg0", [genl.peer_of(KEYS[0], 0, (pack("10.1.0.0/16"),)), genl.peer_of(KEYS[1], 0, ())])
    device = genl.decode("wg0", [first, *more, last])
    assert device.peers[KEYS[0]] == Peer(
        KEYS[0], rx=9, allowed=frozenset(map(pack, ("10.0.0.0/8", "2001:db8::/32", "10.1.0.0/16")))
    )
    assert device.peers[KEYS[1]] == Peer(KEYS[1])


def test_giving_allowed_ips_is_what_pyroute2_sends():
    (body,) = genl.set_requests("wg0", [Grant(KEYS[0], (pack("198.18.0.0/15"), pack("2001:2::/48")))])
    peer = {"public_key": KEYS[0], "update_only": True, "allowed_ips": ["198.18.0.0/15", "2001:2::/48"]}
    oracle = Unsent()
    asyncio.run(oracle.set("wg0", peer=peer))
    for one in (decoded(body), decoded(oracle.sent[HEADER.size :])):
        assert (one["cmd"], one["version"], one.get_attr("WGDEVICE_A_IFNAME")) == (1, 1, "wg0")
        (peer,) = one.get_attr("WGDEVICE_A_PEERS")
        assert peer.get_attr("WGPEER_A_PUBLIC_KEY").decode() == KEYS[0]
        assert peer.get_attr("WGPEER_A_FLAGS") == 4
        assert allowed_of(peer) == ["198.18.0.0/15", "2001:2::/48"]


@pytest.mark.parametrize(("n", "messages"), [(0, 0), (1, 1), (1000, 1), (1001, 2), (2500, 3)])
def test_many_allowed_ips_take_several_messages(n, messages):
    allowed = tuple(pack(f"2001:db8:{at:x}::/48") for at in range(n))
    bodies = list(genl.set_requests("wg0", [Grant(KEYS[0], allowed)]))
    assert len(bodies) == messages
    assert all(len(body) < 1 << 16 for body in bodies)
    found = [text for body in bodies for text in allowed_of(decoded(body).get_attr("WGDEVICE_A_PEERS")[0])]
    assert [pack(text) for text in found] == list(allowed)


def test_taking_allowed_ips_away_names_no_peer_but_the_stand_in():
    taken, removed = map(decoded, genl.drop_requests("wg0", (pack("198.18.0.0/15"),), KEYS[3]))
    (peer,) = taken.get_attr("WGDEVICE_A_PEERS")
    assert (peer.get_attr("WGPEER_A_PUBLIC_KEY").decode(), peer.get_attr("WGPEER_A_FLAGS")) == (KEYS[3], 0)
    assert allowed_of(peer) == ["198.18.0.0/15"]
    (peer,) = removed.get_attr("WGDEVICE_A_PEERS")
    assert (peer.get_attr("WGPEER_A_PUBLIC_KEY").decode(), peer.get_attr("WGPEER_A_FLAGS")) == (KEYS[3], 1)


def test_asking_for_a_device_and_for_the_family():
    message = decoded(genl.get_request("wg0"))
    assert (message["cmd"], message["version"], message.get_attr("WGDEVICE_A_IFNAME")) == (0, 1, "wg0")
    assert genl.family_request()[:4] == bytes((3, 1, 0, 0))
    answer = bytes((1, 2, 0, 0)) + attribute(2, b"wireguard\0") + attribute(1, (31).to_bytes(2, "little"))
    assert genl.decode_family(answer) == 31


@pytest.mark.parametrize(("address", "family"), [("192.0.2.1", AF_INET), ("2001:db8::1", AF_INET6)])
def test_a_peers_new_endpoint_as_pyroute2_reads_it(address, family):
    message = decoded(genl.point_request("wg0", KEYS[0], address, 51820))
    assert message.get_attr("WGDEVICE_A_IFNAME") == "wg0"
    (peer,) = message.get_attr("WGDEVICE_A_PEERS")
    assert peer.get_attr("WGPEER_A_PUBLIC_KEY") == KEYS[0].encode()
    assert peer.get_attr("WGPEER_A_FLAGS") == 4  # WGPEER_F_UPDATE_ONLY
    assert peer.get_attr("WGPEER_A_ALLOWEDIPS") is None
    told = peer.get_attr("WGPEER_A_ENDPOINT")
    assert (told["family"], told["addr"], told["port"]) == (family, address, 51820)
