"""Configurations that this machine cannot do, one mistake each: `check --live` names it, what it says is written into
the file to the letter, and a daemon that is started with that steers."""

import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import RUN, run
from steerd.lab.world.wiring import ADMIN
from steerd.lab.world.world import METRICS, World
from tests.lab.live import FILE, arrives, check, cure, shell
from tests.lab.test_daemon import ask, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker, pytest.mark.nft]

FRA = 'dev = "tun-fra1", target = "10.64.1.1", target6 = "fd64:0:0:1::1"'
BY_WAN = f'name = "wan", dev = "wan0", via = "{{}}", target = "{ADMIN}"'
ROUTER = 'via = "192.0.2.2"'

MISTAKES = {
    "a device that is spelled wrong": ('dev = "tun-fra1"', 'dev = "tun-fra"', "device-missing", 'dev = "tun-fra1"'),
    "an address of its own": ("10.64.1.1", "10.64.1.2", "target-is-own", 'target = "10.64.1.1"'),
    "a method that nobody answers": (FRA, f'method = "udp", {FRA}', "target-not-by-method", 'method = "icmp"'),
    "a next hop off the link": (FRA, BY_WAN.format("192.0.9.9"), "next-hop-off-link", ROUTER),
    "a next hop that is nobody": (FRA, BY_WAN.format("192.0.2.77"), "next-hop-silent", ROUTER),
    "a next hop that is itself": (FRA, BY_WAN.format("192.0.2.1"), "next-hop-is-own", ROUTER),
    "a source that is not there": (FRA, f'source = "10.9.9.9", {FRA}', "source-missing", 'source = "10.64.1.2"'),
    "an input that is not there": ('flows = "move"', 'iif = ["lan1"]', "input-missing", 'iif = ["lan0"]'),
    "metrics at no address of it": (METRICS, "192.0.2.9:9911", "metrics-address", f'export.listen = "{METRICS}"'),
    "metrics at a port in use": (METRICS, "127.0.0.1:1883", "metrics-port", 'export.listen = "127.0.0.1:1884"'),
}
"""What is written instead of what, how that is called, and its cure."""


def mistakes() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = world.gateway_config()
        for name, (right, wrong, _, _) in MISTAKES.items():
            assert right in config
            FILE.write_text(config.replace(right, wrong))
            found[name] = [check()]
            for finding in found[name][0][1]:
                cure(finding)
            found[name].append(check())
            daemon = start(world, FILE.read_text())
            until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
            if status(world)["policies"][0]["choice"] != "fra1/wan":  # outside nobody answers users
                arrives(world)
            found[name].append(check())
            daemon.terminate()
            daemon.wait(60)
            (RUN / "store" / "steerd.db").unlink(missing_ok=True)
    return found


def test_each_mistake_is_named_and_what_is_said_written_into_the_file_makes_it_steer() -> None:
    found = run(f"{__name__}:mistakes", timeout=300.0)
    assert found.keys() == MISTAKES.keys()
    for name, (_, _, id_, pair) in MISTAKES.items():
        (code, findings), after, beside = found[name]
        assert [one["id"] for one in findings] == [id_], name
        assert (findings[0]["by"], findings[0]["cure"]) == ("set", pair)
        assert code == (69 if findings[0]["severity"] == "error" else 0)
        assert after == [0, []], name
        assert beside == [0, []], name


def twins() -> Any:
    """Two paths by one device; one is removed, as is said."""
    found = {}
    with World(rate=50) as world:
        config = world.gateway_config()
        FILE.write_text(
            config.replace('dev = "tun-ams1", target = "10.64.2.1"', 'dev = "tun-fra1", target = "10.64.1.1"')
        )
        found["twins"] = check()
        FILE.write_text(config)
        found["cured"] = check()
        for pop in world.pops.values():
            pop.set(dead=True)
        began = time.monotonic()
        found["silent"], found["took"] = check(), time.monotonic() - began
        world.pops["fra1"].set(dead=False)
        found["one"] = check()
        # A name server that says nothing: what waits for it is not waited for.
        (RUN / "resolv.conf").write_text("nameserver 192.0.2.99\noptions timeout:30\n")
        if Path("/etc/resolv.conf").exists():  # in the lab's own mounts
            shell(f"mount --bind {RUN}/resolv.conf /etc/resolv.conf")
        for pop in world.pops.values():
            pop.set(dead=False)
        FILE.write_text(config.replace(world.broker.url, "mqtt://nowhere.example:1883"))
        began = time.monotonic()
        found["mute"], found["waited"] = check(), time.monotonic() - began
        FILE.write_text(config)
        start(world, config)
        assert ask(world, "status")[0] == 0
    return found


def test_two_paths_that_are_one_are_an_error_and_silent_targets_are_one_only_if_nothing_else_answers() -> None:
    found = run(f"{__name__}:twins")
    code, findings = found["twins"]
    assert (code, findings[0]["id"], findings[0]["place"]) == (69, "paths-are-one", "path ams1/tun-fra1")
    assert [one["severity"] for one in findings] == ["error"]
    assert found["cured"] == [0, []]
    code, findings = found["silent"]
    assert (code, [one["id"] for one in findings]) == (69, ["target-silent"] * 4)
    code, findings = found["one"]
    assert (code, [one["severity"] for one in findings]) == (0, ["warning"] * 3)
    (one,) = found["mute"][1]
    assert one["id"] == "broker-unreachable"
    assert "cannot be reached: " in one["finding"]
    assert found["waited"] < 20.0  # of the 30 s that the C library would wait, once and again
    print(f"with nothing that answers it took {found['took']:.1f} s, with a mute name server {found['waited']:.1f} s")


NEIGHBOURS = {
    "Tailscale": (
        "ip route add 198.18.7.1/32 dev wan0 table 52; ip rule add priority 5270 lookup 52",
        "rule-after",
        'except = ["198.18.7.1/32"]',
    ),
    "strongSwan, by routes": (
        "ip route add 198.18.8.0/24 dev wan0 table 220; ip rule add priority 220 lookup 220",
        "rule-before",
        'except = ["198.18.7.1/32", "198.18.8.0/24"]',
    ),
    "strongSwan, by policies": (
        "ip xfrm policy add dir out dst 198.18.9.0/24 tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel",
        "ipsec-takes",
        'except = ["198.18.7.1/32", "198.18.8.0/24", "198.18.9.0/24"]',
    ),
}
"""One after the other, each with what the file leaves out for those before."""


def neighbours() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        FILE.write_text(world.gateway_config())
        for name, (command, _, _) in NEIGHBOURS.items():
            shell(command)
            found[name] = [check()]
            for finding in found[name][0][1]:
                cure(finding)
            found[name].append(check())
        start(world, FILE.read_text())
        arrives(world)
        found["beside"] = check()
    return found


def test_what_other_programs_take_is_named_and_left_to_them_as_is_said() -> None:
    found = run(f"{__name__}:neighbours")
    for name, (_, id_, pair) in NEIGHBOURS.items():
        (_, findings), after = found[name]
        assert [(one["id"], one["cure"]) for one in findings] == [(id_, pair)], name
        assert findings[0]["place"] == "policy users, except"
        assert after == [0, []], name
    assert found["beside"] == [0, []]
