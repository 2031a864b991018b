"""Broken machines, one fault each: `check --live` names it, what it says is done to the letter, and packets flow.

The daemon runs beside it all the time, so that its own rules, routes and tables are seen to be no findings.
"""

import contextlib
import re
import subprocess
import sys
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, run
from steerd.lab.world.world import World
from tests.lab.live import FILE, arrives, check, command, cure, fails, shell
from tests.lab.test_daemon import ask, start, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker, pytest.mark.nft]

DOCKER = """nft -f - <<'END'
table ip filter {
    chain DOCKER-USER { counter return; }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        counter jump DOCKER-USER
        iifname "docker0" counter accept
    }
}
END
"""
AWAY = "ip route add default via 192.0.2.2 table {0}; ip rule add priority {1} lookup {0}"

MACHINES = {
    "forwarding": ("sysctl -w net.ipv4.ip_forward=0", "not-forwarded", 4),
    "forwarding6": ("sysctl -w net.ipv6.conf.all.forwarding=0", "not-forwarded", 6),
    "forwarding of the LAN": ("sysctl -w net.ipv4.conf.lan0.forwarding=0", "not-forwarded", 4),
    "Docker": (DOCKER, "chain-drops", 4),
    "a rule that comes first": (AWAY.format(100, 100), "rule-before", 4),
    "a rule with steerd's marks": (
        "ip route add blackhole default table 101; ip rule add fwmark 0/0xff000000 priority 101 lookup 101",
        "numbers-taken",
        4,
    ),
    "a default route in pieces": (
        "ip route add 198.18.0.0/16 via 192.0.2.2; ip route add 198.19.0.0/16 via 192.0.2.2",
        "main-takes",
        4,
    ),
}
"""What breaks it, how that is called, and of which family packets are lost then."""


def machines() -> Any:
    """Each in turn, cured by what is said."""
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        FILE.write_text(world.gateway_config())
        found["before"] = check()
        start(world, world.gateway_config())
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        arrives(world)
        found["beside"] = check()
        for name, (broken, _, family) in MACHINES.items():
            shell(broken)
            fails(world, family)
            found[name] = [check()]
            for finding in found[name][0][1]:
                cure(finding)
                if finding["by"] == "set":
                    assert ask(world, "reload")[0] == 0
            arrives(world)
            found[name].append(check())
    return found


def test_each_broken_machine_is_named_and_its_cure_lets_packets_through_again() -> None:
    found = run(f"{__name__}:machines")
    assert found.pop("before") == [0, []]
    assert found.pop("beside") == [0, []]
    assert found.keys() == MACHINES.keys()
    for name, (_, id_, _) in MACHINES.items():
        (code, findings), after = found[name]
        assert (name, code, [one["id"] for one in findings]) == (name, 69, [id_])
        assert after == [0, []], name


def down() -> Any:
    found = {}
    with World(rate=50) as world:
        start(world, world.gateway_config())
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        world.pops["ams1"].link(up=False)
        until(lambda: status(world)["paths"][1]["state"] == "absent")
        found["broken"] = check()
        cure(found["broken"][1][0])
        until(lambda: status(world)["paths"][1]["state"] == "up")
        found["cured"] = check()
    return found


def test_a_device_that_is_down_is_named_and_its_cure_brings_the_path_back() -> None:
    found = run(f"{__name__}:down")
    code, findings = found["broken"]
    assert (code, [one["id"] for one in findings]) == (69, ["device-down"])
    assert findings[0]["place"] == "path ams1/tun-ams1, dev"
    assert findings[0]["cure"] == "ip link set tun-ams1 up"
    assert found["cured"] == [0, []]


def strict() -> Any:
    """Established connections stay on a path that is drained, and their answers are dropped there."""
    found = {}
    with World(rate=50) as world:
        config = world.gateway_config().replace('flows = "move"', 'flows = "pin"')
        start(world, config)
        until(lambda: all(path["state"] == "up" for path in status(world)["paths"]))
        until(lambda: status(world)["policies"][0]["choice"] == "fra1/tun-fra1")
        arrives(world)
        shell("sysctl -w net.ipv4.conf.tun-fra1.rp_filter=1")
        assert ask(world, "drain", "fra1")[0] == 0
        fails(world, 4)
        found["broken"] = check()
        cure(found["broken"][1][0])
        arrives(world)
        found["cured"] = check()
    return found


def test_a_strict_reverse_path_filter_is_named_where_connections_are_pinned() -> None:
    found = run(f"{__name__}:strict")
    code, findings = found["broken"]
    assert (code, [one["id"] for one in findings]) == (0, ["rp-filter-strict"])
    assert findings[0]["cure"] == "sysctl -w net.ipv4.conf.tun-fra1.rp_filter=2"
    assert found["cured"] == [0, []]


def taken() -> Any:
    """What keeps the daemon from starting: routes of FRR's in its table, and another steerd."""
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = world.gateway_config()
        FILE.write_text(config)
        shell("ip route add 198.18.0.0/24 via 192.0.2.2 table 4205 proto bgp")
        found["frr"] = check()
        with (RUN / "steerd.log").open("a") as log:
            found["refused"] = world.run_daemon(config, stderr=log).wait(60)
        for finding in found["frr"][1]:
            cure(finding)
        config = FILE.read_text()
        other = RUN / "other.toml"
        other.write_text(
            config.replace("control.sock", "other.sock").replace("/store", "/other").replace(":9911", ":0")
        )
        steerd = [sys.executable, "-m", "steerd.cli.steerd", "run", str(other)]
        second = world.spawn("gw", steerd, stderr=subprocess.DEVNULL)
        until((RUN / "other.sock").exists)
        found["second"], found["pid"] = check(), second.pid
        for finding in found["second"][1]:
            cure(finding)
        second.wait(60)
        found["cured"] = check()
        start(world, config)
        arrives(world)
    return found


def test_what_keeps_the_daemon_from_starting_is_named_and_after_its_cure_it_starts() -> None:
    found = run(f"{__name__}:taken")
    code, findings = found["frr"]
    assert (code, [one["cure"] for one in findings]) == (69, ["route.table = 5200"])
    assert found["refused"] == 1
    code, findings = found["second"]
    assert (code, [one["id"] for one in findings]) == (69, ["second-steerd"])
    assert findings[0]["cure"] == f"kill {found['pid']}"
    assert found["cured"] == [0, []]


EVERYTHING = """
ip -d link; ip addr; ip -d -4 rule; ip -d -6 rule; ip -d nexthop
ip -d -4 route show table all; ip -d -6 route show table all; nft list ruleset; sysctl -a --pattern '^net\\.ipv[46]'
"""
_CHANGES = re.compile(r"\b(packets|expires|valid_lft|preferred_lft|idle_time) \S+|neigh\S*|\S*_(?:mem|count)\b.*")


def everything() -> set[str]:
    """Without what comes with time: link-local addresses appear once nobody else was found to have them."""
    return {line for line in _CHANGES.sub("", shell(EVERYTHING)).splitlines() if "fe80::" not in line}


def untouched() -> Any:
    """Before the daemon has ever run, and beside it; with nothing wrong, and with all targets silent."""
    found = []
    with World() as world:
        FILE.write_text(world.gateway_config())
        for _ in range(2):
            for dead in (False, True):
                for pop in world.pops.values():
                    pop.set(dead=dead)
                before = everything()
                code, _ = check()
                found.append([code, sorted(before ^ everything())])
                for pop in world.pops.values():
                    pop.set(dead=False)
            if len(found) == 2:
                start(world, world.gateway_config().replace("[route]\n", "[route]\ncount = false\n"))
    return found


def test_no_rule_route_table_or_sysctl_is_touched() -> None:
    found = run(f"{__name__}:untouched")
    assert found == [[0, []], [69, []]] * 2


def unprivileged() -> Any:
    """As somebody who may do nothing, on a healthy machine and on a broken one, before and beside the daemon."""
    found = {}
    drop = "import os; os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)"
    script = (
        "import encodings.idna, sys\n"
        "import steerd.cli.verbs.live, steerd.cli.steerd, steerd.machine.reading, steerd.config.gateway.load\n"
        f"{drop}\nsys.exit(steerd.cli.steerd.main(['check', '--live', sys.argv[1], *sys.argv[2:]]))"
    )

    def look(*arguments: str) -> list[Any]:
        asked = namespaces.command("gw", [sys.executable, "-c", script, str(FILE), *arguments])
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
        return [done.returncode, done.stdout, done.stderr]

    with World() as world, contextlib.suppress(KeyboardInterrupt):
        FILE.write_text(world.gateway_config())
        found["before"] = look()
        start(world, world.gateway_config())
        found["beside"] = look()
        namespaces.sysctl("gw", ipv4__ip_forward=0)
        found["broken"] = look("--json")
        found["command"] = command()[-3:]
    return found


def test_who_may_do_nothing_is_told_what_could_not_be_looked_at() -> None:
    if not _has_others():
        pytest.skip("this user namespace has no other user")
    found = run(f"{__name__}:unprivileged")
    for when in ("before", "beside"):
        code, shown, errors = found[when]
        assert (code, errors) == (0, ""), when
        words = " ".join(shown.split())
        assert "0 errors" not in words
        assert words.count("warning:") == 1, shown
        assert "could not look at WireGuard devices (CAP_NET_ADMIN is missing)" in words
        assert "nftables (CAP_NET_ADMIN is missing)" in words
        assert "targets (CAP_NET_RAW is missing)" in words
        assert "do: Run it again as root." in words
    code, shown, errors = found["broken"]
    assert (code, errors) == (69, "")
    assert '"cure": "sysctl -w net.ipv4.ip_forward=1"' in shown


def _has_others() -> bool:
    from tests.lab.test_plan_unprivileged import NOBODY, is_mapped

    return is_mapped(NOBODY)
