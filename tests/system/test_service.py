"""The package on a Debian 12 with a real systemd, as the gateway of a full tunnel whose uplink sees every leak."""

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.waiting import until
from tests.system import gateway
from tests.system.gateway import foreign, install, journal, moved, ours, restarted, settled, start
from tests.system.machine import Machine
from tests.system.package import renumbered

pytestmark = [pytest.mark.system, pytest.mark.lab, pytest.mark.broker]


def scene(name: str, *arguments: Any, timeout: float = 120.0) -> Any:
    return run(f"{__name__}:{name}", *map(str, arguments), timeout=timeout)


LEFT = """
find / -xdev -name '*steerd*' -not -path '/root/*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/var/log/*' \
  -not -path '/var/cache/apt/*' 2>/dev/null
getent passwd steerd
getent group steerd
true
"""


def installed(package: str) -> Any:
    found: dict[str, Any] = {}
    with World(full_tunnel=True, rate=100) as world, Machine() as machine:
        before = settled()
        install(machine, package)
        found["by itself"] = [machine.run("systemctl", "is-enabled", "steerd", check=False).strip(), ours()]
        machine.write(gateway.CONFIG, gateway.config(world))
        machine.run("systemctl", "enable", "-q", "--now", "steerd")
        found["at READY"] = [machine.show("ActiveState"), machine.show("StatusText"), len(ours()) > 0]
        gateway.steering(machine)
        found["steering"] = machine.show("StatusText")
        began = time.monotonic()
        time.sleep(1.0)
        found["security"] = float(machine.run("systemd-analyze", "security", "steerd").split("level for")[1].split()[1])
        process = machine.show("MainPID")
        found["process"] = machine.run("ps", "-o", "user=,comm=", "-p", process).split()
        found["capabilities"] = machine.run("grep", "CapEff", f"/proc/{process}/status").split()[1]
        found["files"] = machine.run("stat", "-c", "%U:%G %a", "/etc/steerd", gateway.CONFIG, "/run/steerd").split("\n")
        fields = machine.run("journalctl", "-u", "steerd", "-o", "json", "--output-fields=PRIORITY,SYSLOG_IDENTIFIER")
        found["journal"] = [
            sorted(set(re.findall(r'"PRIORITY":"(\d)"', fields))),
            # systemd's own processes say so too: "(sd-mkdcreds)".
            sorted(set(re.findall(r'"SYSLOG_IDENTIFIER":"([^("]*)"', fields)) - {"systemd"}),
        ]
        machine.run("systemctl", "stop", "steerd")
        found["stopped"] = [machine.show("Result"), machine.show("ExecMainStatus")]
        machine.run("systemctl", "start", "steerd")
        gateway.steering(machine)
        found["leaked"] = world.outside.leaked(began)
        machine.write("/etc/credstore/steerd.mqtt-key", "secret\n")
        machine.run("apt-get", "remove", "-y", "steerd")
        found["removed"] = [ours(), [line for line in gateway.tables(machine) if "steerd" in line]]
        found["config kept"] = (machine.root / gateway.CONFIG.lstrip("/")).exists()
        machine.run("apt-get", "purge", "-y", "steerd")
        found["purged"] = machine.run("sh", "-c", LEFT).split()
        found["credstore"] = (machine.root / "etc/credstore").exists()
        found["foreign"] = moved(foreign(), before)
    return found


def test_one_package_one_file_one_command(package: Path) -> None:
    found = scene("installed", package)
    assert found["by itself"] == ["disabled", []]
    assert found["at READY"][0] == "active"
    assert found["at READY"][1].startswith("users: ")
    assert found["at READY"][2]
    assert found["steering"] == "users: fra1/tun-fra1"
    assert found["security"] <= 2.0
    assert found["process"][0] == "steerd"
    assert int(found["capabilities"], 16) == 1 << 12 | 1 << 13  # CAP_NET_ADMIN, CAP_NET_RAW
    assert found["files"][:3] == ["root:steerd 750", "root:steerd 640", "steerd:steerd 750"]
    assert found["journal"] == [["6"], ["steerd"]]
    assert found["stopped"] == ["success", "0"]
    assert found["leaked"] == 0
    assert found["removed"] == [[], []]
    assert found["config kept"]
    assert found["purged"] == []
    assert not found["credstore"]
    assert found["foreign"] == []


def changed(package: str, newer: str) -> Any:
    found: dict[str, Any] = {}
    with World(full_tunnel=True, rate=100) as world, Machine() as machine:
        start(machine, world, package)
        until(lambda: "fra1" in (gateway.choice(machine) or ""))  # whoever answers first is the first choice
        began, held, others = time.monotonic(), ours(), foreign()
        good = gateway.config(world)
        machine.write(gateway.CONFIG, good + "\nnonsense = 1\n")
        pid = machine.show("MainPID")
        machine.run("systemctl", "reload", "steerd")
        time.sleep(0.5)
        found["bad reload"] = [machine.show("MainPID") == pid, "nonsense" in journal(machine, "-p", "err")]
        machine.write(gateway.CONFIG, good.replace("200ms", "250ms"))
        machine.run("systemctl", "reload", "steerd")
        until(lambda: "reloaded" in journal(machine))
        machine.write(gateway.CONFIG, good)
        for name, change in (
            ("upgrade", lambda: install(machine, newer, "--allow-downgrades")),
            ("downgrade", lambda: install(machine, package, "--allow-downgrades")),
            # As the release's next Python has it done.
            (
                "another Python",
                lambda: machine.run(
                    "sh", "-c", "dpkg-trigger --by-package=python3-minimal /usr/bin/python3 && dpkg --triggers-only -a"
                ),
            ),
        ):
            pid = machine.show("MainPID")
            change()
            restarted(machine, pid)
            gateway.steering(machine)
            kept = (machine.root / gateway.CONFIG.lstrip("/")).read_text() == good
            found[name] = [
                moved(ours(), held),
                moved(foreign(), others),
                kept,
                "adopted" in journal(machine, "-n", "20"),
            ]
        found["version"] = machine.run("dpkg-query", "-W", "-f", "${Version}", "steerd")
        time.sleep(0.3)
        found["went by"] = world.traffic.between(began, time.monotonic() - 0.2).by_pop
        found["leaked"] = world.outside.leaked(began)
    return found


def test_reload_upgrade_and_downgrade_move_nothing(package: Path, tmp_path: Path) -> None:
    found = scene("changed", package, renumbered(package, "99.0", tmp_path))
    assert found["bad reload"] == [True, True]
    assert found["upgrade"] == [[], [], True, True]
    assert found["downgrade"] == [[], [], True, True]
    assert found["another Python"] == [[], [], True, True]
    assert found["version"] != "99.0"
    assert set(found["went by"]) == {"fra1"}
    assert found["leaked"] == 0


def frozen(package: str) -> Any:
    with World(full_tunnel=True, rate=100) as world, Machine() as machine:
        machine.write("/etc/systemd/system/steerd.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n")
        start(machine, world, package)
        time.sleep(7.0)  # fed, it is left alone
        fed, began, held = machine.show("NRestarts"), time.monotonic(), ours()
        pid = machine.show("MainPID")
        machine.run("kill", "-STOP", pid)
        restarted(machine, pid)
        gateway.steering(machine)
        return {
            "fed": fed,
            "told": "Watchdog timeout" in journal(machine),
            "held": moved(ours(), held),
            "leaked": world.outside.leaked(began),
        }


def test_a_frozen_daemon_is_started_anew(package: Path) -> None:
    assert scene("frozen", package) == {"fed": "0", "told": True, "held": [], "leaked": 0}


def stopped(package: str, on_stop: str) -> Any:
    with World(full_tunnel=True, rate=100) as world, Machine() as machine:
        start(machine, world, package)
        text = gateway.config(world).replace("[route]", f'[route]\non_stop = "{on_stop}"')
        machine.write(gateway.CONFIG, text)
        machine.run("systemctl", "restart", "steerd")
        gateway.steering(machine)
        others, began = foreign(), time.monotonic()
        machine.run("systemctl", "stop", "steerd")
        time.sleep(0.3)
        stopped_at = time.monotonic()
        time.sleep(1.0)
        return {
            "arrived": sum(world.traffic.between(stopped_at, stopped_at + 0.8).by_pop.values()) > 0,
            "leaked": world.outside.leaked(began) > 0,
            "ours": len(ours()) > 0,
            "foreign": moved(foreign(), others),
            "result": machine.show("Result"),
        }


@pytest.mark.parametrize(
    ("on_stop", "arrived", "leaked", "left"),
    [("keep", True, False, True), ("block", False, False, True), ("cleanup", False, True, False)],
)
def test_a_stop_leaves_what_the_configuration_says(
    package: Path, on_stop: str, arrived: bool, leaked: bool, left: bool
) -> None:
    found = scene("stopped", package, on_stop)
    assert found == {"arrived": arrived, "leaked": leaked, "ours": left, "foreign": [], "result": "success"}


# As the lab has set the addresses: systemd-networkd 252 sets one with another broadcast address anew without end.
NETWORK = """[Match]
Name=wan0
[Network]
Gateway=192.0.2.2
Gateway=2001:db8::2
IPv6AcceptRA=no
LinkLocalAddressing=no
[Address]
Address=192.0.2.1/24
Broadcast=no
[Address]
Address=2001:db8::1/64
DuplicateAddressDetection=none
"""
TUNNEL = """[Match]
Name={device}
[Network]
IPv6AcceptRA=no
LinkLocalAddressing=no
[Address]
Address={address}/24
Broadcast=no
[Address]
Address={address6}/64
DuplicateAddressDetection=none
"""


def manage(machine: Machine, world: World) -> None:
    """Have systemd-networkd manage the uplink and the tunnels."""
    machine.write("/etc/systemd/network/wan.network", NETWORK)
    for pop in world.pops.values():
        own, own6 = pop.target.removesuffix("1") + "2", pop.target6.removesuffix("1") + "2"
        text = TUNNEL.format(device=pop.device, address=own, address6=own6)
        machine.write(f"/etc/systemd/network/{pop.device}.network", text)


def booted(package: str) -> Any:
    with World(full_tunnel=True, rate=100) as world, Machine() as machine:
        install(machine, package)
        machine.write(gateway.CONFIG, gateway.config(world))
        manage(machine, world)
        machine.run("systemctl", "enable", "-q", "systemd-networkd", "steerd", "steerd-guard")
        machine.off()
        # As after a power cut: no device is up, and the kernel has nothing of ours.
        namespaces.ip("link set wan0 down", "gw")
        found: dict[str, Any] = {"before": ours()}
        began = time.monotonic()
        machine.boot()
        gateway.steering(machine)
        found["leaked"] = world.outside.leaked(began)
        found["outer"] = world.outside.outer(began) > 0
        when = {
            unit: int(machine.show(name, unit))
            for unit, name in (
                ("steerd-guard", "ExecMainExitTimestampMonotonic"),
                ("systemd-networkd", "ExecMainStartTimestampMonotonic"),
                ("steerd", "ExecMainStartTimestampMonotonic"),
            )
        }
        found["order"] = sorted(when, key=lambda unit: when[unit])
        return found


def test_a_boot_lets_nothing_out(package: Path) -> None:
    found = scene("booted", package)
    assert found["before"] == []
    assert found["leaked"] == 0
    assert found["outer"]
    assert found["order"][0] == "steerd-guard"


def networkd_restarted(package: str, drop_in: str) -> Any:
    with World(full_tunnel=True, rate=100) as world, Machine() as machine:
        install(machine, package)
        machine.write(gateway.CONFIG, gateway.config(world))
        manage(machine, world)
        if drop_in == "True":
            example = machine.run("cat", "/usr/share/doc/steerd/examples/networkd.conf")
            machine.write("/etc/systemd/networkd.conf.d/steerd.conf", example)
        machine.run("systemctl", "start", "systemd-networkd", "steerd")
        gateway.steering(machine)
        held, began, repaired = ours(), time.monotonic(), repairs(machine)
        for _ in range(3):
            machine.run("systemctl", "restart", "systemd-networkd")
            time.sleep(1.5)
        until(lambda: ours() == held)
        gateway.steering(machine)
        return {
            "repaired": repairs(machine) - repaired,
            "leaked": world.outside.leaked(began),
            "told": "ManageForeignRoutes=no" in journal(machine, "-p", "warning"),
            "restarts": machine.show("NRestarts"),
        }


def repairs(machine: Machine) -> float:
    fetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9911/metrics').read().decode())"
    page = machine.run("python3", "-c", fetch)
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("steerd_repairs_total"))


@pytest.mark.parametrize("drop_in", [True, False])
def test_the_network_manager_restarts(package: Path, drop_in: bool) -> None:
    found = scene("networkd_restarted", package, drop_in)
    assert found["leaked"] == 0
    assert found["restarts"] == "0"
    if drop_in:
        assert found["repaired"] == 0
        assert not found["told"]
    else:
        assert found["told"]


def with_secret(package: str) -> Any:
    with World(full_tunnel=True) as world, Machine() as machine:
        install(machine, package)
        machine.write("/etc/credstore/steerd.mqtt-password", "secret\n")
        machine.run("chmod", "600", "/etc/credstore/steerd.mqtt-password")
        named = 'username = "gw"\npassword_file = "${CREDENTIALS_DIRECTORY}/steerd.mqtt-password"'
        machine.write(gateway.CONFIG, gateway.config(world).replace("[mqtt]", f"[mqtt]\n{named}"))
        machine.run("systemctl", "start", "steerd")
        gateway.steering(machine)
        until(lambda: "connected" in journal(machine))
        return {"warned": "cannot be read" in journal(machine), "state": machine.show("ActiveState")}


def test_a_secret_comes_from_the_credential_store(package: Path) -> None:
    assert scene("with_secret", package) == {"warned": False, "state": "active"}


def reflected(package: str) -> Any:
    with World(full_tunnel=True), Machine() as machine:
        install(machine, package)
        machine.run("systemctl", "start", "steerd-reflect")
        process = machine.show("MainPID", "steerd-reflect")
        return {
            "state": machine.show("ActiveState", "steerd-reflect"),
            "user": machine.run("ps", "-o", "user=", "-p", process).strip(),
            "port": [line.split()[3] for line in machine.run("ss", "-Hlun", "sport = :862").splitlines()],
            "security": machine.run("systemd-analyze", "security", "steerd-reflect").split("level for")[1].split()[1],
        }


def test_the_far_end_has_a_service_of_its_own(package: Path) -> None:
    found = scene("reflected", package)
    assert found["state"] == "active"
    assert found["user"] not in {"root", "steerd"}
    assert found["port"]
    assert float(found["security"]) <= 2.0


def refused(package: str) -> Any:
    with World(full_tunnel=True), Machine() as machine:
        install(machine, package)
        machine.write(gateway.CONFIG, "nonsense = 1\n")
        machine.succeeds("systemctl", "start", "steerd")
        time.sleep(2.5)
        return [machine.show("ActiveState"), machine.show("ExecMainStatus"), machine.show("NRestarts"), ours()]


def test_a_bad_configuration_is_not_tried_again(package: Path) -> None:
    assert scene("refused", package) == ["failed", "78", "0", []]


def into_a_bare_tree(package: str) -> Any:
    """As who builds an image does it: a tree in which nothing runs, with no /proc."""
    with World(full_tunnel=True):
        machine = Machine()
        shutil.copy(package, machine.root / "root/steerd.deb")
        command = ["chroot", machine.root, "dpkg", "-i", "/root/steerd.deb"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        with machine:
            folders = machine.run("stat", "-c", "%U:%G %a", "/etc/steerd", "/etc/credstore").splitlines()
            return [done.returncode, done.stdout + done.stderr, folders]


def test_it_installs_into_a_tree_that_is_not_running(package: Path) -> None:
    code, output, folders = scene("into_a_bare_tree", package)
    assert code == 0, output
    assert folders == ["root:steerd 750", "root:root 700"]


def test_random_kills_move_nothing(package: Path) -> None:
    from tests.system.kills import judged

    assert judged(package, 10) == []
