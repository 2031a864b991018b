"""The lab's world itself: what it emulates is what it says, what it counts is true, and nothing of it stays."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import LabError, run
from steerd.lab.world.world import EVERYTHING, STEERED, World
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def steer(device: str, prefixes: tuple[str, ...], *, bypass: str | None = None) -> None:
    """What the daemon would do, by hand: forwarded traffic by one tunnel."""
    namespaces.ip("".join(f"route replace {prefix} dev {device} table 77\n" for prefix in prefixes), "gw")
    for family in (4, 6):
        rules = [
            "rule add lookup main suppress_prefixlength 0 priority 50",
            "rule add not iif lo lookup 77 priority 60",
        ]
        if bypass:
            rules.append(f"rule add fwmark {bypass}/{bypass} lookup main priority 40")
        for rule in rules:
            subprocess.run(["ip", "-n", "gw", f"-{family}", *rule.split()], check=True)


def settled(seconds: float) -> tuple[float, float]:
    """Lets time pass; from when to when, without what is still on its way."""
    since = time.monotonic()
    time.sleep(seconds)
    return since, time.monotonic() - 0.2


def conditions() -> Any:
    found: dict[str, Any] = {}
    with World(rate=100) as world:
        fra1, ams1 = world.pops["fra1"], world.pops["ams1"]
        steer(fra1.device, STEERED)
        window = settled(1.0)
        found["first"] = _window(world, *window)
        fra1.set(delay_ms=50, jitter_ms=2, loss=0.3)
        window = settled(1.2)
        time.sleep(0.8)
        found["worse"] = _window(world, *window)
        moment = time.monotonic() + 0.5
        fra1.set(loss=0.0, jitter_ms=0.0)
        fra1.set(dead=True, at=moment)
        fra1.set(dead=False, at=moment + 0.5)
        time.sleep(2.0)
        found["dead"] = [each and each - moment for each in _window(world, moment - 0.3, moment + 0.8)["gap"]]
        steer_to = f"route replace {STEERED[0]} dev {ams1.device} table 77"
        namespaces.ip(steer_to, "gw")
        window = settled(0.8)
        found["four"] = _window(world, *window, 4)
        found["six"] = _window(world, *window, 6)
        found["seen"] = ams1.seen(*window)
        found["sequences"] = len(ams1.sequences(4, *window)), len(ams1.sequences(6, *window))
        since = time.monotonic()
        ams1.attach(False)
        time.sleep(0.3)
        found["leaked"] = world.outside.leaked(since)
        ams1.attach(True)
        namespaces.ip(steer_to, "gw")
        window = settled(0.5)
        found["back"] = _window(world, *window, 4)
        ams1.link(False)
        found["down"] = "UP" not in _link(ams1.device)
        ams1.link(True)
    return found


def _window(world: World, since: float, until: float, family: int | None = None) -> dict[str, Any]:
    window = world.traffic.between(since, until, family)
    return {
        "seconds": until - since,
        "sent": window.sent,
        "lost": window.lost,
        "by_pop": window.by_pop,
        "rtt": window.rtt_ms,
        "gap": (window.lost_from, window.lost_to),
    }


def _link(device: str) -> str:
    return _output(["ip", "-n", "gw", "-br", "link", "show", device]).split("<")[1]


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def test_packets_meet_the_conditions_and_are_counted_where_they_went() -> None:
    found = scene("conditions")
    first = found["first"]
    assert 0.8 < first["sent"] / (2 * 100 * first["seconds"]) < 1.05
    assert first["by_pop"] == {"fra1": first["sent"]}
    assert first["rtt"] == pytest.approx(20.5, abs=1.5)
    assert found["worse"]["rtt"] == pytest.approx(51, abs=2.5)
    assert 0.15 < found["worse"]["lost"] / found["worse"]["sent"] < 0.45
    assert found["dead"] == pytest.approx([0.0, 0.5], abs=0.03)
    assert set(found["four"]["by_pop"]) == {"ams1"}
    assert set(found["six"]["by_pop"]) == {"fra1"}
    assert found["seen"]["traffic4"] == pytest.approx(found["four"]["sent"], abs=3)
    assert found["seen"]["traffic6"] == found["seen"]["strays"] == 0
    assert found["sequences"] == [found["seen"]["traffic4"], 0]
    assert found["leaked"] > 20
    assert set(found["back"]["by_pop"]) == {"ams1"}
    assert found["down"]


def full_tunnel(rp_filter: int, bypass: bool) -> Any:
    with World(full_tunnel=True, rp_filter=rp_filter) as world:
        steer(world.pops["fra1"].device, EVERYTHING, bypass="0x100000" if bypass else None)
        if not bypass:
            # As a careless set-up has it: the gateway's own packets are steered too.
            subprocess.run(["ip", "-n", "gw", "rule", "add", "lookup", "77", "priority", "55"], check=True)
        world.traffic.rate(100)
        since, until = settled(1.5)
        assert world.admin is not None
        session = world.admin.session()
        return {
            "rp_filter": _output(namespaces.command("gw", ["cat", "/proc/sys/net/ipv4/conf/wan0/rp_filter"])).strip(),
            "users": _window(world, since, until),
            "outer": world.outside.outer(since, until),
            "leaked": world.outside.leaked(since, until),
            "nested": world.nested(),
            "admin": [session.alive, session.answers],
        }


@pytest.mark.parametrize("rp_filter", [1, 2])
def test_a_full_tunnel_carries_everything_but_its_own_packets_and_the_admin(rp_filter: int) -> None:
    found = scene("full_tunnel", rp_filter, True)
    assert found["rp_filter"] == str(rp_filter)
    assert found["users"]["by_pop"] == {"fra1": found["users"]["sent"]}
    assert found["outer"] >= found["users"]["sent"] - 10
    assert found["leaked"] == 0
    assert set(found["nested"].values()) == {0}
    alive, answers = found["admin"]
    assert alive
    assert answers > 15


def test_a_full_tunnel_that_swallows_itself_is_told() -> None:
    found = scene("full_tunnel", 0, False)
    assert found["nested"]["fra1"] > 100


def broker() -> Any:
    with World() as world:
        found: dict[str, Any] = {}
        world.broker.publish("steer/v1/lab/pop/fra1/state", {"accepting": True})
        until(lambda: "steer/v1/lab/pop/fra1/state" in world.broker.latest)
        found["latest"] = world.broker.latest["steer/v1/lab/pop/fra1/state"].decode()
        world.broker.stop()
        world.broker.start()
        world.broker.publish("again", b"1")
        client = "import paho.mqtt.subscribe as s; print(s.simple('again', hostname='127.0.0.1').payload.decode())"
        found["within"] = _output(namespaces.command("gw", [sys.executable, "-c", client]))
        return found


def test_the_broker_is_reached_from_the_gateway_and_by_the_lab() -> None:
    assert scene("broker") == {"latest": '{"accepting": true}', "within": "1\n"}


def config() -> Any:
    with World() as world:
        return world.gateway_config(tables='[score]\nhalf_life = "1s"\n')


def test_the_config_is_one_that_the_daemon_takes(tmp_path: Path) -> None:
    file = tmp_path / "steerd.toml"
    file.write_text(scene("config"))
    check = [sys.executable, "-m", "steerd.cli.steerd", "check", str(file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def stay() -> None:
    with World(rate=10):
        print("built", flush=True)
        time.sleep(20)


def _machine() -> list[str]:
    listings = ["ip -br link", "ip rule", "ip -6 rule", "ip route show table all", "ip netns"]
    return [_output(listing.split()) for listing in listings]


def _descendants(ancestor: int) -> set[int]:
    children = collections.defaultdict(set)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].add(int(stat.parent.name))
    found, new = set(), {ancestor}
    while new:
        found |= new
        new = {child for each in new for child in children[each]}
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_however_it_ends(number: signal.Signals) -> None:
    before = _machine()
    command = [sys.executable, "-m", "steerd.lab.enclosure", f"{__name__}:stay", "[]"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as lab:
        assert lab.stderr is not None
        assert lab.stderr.readline() == "built\n"
        processes = _descendants(lab.pid)
        assert len(processes) >= 6
        os.kill(lab.pid, number)
        assert lab.wait(60) == (-9 if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 10
    while any(map(_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [each for each in processes if _alive(each)]
    assert _machine() == before


def _alive(process: int) -> bool:
    """A zombie is not: it holds nothing, and when it goes is up to whoever inherited it."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(") ")[2][0] not in "ZX"


def failing() -> None:
    namespaces.ip("link add one type veth peer name two\nlink set three up")


def test_a_scene_that_fails_says_why() -> None:
    with pytest.raises(LabError, match='Cannot find device "three"'):
        scene("failing")


def endless() -> None:
    time.sleep(60)


def test_a_scene_that_takes_too_long_is_ended() -> None:
    with pytest.raises(LabError, match="took longer than 1 s"):
        run(f"{__name__}:endless", timeout=1)


def test_a_world_needs_an_enclosure() -> None:
    with pytest.raises(LabError, match="in an enclosure only"), World():
        pass
