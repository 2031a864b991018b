"""Reading WireGuard devices beside everything else: what is told, when, and what a device that hangs costs."""

import asyncio
import socket
import time

import pytest

from steerd.config.prefixes import pack
from steerd.config.probe_settings import TunnelPath, TunnelSettings
from steerd.core.events import Tunnel
from steerd.core.settings import PathId
from steerd.net.wireguard import uapi
from steerd.net.wireguard.device import Device, Peer, WireGuardError
from steerd.tunnel import watch
from steerd.tunnel.peers import endpoint, peer_of, remarks
from steerd.tunnel.watch import TunnelWatch, reckoned
from tests.lab.waiting import until_async

P, Q = PathId("p/wg"), PathId("q/wg")
WG0 = TunnelPath(P, "wg0", (pack("10.64.1.1")[:-1],))
DEVICE = Device("wg0", 7, {"a": Peer("a", endpoint="192.0.2.1", allowed=frozenset({pack("10.64.1.1")}))})


def take(one: TunnelWatch, found) -> None:
    """As `TunnelWatch.run` does with what it read."""
    one.take("wg0", reckoned([WG0], found, one.known("wg0")))


class Told:
    def __init__(self) -> None:
        self.tunnels: list[Tunnel] = []
        self.moved: list[str] = []
        self.far_ends: list[dict] = []

    def watch(self, *paths: TunnelPath, interval: float = 1.0, read=None, moved=lambda _: False) -> TunnelWatch:
        return TunnelWatch(
            TunnelSettings(paths, interval),
            on_tunnel=self.tunnels.append,
            on_moved=self.moved.append,
            on_far_ends=self.far_ends.append,
            read=read,
            moved=moved,
        )


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(watch.time, "monotonic", lambda: Clock.now)
    monkeypatch.setattr(watch.time, "time", lambda: 1_700_000_000.0 + Clock.now)
    return Clock


def sent(tx: int) -> Device:
    return Device("wg0", 7, {"a": Peer("a", 1_700_001_000.0, 0, tx, endpoint="192.0.2.1")})


def test_stale_is_told_once_and_its_end_too(clock):
    told = Told()
    one = told.watch(WG0)
    for second in range(40):
        clock.now = 1000.0 + second
        take(one, sent(128 * second))
    assert told.tunnels == [Tunnel(P, "WireGuard: sent for 15 s and nothing came back, latest handshake 16 s ago")]
    assert one.view(P).stale == "WireGuard: sent for 38 s and nothing came back, latest handshake 39 s ago"
    take(one, None)  # it is gone: nothing is known
    assert told.tunnels[1:] == [Tunnel(P, "")]
    assert one.view(P) is None
    one.close()


def test_after_a_reload_it_is_told_again(clock):
    told = Told()
    one = told.watch(WG0)
    for second in range(20):
        clock.now = 1000.0 + second
        take(one, sent(128 * second))
    one.configure(TunnelSettings((WG0,), 1.0))
    take(one, sent(128 * 20))
    assert [bool(event.stale) for event in told.tunnels] == [True, True]
    one.configure(TunnelSettings((WG0,), 1.0))
    take(one, Device("wg0"))
    assert [bool(event.stale) for event in told.tunnels] == [True, True, False]
    one.close()


def test_far_ends_are_told_when_they_change():
    told = Told()
    one = told.watch(WG0)
    for device in (DEVICE, DEVICE, Device("wg0", 7, {"a": Peer("a", endpoint="192.0.2.1")}), None):
        take(one, device)
    assert told.far_ends == [{"wg0": ("192.0.2.1", 7)}, {}]


def test_the_mark_of_a_device_with_several_far_ends_is_told():
    told = Told()
    one = told.watch(WG0)
    take(one, Device("wg0", 7, {key: Peer(key, endpoint=f"192.0.2.{key}") for key in "12"}))
    assert told.far_ends == [{"wg0": ("", 7)}]
    one.close()


def test_what_is_not_as_routing_left_it_is_told_each_time_it_is_read():
    """Whatever the reading before saw: routing may have moved it since."""

    async def scene() -> tuple[list[str], list[str]]:
        told, answers, asked = Told(), [False, True, True, False], []

        def moved(device: Device) -> bool:
            asked.append(device.name)
            return answers[min(len(asked), len(answers)) - 1]

        one = told.watch(WG0, interval=0.01, read=lambda _: DEVICE, moved=moved)
        task = asyncio.create_task(one.run())
        await until_async(lambda: len(asked) >= 6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        one.close()
        return told.moved, asked

    told, asked = asyncio.run(scene())
    assert told == ["wg0"] * 2
    assert set(asked) == {"wg0"}


def test_what_can_not_be_read_is_said_and_looked_at_again_later(clock):
    one = Told().watch(WG0)
    take(one, WireGuardError(13, "/run/wireguard/wg0.sock: Permission denied"))
    assert one.remarks() == ("WireGuard of /run/wireguard/wg0.sock: Permission denied",)
    assert one.due("wg0") == 1030.0
    take(one, DEVICE)
    assert (one.remarks(), one.due("wg0")) == ((), 1001.0)
    take(one, WireGuardError(110, "/run/wireguard/wg0.sock: no answer within 5 s"))
    assert one.due("wg0") == 1001.0
    take(one, WireGuardError(110, "/run/wireguard/wg0.sock: no answer within 5 s"))
    assert one.due("wg0") == 1030.0
    one.look(P)
    assert one.due("wg0") < 0.0
    one.close()


def test_never_means_never():
    one = Told().watch(WG0, interval=0.0)
    assert one.due("wg0") == float("inf")
    one.close()


def test_a_device_that_hangs_holds_up_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(uapi, "FOLDER", tmp_path)
    monkeypatch.setattr(uapi, "PATIENCE", 0.5)

    async def scene() -> float:
        told = Told()
        one = told.watch(WG0)
        task = asyncio.create_task(one.run())
        worst, before = 0.0, time.monotonic()
        while not one.remarks():
            await asyncio.sleep(0.01)
            now = time.monotonic()
            worst, before = max(worst, now - before), now
        assert "no answer within 0.5 s" in one.remarks()[0]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        began = time.monotonic()
        one.close()
        return max(worst, time.monotonic() - began)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "wg0.sock"))
        listener.listen()
        assert asyncio.run(scene()) < 0.25


def test_many_devices_that_hang_hold_up_one_that_answers_no_longer_than_one_of_them(monkeypatch):
    """In an order, not in a time: between two that hang the other is read."""
    monkeypatch.setattr(watch, "WAITED", 0.02)
    monkeypatch.setattr(watch, "LOOK_AGAIN", 0.01)
    asked: list[str] = []

    def read(name: str) -> Device:
        asked.append(name)
        if name == "wg0":
            return DEVICE
        time.sleep(0.03)
        raise WireGuardError(110, f"{name}: no answer within 2 s")

    async def scene() -> None:
        hanging = [TunnelPath(PathId(f"h{at}/wg"), f"h{at}", ()) for at in range(10)]
        one = Told().watch(*hanging, WG0, interval=0.01, read=read)
        task = asyncio.create_task(one.run())
        await until_async(lambda: len(asked) >= 80)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        one.close()

    asyncio.run(scene())
    after = asked[asked.index("wg0") :]
    longest = max(len(rest.split()) for rest in " ".join(after).split("wg0"))
    assert longest <= 2
    assert {f"h{at}" for at in range(10)} <= set(after)  # and all of them are asked, in turn


def test_a_reload_while_a_device_is_read():
    """What it no longer names is neither taken in nor asked."""

    async def scene() -> bool:
        loop = asyncio.get_running_loop()
        asked = []

        def read(name):
            asked.append(name)
            loop.call_soon_threadsafe(one.configure, TunnelSettings((), 1.0))
            time.sleep(0.05)
            return DEVICE

        one = Told().watch(WG0, TunnelPath(Q, "wg1", ()), read=read)
        task = asyncio.create_task(one.run())
        await asyncio.sleep(0.2)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        one.close()
        return asked == ["wg0"] and one.view(P) is None

    assert asyncio.run(scene())


def test_whose_peer_it_is():
    a, b = Peer("a", allowed=frozenset({pack("10.64.0.0/16")})), Peer("b", allowed=frozenset({pack("10.64.1.1")}))
    two, one = Device("wg0", peers={"a": a, "b": b}), Device("wg0", peers={"a": Peer("a")})
    assert peer_of(WG0, two) is b
    assert peer_of(TunnelPath(P, "wg0", WG0.targets, "a"), two) is a
    assert peer_of(TunnelPath(P, "wg0", ()), two) is None
    assert peer_of(WG0, one) == Peer("a")
    assert peer_of(TunnelPath(P, "wg0", (), "x"), two) is None


def test_probes_that_go_to_the_wrong_peer_are_remarked():
    a, b = Peer("a", allowed=frozenset({pack("10.64.0.0/16")})), Peer("b", allowed=frozenset({pack("10.64.2.1")}))
    device = Device("wg0", peers={"a": a, "b": b})
    address = [pack(one)[:-1] for one in ("10.64.1.1", "10.64.2.1", "192.0.2.1")]
    paths = [
        TunnelPath(P, "wg0", (address[0],), "a"),
        TunnelPath(Q, "wg0", (address[0],), "b"),
        TunnelPath(Q, "wg0", (address[2],), "b"),
        TunnelPath(Q, "wg0", (address[1],), "x"),
        TunnelPath(P, "wg0", (address[1],)),
    ]
    assert list(remarks(paths, device)) == [
        "q/wg: its target 10.64.1.1 is in the AllowedIPs of another peer, a: list it with the path's own",
        "q/wg: its target 192.0.2.1 is in the AllowedIPs of no peer: list it with the path's own",
        "q/wg: wg0 has no peer x",
    ]


def test_a_far_end_is_one_place():
    peers = {key: Peer(key, endpoint=where) for key, where in (("a", "192.0.2.1"), ("b", "192.0.2.1"))}
    assert endpoint(Device("wg0", peers=peers)) == "192.0.2.1"
    peers["c"] = Peer("c", endpoint="192.0.2.2")
    assert endpoint(Device("wg0", peers=peers)) == ""
    assert endpoint(Device("wg0")) == ""
