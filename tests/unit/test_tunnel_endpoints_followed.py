"""A tunnel's far end followed by its name: a program that speaks as wireguard-go does, and a resolver that is ours."""

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from steerd.config.probe_settings import TunnelPath, TunnelSettings
from steerd.core.events import Tunnel
from steerd.core.settings import PathId
from steerd.net.wireguard import uapi
from steerd.tunnel import endpoints
from steerd.tunnel.endpoints import Endpoints

KEYS = [bytes([number]) * 32 for number in range(1, 5)]
P = PathId("p/wg")


class Program:
    """One device, with peers that are told where their far ends are."""

    def __init__(self, file: Path, peers: int = 1) -> None:
        self.ends = dict.fromkeys((key.hex() for key in KEYS[:peers]), "192.0.2.1:51820")
        self.asked = 0
        self.rx, self.growing = 100, False
        self.answer: bytes | None = None
        """To whatever is asked; None: what is so."""
        self.refused: str | tuple[str, ...] = ()
        """How endpoints begin that it does not take, as those of a family that this kernel lacks."""
        self.told: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(file))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # until it is shut down
            while True:
                one, _ = self._listener.accept()
                with one:
                    request = one.recv(1 << 16).decode()
                    one.sendall(self._said(request) if self.answer is None else self.answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _said(self, request: str) -> bytes:
        values = dict(line.partition("=")[::2] for line in request.split())
        if "set" in values and values["endpoint"].startswith(self.refused):
            return b"errno=-97\n\n"
        if "set" in values:
            self.ends[values["public_key"]] = values["endpoint"]
            self.told.append(values["endpoint"])
            return b"errno=0\n\n"
        self.asked += 1
        self.rx += 92 * self.growing
        lines = [f"public_key={key}\nendpoint={end}\nrx_bytes={self.rx}\n" for key, end in self.ends.items()]
        return ("".join(lines) + "errno=0\n\n").encode()


class Names:
    """A resolver. While ``held`` is clear it does not answer."""

    def __init__(self) -> None:
        self.addresses = ["192.0.2.2"]
        self.held = threading.Event()
        self.asked = 0
        self.held.set()

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        assert self.held.wait(20.0)
        return list(self.addresses)


def path(name: PathId = P, *, peer: int = 0, host: str = "p.example.net", port: int = 51820) -> TunnelPath:
    return TunnelPath(name, "wg0", (), base64.b64encode(KEYS[peer]).decode(), (host, port))


def settings(*paths: TunnelPath) -> TunnelSettings:
    return TunnelSettings(paths, 1.0)


def until(holds) -> None:
    end = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def program(tmp_path, monkeypatch) -> Iterator[Program]:
    monkeypatch.setattr(uapi, "FOLDER", tmp_path)
    monkeypatch.setattr(endpoints, "AGAIN", 0.02)
    with closing(Program(tmp_path / "wg0.sock", peers=3)) as found:
        yield found


@pytest.fixture
def names(monkeypatch) -> Names:
    found = Names()
    monkeypatch.setattr(endpoints, "resolved", found)
    return found


def looks(program: Program, number: int = 3) -> None:
    """Until there were so many more."""
    until(lambda at=program.asked + number: program.asked >= at)


def test_a_far_end_at_another_port_is_told_so(program, names):
    """A NAT's port that the far end was last heard from, or one that the configuration has changed."""
    names.addresses = ["192.0.2.1"]
    one = Endpoints(settings(path(port=51821)))
    one.start()
    one.told(Tunnel(P, "stale"))
    until(lambda: program.told)
    looks(program)
    one.close()
    assert program.told == ["192.0.2.1:51821"]


def test_a_tunnel_that_answers_again_is_left_alone_before_anybody_says_so(program, names):
    """Readings may be an hour apart."""
    names.addresses = ["192.0.2.2", "192.0.2.3"]
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    until(lambda: program.told)
    program.growing = True
    looks(program, 2)
    told = len(program.told)
    looks(program, 10)
    one.close()
    assert len(program.told) == told


@pytest.mark.parametrize("to", [settings(), settings(path(host="q.example.net"))])
def test_what_a_reload_takes_away_while_a_name_is_looked_up_is_not_told(program, names, to):
    names.held.clear()
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    until(lambda: names.asked)
    one.configure(to)
    names.held.set()
    time.sleep(0.1)
    one.close()
    assert program.told == []


def test_a_tunnel_that_works_again_while_its_name_is_looked_up_is_left_alone(program, names):
    names.held.clear()
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    until(lambda: names.asked)
    one.told(Tunnel(P, ""))
    names.held.set()
    looks(program)
    one.close()
    assert program.told == []


def test_a_device_of_many_paths_is_read_once_a_look(program, names, monkeypatch):
    monkeypatch.setattr(endpoints, "AGAIN", 20.0)
    one = Endpoints(settings(*(path(PathId(f"p{number}/wg"), peer=number) for number in range(3))))
    one.start()
    until(lambda: program.asked)
    time.sleep(0.1)
    one.close()
    assert program.asked == 1


def test_addresses_that_come_in_any_order_are_all_tried(program, names):
    """As resolvers that turn them about answer."""
    names.addresses = ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    for number in range(1, 7):
        until(lambda at=number: len(program.told) >= at)
        at = names.addresses.index(program.told[-1].partition(":")[0])
        # The one before it comes behind it.
        names.addresses = [names.addresses[at], names.addresses[at - 1], names.addresses[at - 2]]
    one.close()
    assert len(set(program.told)) == 3


def test_an_address_that_is_refused_keeps_none_from_being_tried(program, names):
    names.addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    program.refused = "192.0.2.2"
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    until(lambda: program.told)
    program.refused = ()
    until(lambda: "192.0.2.2:51820" in program.told)  # and it has its turn again
    one.close()
    assert program.told[0] == "192.0.2.3:51820"


def test_the_only_address_is_tried_again_when_it_was_refused(program, names):
    program.refused = "192.0.2.2"
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    looks(program, 6)
    program.refused = ()
    until(lambda: program.told == ["192.0.2.2:51820"])
    one.close()


def test_devices_that_hang_do_not_have_a_stale_tunnel_wait(program, names, tmp_path):
    """In an order: its name is looked up before they are asked."""
    names.held.clear()
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / "wg1.sock"))
        hanging.listen()
        hanging.setblocking(False)
        one = Endpoints(settings(replace(path(PathId("q/wg")), device="wg1"), path()))
        one.told(Tunnel(P, "stale"))
        one.start()
        until(lambda: names.asked)
        with pytest.raises(BlockingIOError):
            hanging.accept()
        one.close()
        names.held.set()


def test_a_day_of_two_addresses_that_do_not_answer_is_not_a_line_each(program, names, caplog):
    caplog.set_level("INFO", "steerd")
    names.addresses = ["192.0.2.2", "192.0.2.3"]
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    until(lambda: len(program.told) > 10)
    one.close()
    assert len([line for line in caplog.messages if "sought at" in line]) <= 3


def test_a_name_with_another_address_each_time_does_not_fill_the_log(program, names, caplog):
    caplog.set_level("INFO", "steerd")
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    for number in range(30):
        names.addresses = [f"192.0.2.{100 + number}"]
        until(lambda at=names.addresses[0]: program.told and program.told[-1].startswith(at))
    one.close()
    assert len(caplog.messages) <= endpoints.MOST_SAID


@pytest.mark.parametrize("answer", [b"", b"errno=-22\n\n", b"\xff\x00=\n\n", b"public_key=xyz\nerrno=0\n\n", b"set"])
def test_a_program_that_answers_rubbish_is_said_once(program, names, caplog, answer):
    program.answer = answer
    one = Endpoints(settings(path()))
    one.start()
    one.told(Tunnel(P, "stale"))
    until(lambda: caplog.messages)
    time.sleep(0.2)
    assert len(caplog.messages) == 1, caplog.messages
    assert "Traceback" not in caplog.text
    program.answer = None
    until(lambda: program.told)
    one.close()
