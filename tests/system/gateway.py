"""A gateway with steerd from its package: what the system tests start from and look at."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from steerd.lab.world.world import World
from tests.lab.waiting import until
from tests.system.machine import Machine

CONFIG = "/etc/steerd/steerd.toml"


def config(world: World, *, tables: str = "") -> str:
    """The world's, with sockets and files where the package has them."""
    return re.sub(r"\[(control|store)\]\n.*\n", "", world.gateway_config(tables=tables))


def install(machine: Machine, package: str, *options: str) -> str:
    """With apt, as its user would; there is no network to take anything else from."""
    shutil.copy(package, machine.root / "root")
    file = f"/root/{Path(package).name}"
    words = ("-y", "-o", "Dpkg::Options::=--force-confold", *options)
    return machine.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *words, file, timeout=120)


def start(machine: Machine, world: World, package: str, **changes: str) -> None:
    """Installed, told of the world's PoPs, started, and steering."""
    install(machine, package)
    machine.write(CONFIG, config(world, **changes))
    machine.run("systemctl", "enable", "-q", "--now", "steerd")
    steering(machine)


def status(machine: Machine) -> Any:
    answer = machine.run("steerctl", "status", "--json", check=False)
    found = json.loads(answer) if answer.strip() else {}
    return found if "policies" in found else {"policies": [{"choice": None}], "paths": []}


def choice(machine: Machine) -> str | None:
    name: str | None = status(machine)["policies"][0]["choice"]
    return name


def steering(machine: Machine) -> None:
    """With all paths heard."""
    until(
        lambda: choice(machine) and all(path["state"] == "up" for path in status(machine)["paths"]),
        told=lambda: journal(machine)[-3000:],
    )


def journal(machine: Machine, *options: str) -> str:
    return machine.run("journalctl", "-u", "steerd", "-o", "cat", *options, check=False)


def _kernel() -> list[str]:
    lines: list[str] = []
    for family in ("-4", "-6"):
        for words in (("rule",), ("route", "show", "table", "all")):
            command = ["ip", "-n", "gw", "-o", family, *words]
            lines += subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    command = ["ip", "-n", "gw", "-o", "nexthop"]
    return lines + subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def ours() -> list[str]:
    return [line for line in _kernel() if "proto 210" in line]


def foreign() -> list[str]:
    return [line for line in _kernel() if "proto 210" not in line]


def settled() -> list[str]:
    """What is foreign, once the kernel has done with the addresses of new devices."""
    seen: list[list[str]] = []

    def still() -> bool:
        time.sleep(0.5)
        seen.append(foreign())
        return len(seen) > 3 and seen[-1] == seen[-2] == seen[-3]

    until(still)
    return seen[-1]


def moved(before: list[str], now: list[str]) -> list[str]:
    """What is there of one only."""
    return sorted(set(before) ^ set(now))


def tables(machine: Machine) -> list[str]:
    return machine.run("nft", "list", "tables").split("\n")[:-1]


def killed(machine: Machine) -> None:
    """As the kernel's OOM killer does it."""
    machine.run("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "steerd", check=False)


def started(machine: Machine, before: str) -> str:
    """Another process than ``before`` runs, ready or not: which."""
    until(lambda: machine.show("MainPID") not in (before, "0"))
    return machine.show("MainPID")


def restarted(machine: Machine, before: str) -> None:
    """Another process than ``before`` runs, and is ready."""
    started(machine, before)
    until(lambda: machine.show("ActiveState") == "active")
