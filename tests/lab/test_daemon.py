"""The real daemon in the lab's world: what would page somebody, on real packets.

Time is asserted on packets lost and probes sent; how fast a decision falls is asserted in the scenarios.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.world import METRICS, TENANT, World
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

SOCKET = "/run/steerd-lab/control.sock"
FILE = Path("/run/steerd-lab/steerd.toml")
LOG = Path("/run/steerd-lab/steerd.log")
MISTAKES = Path(__file__).parents[1] / "unit" / "test_config_mistakes.toml"


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def start(world: World, config: str) -> subprocess.Popen[Any]:
    """The daemon, once it has made or adopted its choice."""
    with LOG.open("a") as log:
        daemon = world.run_daemon(config, stderr=log)
    until(lambda: status(world)["policies"][0]["choice"] is not None)
    return daemon


def ask(world: World, *arguments: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "steerd.cli.steerctl", "--socket", SOCKET, *arguments, "--json"]
    process = world.spawn("gw", command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=60)
    return process.returncode, json.loads(output or "null")


def status(world: World) -> Any:
    code, answer = ask(world, "status")
    if code:
        return {"policies": [{"choice": None, "policy": None}], "paths": []}
    return answer


def metric(name: str) -> float:
    """One sample of /metrics, by its name and labels as they are printed."""
    return next(float(line.rsplit(" ", 1)[1]) for line in metrics().splitlines() if line.startswith(name))


def metrics() -> str:
    """The page as it is."""
    command = namespaces.command("gw", [sys.executable, "-c", FETCH, f"http://{METRICS}/metrics"])
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


def reaches(namespace: str, address: str) -> bool:
    """Whether a UDP datagram comes back from an echo server: `ping` may not be installed."""
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.settimeout(1)\n"
        "for _ in range(3):\n"
        "    s.sendto(b'x', (sys.argv[1], 7))\n"
        "    try:\n"
        "        s.recv(9); sys.exit(0)\n"
        "    except OSError:\n"
        "        pass\n"
        "sys.exit(1)\n"
    )
    command = namespaces.command(namespace, [sys.executable, "-c", code, address])
    return subprocess.run(command, check=False, timeout=10).returncode == 0


REFUSED = 'steerd_refused_total{{reason="reload",source="{}"}}'
ECHO = (
    "import socket\n"
    "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 7))\n"
    "while True:\n"
    "    data, peer = s.recvfrom(99); s.sendto(data, peer)\n"
)


def full_tunnel(rp_filter: int) -> Any:
    with World(full_tunnel=True, rp_filter=rp_filter, rate=50) as world:
        for namespace in ("lan", "gw"):
            world.spawn(namespace, [sys.executable, "-c", ECHO])
        start(world, world.gateway_config())
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        began = time.monotonic()
        time.sleep(2.0)
        world.pops["fra1"].set(dead=True)
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/tun-ams1")
        time.sleep(2.0)
        ended = time.monotonic()
        time.sleep(1.2)
        before = world.traffic.between(began, began + 1.8)
        after = world.traffic.between(ended - 1.5, ended)
        assert world.admin is not None
        session = world.admin.session()
        return {
            "reaches": {
                f"{origin} -> {address}": reaches(origin, address)
                for origin, address in [
                    ("lan", "10.77.0.1"),
                    ("lan", "fd77::1"),
                    ("gw", "10.77.0.2"),
                    ("gw", "fd77::2"),
                ]
            },
            "states": {path["path"]: path["state"] for path in status(world)["paths"]},
            "admin": session.alive,
            "nested": world.nested(),
            "leaked": world.outside.leaked(began),
            "outer": world.outside.outer(began),
            "before": [before.by_pop, before.lost],
            "after": [after.by_pop, after.lost],
        }


@pytest.mark.parametrize("rp_filter", [1, 2])
def test_a_full_tunnel_leaves_the_lan_the_admin_and_the_tunnels_alone(rp_filter: int) -> None:
    found = scene("full_tunnel", rp_filter)
    assert all(found["reaches"].values()), found["reaches"]
    assert found["states"] == {
        "fra1/tun-fra1": "down",
        "ams1/tun-ams1": "up",
        "par1/tun-par1": "up",
        "nyc1/tun-nyc1": "up",
    }
    assert found["admin"]
    assert set(found["nested"].values()) == {0}
    assert found["leaked"] == 0
    assert found["outer"] > 80
    assert set(found["before"][0]) == {"fra1"}
    assert set(found["after"][0]) == {"ams1"}
    assert found["before"][1] == found["after"][1] == 0


def killed() -> Any:
    with World(rate=200) as world:
        config = world.gateway_config()
        daemon = start(world, config)
        ask(world, "drain", "nyc1", "--for", "1h")
        ask(world, "pin", "users", "ams1")
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/tun-ams1")
        time.sleep(0.5)
        before = state_of_kernel()
        began = time.monotonic()
        daemon.kill()
        daemon.wait()
        time.sleep(0.5)
        start(world, config)
        time.sleep(4.0)
        found = status(world)
        page = ask(world, "status", "--format", "prometheus")[1]["metrics"]
        command = f"stty cols 80; {sys.executable} -m steerd.cli.steerctl --socket {SOCKET} status"
        shown = namespaces.command("gw", ["script", "-qec", command, "/dev/null"])
        terminal = subprocess.run(shown, capture_output=True, text=True, check=True, timeout=60).stdout
        ended = time.monotonic()
        time.sleep(1.1)
        window = world.traffic.between(began, ended)
        return {
            "changed": sorted(set(state_of_kernel()) ^ set(before)),
            "by_pop": window.by_pop,
            "lost": window.lost,
            "policy": found["policies"][0],
            "drains": found["drains"],
            "terminal": terminal,
            "families": [
                sorted({line.split()[2] for line in text.splitlines() if "# TYPE" in line})
                for text in (page, metrics())
            ],
            "switches": ask(world, "history")[1]["switches"],
            "log": LOG.read_text(),
        }


def state_of_kernel() -> list[str]:
    lines: list[str] = []
    for what in ("-4 rule", "-6 rule", "nexthop", "-4 route show table all", "-6 route show table all"):
        command = ["ip", "-n", "gw", *what.split()]
        lines += subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(line for line in lines if "proto 210" in line or "nhid" in line)


def test_a_kill_and_a_restart_move_no_packet_and_forget_no_order() -> None:
    found = scene("killed")
    assert not found["changed"]
    assert set(found["by_pop"]) == {"ams1"}
    assert found["lost"] == 0
    assert found["policy"]["choice"] == "ams1/tun-ams1"
    assert found["policy"]["pin"]["pop"] == "ams1"
    assert [(one["pop"], one["left_s"] > 3500) for one in found["drains"]] == [("nyc1", True)]
    assert "adopted ams1/tun-ams1" in found["log"]
    assert "\x1b[32mams1/tun-ams1    up " in found["terminal"]
    assert found["families"][0] == found["families"][1]
    assert len(found["families"][0]) > 30
    assert [one["to"] for one in found["switches"]] == ["ams1/tun-ams1", "fra1/tun-fra1"]


def broker_gone() -> Any:
    with World(rate=50) as world:
        start(world, world.gateway_config())
        topics = [f"steer/v1/{TENANT}/gw/lab/gw-lab/{name}" for name in ("state", "score")]
        until(lambda: all(topic in world.broker.latest for topic in topics))
        world.broker.stop()
        world.pops["fra1"].set(dead=True)
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/tun-ams1")
        time.sleep(0.5)
        began = time.monotonic()
        time.sleep(2.0)
        connected = metric("steerd_mqtt_connected")
        world.broker.latest.clear()
        world.broker.start()
        until(lambda: all(topic in world.broker.latest for topic in topics))
        ended = time.monotonic()
        time.sleep(1.1)
        last = world.traffic.between(began, ended)
        return {
            "connected": connected,
            "lost": last.lost,
            "by_pop": last.by_pop,
            "state": json.loads(world.broker.latest[topics[0]]),
        }


def test_without_a_broker_steering_goes_on_and_afterwards_the_topics_are_back() -> None:
    found = scene("broker_gone")
    assert found["connected"] == 0
    assert found["lost"] == 0
    assert set(found["by_pop"]) == {"ams1"}
    assert found["state"]["online"] is True


def reloads() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = world.gateway_config()
        daemon = start(world, config)
        began = time.monotonic()
        before, kernel = status(world), state_of_kernel()
        FILE.write_text(MISTAKES.read_text())
        daemon.send_signal(signal.SIGHUP)
        until(lambda: metric("steerd_config_last_reload_successful") == 0)
        after = status(world)
        found["same"] = [before["policies"][0][name] == after["policies"][0][name] for name in ("choice", "runner_up")]
        found["paths"] = [one["path"] for one in after["paths"]] == [one["path"] for one in before["paths"]]
        found["kernel"] = state_of_kernel() == kernel
        found["logged"] = LOG.read_text().count("not reloaded")
        found["refused"], answer = ask(world, "reload")
        found["problems"] = len(answer["problems"])
        found["counted"] = [
            metric(REFUSED.format("config")),
            metric(REFUSED.format("control")),
        ]
        checked = subprocess.run(
            [sys.executable, "-m", "steerd.cli.steerd", "check", str(FILE)], capture_output=True, text=True, check=False
        )
        found["check"] = [checked.returncode, len(checked.stderr.strip().splitlines())]

        # Ten samples of each: the first ones come late, while devices learn their neighbours.
        until(lambda: all(one["state"] == "up" and one["samples"] >= 10 for one in status(world)["paths"]))
        FILE.write_text(config.replace("fra1", "gone").replace("tun-gone", "tun-none"))
        found["renamed"] = ask(world, "reload")[0]
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/tun-ams1")
        found["reasons"] = [one["reason"] for one in reversed(ask(world, "history")[1]["switches"])]
        FILE.write_text(config)
        found["back"] = ask(world, "reload")[0]
        found["good"] = metric("steerd_config_last_reload_successful")
        until(lambda: next(p for p in status(world)["paths"] if p["pop"] == "fra1")["state"] == "up")
        ended = time.monotonic()
        time.sleep(1.1)
        window = world.traffic.between(began, ended)
        found["lost"], found["by_pop"] = window.lost, sorted(window.by_pop)
        found["leaked"] = world.outside.leaked(began)
    return found


def test_a_bad_reload_changes_nothing_and_a_good_one_loses_nothing() -> None:
    found = scene("reloads")
    assert found["same"] == [True, True]
    assert found["paths"]
    assert found["kernel"]
    assert found["logged"] == 21
    assert (found["refused"], found["problems"]) == (78, 21)
    assert found["counted"] == [2, 1]
    assert found["check"] == [78, 21]
    assert (found["renamed"], found["back"], found["good"]) == (0, 0, 1)
    assert found["reasons"] == ["start", "policy"]
    assert found["lost"] == 0
    assert found["by_pop"] == ["ams1", "fra1"]
    assert found["leaked"] == 0


def crowded() -> Any:
    """A second daemon, and a listening address that is taken: at the start, and by a reload."""
    found: dict[str, Any] = {}
    with World(rate=200) as world:
        config = world.gateway_config()
        daemon = start(world, config)
        found["loaded"] = metric("steerd_config_last_reload_successful")
        began, kernel = time.monotonic(), state_of_kernel()
        other = FILE.with_name("other.toml")
        for stop in ("cleanup", "block"):
            other.write_text(config.replace("[route]", f'[route]\non_stop = "{stop}"'))
            command = [sys.executable, "-m", "steerd.cli.steerd", "run", "-c", str(other)]
            found[stop] = world.spawn("gw", command, stderr=subprocess.DEVNULL).wait(60)
        found["kernel"] = state_of_kernel() == kernel
        other = world.spawn("gw", [sys.executable, "-c", LISTEN, "9950"], stdout=subprocess.PIPE)
        assert other.stdout is not None
        other.stdout.readline()
        FILE.write_text(config.replace(METRICS, "127.0.0.1:9950"))
        found["refused"], answer = ask(world, "reload")
        found["problems"] = answer["problems"]
        daemon.send_signal(signal.SIGHUP)
        until(lambda: LOG.read_text().count("not reloaded") == 2)
        found["served"] = metric("steerd_config_last_reload_successful")
        FILE.write_text(config)
        found["mended"] = ask(world, "reload")[0]
        ended = time.monotonic()
        time.sleep(1.1)
        found["lost"] = world.traffic.between(began, ended).lost
        found["leaked"] = world.outside.leaked(began)
    return found


LISTEN = """
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
time.sleep(90)
"""


def test_what_is_taken_is_found_before_anything_is_touched() -> None:
    found = scene("crowded")
    assert found["loaded"] == 1
    assert (found["cleanup"], found["block"]) == (1, 1)
    assert found["kernel"]
    assert (found["refused"], len(found["problems"]), found["served"], found["mended"]) == (78, 1, 0, 0)
    assert found["lost"] == found["leaked"] == 0


def many() -> Any:
    with World(rate=50) as world:
        prefixes = [f"100.{64 + n // 256}.{n % 256}.0/24" for n in range(10_000)]
        prefixes += [f"2001:db8:{n:x}::/48" for n in range(0x1000, 0x1000 + 10_000)]
        listed = FILE.with_name("prefixes")
        listed.write_text("\n".join([*prefixes, *world.steered]))
        config = world.gateway_config().replace(
            'prefixes = ["198.18.0.0/15", "2001:2::/48"]', f'prefixes_file = "{listed}"'
        )
        start(world, config)
        until(lambda: metric("steerd_switch_duration_seconds_count") >= 1)
        routes = {family: metric(f'steerd_routes_installed{{policy="users",family="{family}"}}') for family in FAMILIES}
        took = metric("steerd_switch_duration_seconds_sum")
        times = metric("steerd_switch_duration_seconds_count")
        began = time.monotonic()
        ask(world, "drain", "fra1")
        until(lambda: status(world)["policies"][0]["choice"] == "ams1/tun-ams1")
        took = metric("steerd_switch_duration_seconds_sum") - took
        times = metric("steerd_switch_duration_seconds_count") - times
        time.sleep(1.1)
        window = world.traffic.between(began, time.monotonic() - 1.0)
        return {"routes": routes, "took": took, "times": times, "lost": window.lost, "code": ask(world, "why")[0]}


FAMILIES = ("ipv4", "ipv6")


def test_ten_thousand_prefixes_move_at_once() -> None:
    """That it is one message a family is asserted where messages are counted: in the route stage's tests."""
    found = scene("many")
    assert found["routes"] == {"ipv4": 10_001, "ipv6": 10_001}
    assert found["lost"] == 0
    assert found["times"] >= 1
    assert found["took"] / found["times"] < 1.0
