"""What programs that serve WireGuard say on their sockets, and what is asked of them."""

import socket
import threading
import time
import tracemalloc
from contextlib import suppress

import pytest

from steerd.config.prefixes import pack
from steerd.net.wireguard import uapi
from steerd.net.wireguard.device import Device, Grant, Peer, WireGuardError, grants, holders
from steerd.net.wireguard.speaker import Speaker

KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
OTHER = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
SECRET = "73" * 32

ANSWER = f"""\
private_key={SECRET}
listen_port=51820
fwmark=51820
public_key={"01" * 32}
preshared_key={SECRET}
protocol_version=1
endpoint=192.0.2.7:51820
last_handshake_time_sec=1700000000
last_handshake_time_nsec=500000000
tx_bytes=1099511627776
rx_bytes=148
persistent_keepalive_interval=25
allowed_ip=10.64.1.1/32
allowed_ip=2001:2::/48
public_key={"02" * 32}
endpoint=[fe80::7%eth0]:51820
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
errno=0

"""
"""As wireguard-go 0.0.20220316 writes it."""


def test_a_device_as_wireguard_go_tells_it():
    device = uapi.decode("wg0", ANSWER.encode())
    assert device == Device(
        "wg0",
        51820,
        {
            KEY: Peer(
                KEY,
                1700000000.5,
                148,
                1 << 40,
                25,
                "192.0.2.7",
                frozenset({pack("10.64.1.1/32"), pack("2001:2::/48")}),
                51820,
            ),
            OTHER: Peer(OTHER, endpoint="fe80::7", port=51820),
        },
    )
    assert SECRET not in repr(device)


@pytest.mark.parametrize("cut", [0, 10, 200, len(ANSWER) - 10])
def test_an_answer_that_is_cut_off_is_none(cut):
    with pytest.raises((WireGuardError, ValueError)):
        uapi.decode("wg0", ANSWER.encode()[:cut])


def test_a_refusal_has_its_number():
    with pytest.raises(WireGuardError) as refused:
        uapi.check("wg0", b"errno=-22\n\n")
    assert refused.value.errno == 22
    uapi.check("wg0", b"errno=0\n\n")


def test_what_is_asked():
    grant = Grant(KEY, (pack("198.18.0.0/15"), pack("2001:2::/48")))
    assert uapi.set_request([grant]).decode().splitlines() == [
        "set=1",
        f"public_key={'01' * 32}",
        "update_only=true",
        "allowed_ip=198.18.0.0/15",
        "allowed_ip=2001:2::/48",
        "",
    ]
    assert uapi.drop_request([pack("198.18.0.0/15")], OTHER).decode().splitlines() == [
        "set=1",
        f"public_key={'02' * 32}",
        "allowed_ip=198.18.0.0/15",
        f"public_key={'02' * 32}",
        "remove=true",
        "",
    ]


def test_where_a_far_end_is_is_told_as_text():
    for address, written in (("192.0.2.1", "192.0.2.1:51820"), ("2001:db8::1", "[2001:db8::1]:51820")):
        assert uapi.point_request(KEY, address, 51820).decode().splitlines() == [
            "set=1", f"public_key={'01' * 32}", "update_only=true", f"endpoint={written}", "",
        ]  # fmt: skip


def test_who_gets_a_packet_is_the_longest_prefix():
    device = Device(
        "wg0",
        peers={
            KEY: Peer(KEY, allowed=frozenset(map(pack, ("0.0.0.0/0", "10.64.1.1/32")))),
            OTHER: Peer(OTHER, allowed=frozenset(map(pack, ("10.64.0.0/16", "2001:2::/48")))),
        },
    )
    asked = ("10.64.1.1", "10.64.1.2", "192.0.2.1", "2001:2::1", "2001:3::1")
    assert [device.owner(pack(one)[:-1]) for one in asked] == [KEY, OTHER, KEY, OTHER, None]
    assert holders(device)[pack("10.64.0.0/16")] == OTHER


def test_moves_are_put_together_by_peer():
    a, b, c = map(pack, ("10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"))
    assert grants([(b, KEY), (c, OTHER), (a, KEY)]) == [Grant(KEY, (a, b)), Grant(OTHER, (c,))]


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A socket where a program would listen."""
    monkeypatch.setattr(uapi, "FOLDER", tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "wg0.sock"))
        listener.listen()
        yield listener


def test_a_program_that_answers_in_pieces(served):
    def serve():
        connection, _ = served.accept()
        with connection:
            assert connection.recv(100) == uapi.GET
            for at in range(0, len(ANSWER), 100):
                connection.sendall(ANSWER[at : at + 100].encode())
                time.sleep(0.001)

    thread = threading.Thread(target=serve)
    thread.start()
    with Speaker() as speaker:
        device = speaker.read("wg0")
    thread.join()
    assert device is not None
    assert len(device.peers) == 2


def test_a_program_that_hangs_costs_no_more_than_its_limit(served, monkeypatch):
    monkeypatch.setattr(uapi, "PATIENCE", 0.2)
    began = time.monotonic()
    with Speaker() as speaker, pytest.raises(WireGuardError, match=r"no answer within 0\.2 s"):
        speaker.read("wg0")
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("answer", [b"", b"public_key=xy\nerrno=0\n\n", b"fwmark=high\nerrno=0\n\n", b"\xff\xfe\n\n"])
def test_nonsense_is_an_error_and_nothing_worse(served, answer):
    def serve():
        connection, _ = served.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    with Speaker() as speaker, pytest.raises(WireGuardError):
        speaker.read("wg0")
    thread.join()


def test_an_answer_without_end_is_an_error_at_its_limit(served, monkeypatch):
    monkeypatch.setattr(uapi, "MOST", 1 << 20)
    sent = 0

    def serve():
        nonlocal sent
        connection, _ = served.accept()
        with connection, suppress(OSError):
            connection.recv(100)
            while sent < 64 << 20:
                sent += connection.send(b"x=1\n" * 16384)

    thread = threading.Thread(target=serve)
    thread.start()
    with Speaker() as speaker, pytest.raises(WireGuardError, match="the answer has more than 1 MiB"):
        speaker.read("wg0")
    thread.join()
    assert sent < 4 << 20


def test_a_long_answer_takes_little_room_beside_its_own():
    answer = b"x=1\n" * (1 << 17) + b"errno=0\n\n"
    tracemalloc.start()
    uapi.decode("wg0", answer)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(answer) >> 2


def test_a_socket_that_was_left_behind_is_no_device(tmp_path, monkeypatch):
    monkeypatch.setattr(uapi, "FOLDER", tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "wg-gone.sock"))
    with Speaker() as speaker:
        assert speaker.read("wg-gone") is None
        assert speaker.read("lo") is None


@pytest.mark.parametrize(
    ("line", "with_"),
    [
        ("last_handshake_time_sec=1700000000", f"last_handshake_time_sec={400 * '9'}"),
        ("last_handshake_time_sec=1700000000", "last_handshake_time_sec=-1"),
        ("rx_bytes=148", f"rx_bytes={5000 * '9'}"),
        ("fwmark=51820", "fwmark=4294967296"),
        ("persistent_keepalive_interval=25", "persistent_keepalive_interval=٢"),
        ("allowed_ip=10.64.1.1/32", "allowed_ip=10.64.1.1/999"),
        ("allowed_ip=10.64.1.1/32", "allowed_ip=10.64.1.1/33"),
        ("allowed_ip=10.64.1.1/32", "allowed_ip=nowhere/32"),
        (f"public_key={'01' * 32}", "public_key=zz"),
        ("errno=0", f"errno={400 * '9'}"),
        ("errno=0", "errno=\xff\xfe"),
    ],
)
def test_whatever_a_program_says_of_its_device_is_refused_as_that(monkeypatch, line, with_):
    answer = ANSWER.replace(line, with_, 1).encode()
    monkeypatch.setattr(uapi, "exchange", lambda *_: answer)
    with pytest.raises(WireGuardError) as caught:
        Speaker().read("wg0")
    assert len(str(caught.value)) < 200
    if line.startswith("errno"):
        with pytest.raises(WireGuardError):
            Speaker().drop("wg0", [pack("10.64.1.1")])


def test_an_endpoint_that_is_no_address_is_not_known():
    device = uapi.decode("wg0", ANSWER.replace("endpoint=192.0.2.7:", "endpoint=\x1b[31m:").encode())
    assert device.peers[KEY].endpoint == ""
