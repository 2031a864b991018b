"""Whether a WireGuard device is as routing left it: a program that speaks as wireguard-go does."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from steerd.config.gateway.load import load
from steerd.config.prefixes import pack
from steerd.net.wireguard import uapi
from steerd.net.wireguard.device import Device, Peer
from steerd.route.reconcile.peers import Peers

ONE, TWO = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
FILE = f"""\
[route]
actuator = "wireguard"
[[pop]]
name = "p"
paths = [{{ name = "wg", dev = "wg0", peer = "{ONE}", target = "10.64.1.1" }}]
[[policy]]
name = "users"
prefixes = ["198.18.0.0/15"]
"""
ANSWER = f"""\
public_key={"01" * 32}
allowed_ip=198.18.0.0/15
public_key={"02" * 32}
allowed_ip=172.20.0.0/16
errno=0

"""


def device(one: tuple[str, ...], two: tuple[str, ...]) -> Device:
    packed = {key: frozenset(map(pack, some)) for key, some in ((ONE, one), (TWO, two))}
    return Device("wg0", peers={key: Peer(key, allowed=allowed) for key, allowed in packed.items()})


LEFT = device(("198.18.0.0/15",), ("172.20.0.0/16",))
STOLEN = device((), ("172.20.0.0/16", "198.18.0.0/15"))


@pytest.fixture
def peers(tmp_path, monkeypatch) -> Iterator[Callable[..., Peers]]:
    monkeypatch.setattr(uapi, "FOLDER", tmp_path)
    monkeypatch.setattr(uapi, "PATIENCE", 0.1)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):  # until it is shut down
            while True:
                one, _ = listener.accept()
                with one:
                    one.recv(1 << 16)
                    one.sendall(ANSWER.encode())

    opened: list[socket.socket] = []

    def made(*, answers: bool = True, file: str = FILE) -> Peers:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "wg0.sock"))
        listener.listen()
        opened.append(listener)
        if answers:
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
        (tmp_path / "steerd.toml").write_text(file)
        found = Peers(load(tmp_path / "steerd.toml").route)
        found.read()
        return found

    yield made
    for one in opened:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def test_ours_that_another_peer_has_is_moved_and_what_others_have_is_not(peers):
    with peers() as found:
        assert not found.moved(LEFT)
        assert found.moved(STOLEN)
        assert not found.moved(device(("198.18.0.0/15", "192.0.2.0/24"), ("172.21.0.0/16",)))
        assert not found.moved(device(("198.18.0.0/15", "198.18.1.0/24"), ()))  # a longer one is nobody's of ours


def test_a_peer_that_goes_or_comes_is_a_move(peers):
    with peers() as found:
        assert found.moved(Device("wg0", peers={TWO: LEFT.peers[TWO]}))
        assert found.moved(Device("wg0", peers={**LEFT.peers, "new": Peer("new")}))


def test_what_could_not_be_read_before_is_a_move_once_it_can(peers):
    with peers(answers=False) as found:
        assert found.errors
        assert found.moved(STOLEN)
        assert not found.moved(Device("wg1", peers=STOLEN.peers))  # none of the paths'


def test_without_the_actuator_nothing_is(peers):
    with peers(file=FILE.replace('actuator = "wireguard"', "").replace(f'peer = "{ONE}", ', "")) as found:
        assert not found.moved(STOLEN)
