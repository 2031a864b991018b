"""A daemon that only observes: the kernel stays as it was, byte for byte, and what it would have done is told."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.wiring import UPLINK
from steerd.lab.world.world import World
from tests.lab.test_daemon import LOG, ask, metric, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

FRA = "fra1/tun-fra1"
SHOWN = (
    *(
        "ip -details rule",
        "ip -details -6 rule",
        "ip -details route show table all",
        "ip -6 -details route show table all",
    ),
    *("ip nexthop", "ip -details link", "ip address", "nft list ruleset"),
)


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def gateway(*command: str) -> str:
    return subprocess.run(["ip", "netns", "exec", "gw", *command], capture_output=True, text=True, check=True).stdout


def kernel() -> dict[str, str]:
    """All that steerd could have touched."""
    found = {one: gateway(*one.split()) for one in SHOWN if shutil.which(one.partition(" ")[0])}
    found["sysctl"] = gateway(
        "sh", "-c", "cd /proc/sys/net && grep -r . ipv4/conf ipv6/conf ipv4/ip_forward 2>/dev/null; true"
    )
    # What the kernel itself counts down or learns.
    return {name: "\n".join(line.split(" expires ")[0] for line in text.splitlines()) for name, text in found.items()}


def started(world: World, config: str, *arguments: str) -> subprocess.Popen[Any]:
    with LOG.open("a") as log:
        daemon = world.run_daemon(config, *arguments, stderr=log)
    until(lambda: status(world)["policies"][0]["choice"] is not None)
    return daemon


def led_by(device: str) -> None:
    """What an operator has without steerd."""
    gateway("ip", "route", "add", "198.18.0.0/15", "dev", device)
    gateway("ip", "-6", "route", "add", "2001:2::/48", "dev", device)


_PLAYED: list[Any] = []
DEAREST_MS = 200.0
"""No RTT in the world of `observed` is longer."""


def text(*arguments: str) -> str:
    command = ["ip", "netns", "exec", "gw", sys.executable, "-m", "steerd.cli.steerctl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def observed() -> Any:
    with World(rate=50) as world:
        led_by("tun-fra1")
        until(lambda: "tentative" not in gateway("ip", "address"))
        before = kernel()
        began = time.monotonic()
        daemon = started(world, world.gateway_config().replace("[store]", "[store]\nrecord = true"), "--observe")
        until(lambda: status(world)["policies"][0]["choice"] == FRA)
        world.pops["fra1"].set(delay_ms=120.0)
        until(lambda: ask(world, "savings")[1]["policies"][0]["moves"] >= 1)
        world.pops["fra1"].set(dead=True)
        until(lambda: ask(world, "savings")[1]["policies"][0]["was"]["lost"] > 0.05)
        shown = {
            name: text("--socket", "/run/steerd-lab/control.sock", name)
            for name in ("status", "savings", "why", "history")
        }
        seen, metrics = status(world), metric("steerd_observing")
        ended = time.monotonic()
        after = kernel()
        code, answer = ask(world, "move", "users", "--now")
        assert (code, answer["error"]) == (1, "steerd only observes here: it pins nothing, and moves nothing")
        saved = ask(world, "savings")[1]
        daemon.terminate()
        daemon.wait(20)
        recording = next(Path("/run/steerd-lab/store").glob("recording-*"))
        command = [sys.executable, "-m", "steerd.cli.steerd", "replay", "--json", str(recording)]
        replayed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return {
            "changed": {name: [before[name], after[name]] for name in before if before[name] != after[name]},
            "gone": [name for name in before if kernel()[name] != before[name]],
            "by_pop": world.traffic.between(began, ended - 1.0).by_pop,
            "status": seen,
            "saved": saved["policies"][0],
            "replayed": replayed["summary"]["savings"]["users"],
            "shown": shown,
            "metric": metrics,
            "log": LOG.read_text(),
        }


@pytest.fixture
def found(request: pytest.FixtureRequest) -> Any:
    """Played once for all tests, and anew for one that runs again."""
    if not _PLAYED or getattr(request.node, "execution_count", 1) > 1:
        _PLAYED[:] = [scene("observed")]
    return _PLAYED[0]


def test_nothing_in_the_kernel_is_touched(found: Any) -> None:
    assert not found["changed"]
    assert not found["gone"]


def test_no_packet_of_a_user_takes_another_way(found: Any) -> None:
    assert set(found["by_pop"]) == {"fra1"}


def test_status_says_where_traffic_really_goes(found: Any) -> None:
    (policy,) = found["status"]["policies"]
    assert found["status"]["observing"] is True
    assert (policy["state"], policy["path"]) == ("observing", FRA)
    assert policy["choice"] != FRA
    assert "only observes" in found["shown"]["status"]
    assert f"traffic really goes by {FRA}" in found["shown"]["why"]
    assert "on paper" in found["shown"]["history"]
    assert "would move users: fra1/tun-fra1 -> " in found["log"]
    assert found["metric"] == 1.0


def test_savings_are_told(found: Any) -> None:
    saved = found["saved"]
    assert saved["path"] == FRA
    assert saved["was"]["rtt_ms"] > saved["would"]["rtt_ms"]
    assert saved["was"]["lost"] > saved["would"]["lost"]
    assert saved["moves"] >= 1
    assert (saved["last"][0]["from"], saved["last"][-1]["to"]) == (FRA, saved["choice"])
    assert "ms of RTT saved" in found["shown"]["savings"]


def test_the_recording_tells_the_same_savings(found: Any) -> None:
    saved, replayed = found["saved"], found["replayed"]
    assert replayed["moves"] == saved["moves"]
    # The recording goes on until the daemon ended, be that a moment or, on a machine that stalls, seconds.
    more = replayed["seconds"] - saved["seconds"]
    assert more >= 0.0
    for way in ("was", "would"):
        told, whole = (one[way]["rtt_ms"] * one["seconds"] for one in (saved, replayed))
        assert 0.98 * told <= whole <= 1.02 * told + DEAREST_MS * more


OTHER_GATEWAY = """
[[pop]]
name = "far1"
paths = [{ name = "near", dev = "uplink", via = "192.0.2.2", target = "198.51.100.77" },
         { name = "far", dev = "uplink", via = "192.0.2.99", target = "198.51.100.77" }]
"""


def reloaded() -> Any:
    with World() as world:
        until(lambda: "tentative" not in gateway("ip", "address"))
        config = world.gateway_config()
        started(world, config, "--observe")
        before = kernel()
        extra = OTHER_GATEWAY.replace("uplink", UPLINK.device)
        (world.directory / "steerd.toml").write_text(config + extra)
        code, answer = ask(world, "reload")
        until(lambda: any(one["path"] == "far1/near" for one in status(world)["paths"]))
        seen = {one["path"]: one for one in status(world)["paths"]}
        return {
            "goes": status(world)["policies"][0]["goes"],
            "reload": [code, answer],
            "changed": [name for name, text in kernel().items() if before[name] != text],
            "near": seen["far1/near"]["reason"],
            "far": [seen["far1/far"]["state"], seen["far1/far"]["reason"]],
            "choice": status(world)["policies"][0]["choice"],
            "remarks": status(world)["remarks"],
        }


def test_a_reload_while_observing_touches_nothing_and_says_what_cannot_be_measured() -> None:
    found = scene("reloaded")
    assert found["reload"][0] == 0
    assert not found["changed"]
    assert found["goes"] == "IPv4 by far1/near; IPv6 by wan0 through 2001:db8::2, which is no path of it"
    assert "measured" not in found["near"]
    assert found["far"][0] == "absent"
    assert "its target 198.51.100.77 is reached through 192.0.2.2, not through 192.0.2.99" in found["far"][1]
    assert any("far1/far cannot be measured while steerd only observes" in one for one in found["remarks"])
    assert found["choice"] == FRA


def after_steering() -> Any:
    with World(rate=50) as world:
        until(lambda: "tentative" not in gateway("ip", "address"))
        steering = started(world, world.gateway_config())
        until(lambda: "proto 210" in gateway("ip", "rule"))
        until(lambda: status(world)["policies"][0]["choice"] == FRA)
        steering.terminate()
        steering.wait(20)
        before = kernel()
        observing = started(world, world.gateway_config(), "--observe")
        until(lambda: status(world)["policies"][0].get("path") == FRA)
        seen = status(world)
        observing.terminate()
        observing.wait(20)
        return {
            "changed": [name for name, text in kernel().items() if before[name] != text],
            "policy": seen["policies"][0],
            "remarks": seen["remarks"],
        }


def test_what_an_earlier_run_left_is_not_touched_either_and_named() -> None:
    found = scene("after_steering")
    assert not found["changed"]
    assert found["policy"]["state"] == "observing"
    assert any("stop it and `steerd cleanup -c " in one for one in found["remarks"])


def guarded() -> Any:
    with World() as world:
        until(lambda: "tentative" not in gateway("ip", "address"))
        config = world.gateway_config().replace('name = "users"', 'name = "users"\nleak_guard = true')
        (world.directory / "steerd.toml").write_text(config)
        gateway(sys.executable, "-m", "steerd.cli.steerd", "guard", "-c", str(world.directory / "steerd.toml"))
        before = kernel()
        observing = started(world, config, "--observe")
        remarks = status(world)["remarks"]
        observing.terminate()
        observing.wait(20)
        return {"changed": [name for name, text in kernel().items() if before[name] != text], "remarks": remarks}


@pytest.mark.nft
def test_a_leak_guard_that_is_in_place_is_left_and_named() -> None:
    found = scene("guarded")
    assert not found["changed"]
    assert any(
        "the leak guard, table inet steerd of nftables, is in place, and drops" in one for one in found["remarks"]
    )


def with_few_rights() -> Any:
    with World() as world:
        led_by("tun-fra1")
        until(lambda: "tentative" not in gateway("ip", "address"))
        file = world.directory / "steerd.toml"
        file.write_text(world.gateway_config())
        few = ["setpriv", "--bounding-set", "-all,+net_raw", "--inh-caps", "-all,+net_raw"]
        command = [*few, sys.executable, "-m", "steerd.cli.steerd", "run", "-c", str(file), "--observe"]
        with LOG.open("a") as log:
            daemon = world.spawn("gw", command, stderr=log)
        until(lambda: status(world)["policies"][0].get("path") == FRA)
        until(lambda: all(one["state"] == "up" for one in status(world)["paths"]))
        rights = next(one for one in Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if "CapEff" in one)
        return {"rights": int(rights.split()[1], 16), "log": LOG.read_text()}


def test_the_right_to_send_probes_is_enough() -> None:
    found = scene("with_few_rights")
    assert found["rights"] == 1 << 13  # CAP_NET_RAW
    assert "ERROR" not in found["log"]
    assert f"users: its traffic goes by {FRA} now, and begins there on paper" in found["log"]
