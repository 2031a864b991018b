"""`steerd init` on gateways with what they have and nothing else: what it writes steers, and nobody edits it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, run
from tests.lab import wireguard
from tests.lab.live import check, cure, shell
from tests.lab.waiting import until
from tests.lab.wireguard import ECHO, LOG, SERVICE, Network

pytestmark = [pytest.mark.lab, pytest.mark.wireguard]

QUICK = Path("/etc/wireguard")
FILE = Path("/etc/steerd/steerd.toml")
STEERD = f"{sys.executable} -m steerd.cli.steerd"
TUNNELS = {"fra1": ("10.64.0.1/32", "10.64.1.1/32, 0.0.0.0/0", 1), "ams1": ("10.64.2.2/24", "0.0.0.0/0", 2)}


def own_folders() -> None:
    """The lab has an /etc and a /var/lib of its own."""
    shell(f"cp -a /etc {RUN}/etc && mount --bind {RUN}/etc /etc && mount -t tmpfs tmpfs /var/lib")
    shell(f"rm -rf {QUICK} {FILE.parent} && mkdir -m 700 {QUICK}")


def quick_files(network: Network, more: str) -> None:
    """wg-quick's files for the tunnels to two PoPs, with these lines ``more``, and nothing else: no tunnel is up."""
    for name in network.own:
        shell(f"ip link del {name}")
    until(lambda: not list(Path("/run/wireguard").glob("wg-*.sock")))
    own_folders()
    namespaces.ip("route add 10.64.2.0/24 dev p-ams1", "ams1")
    for pop, (address, allowed, number) in TUNNELS.items():
        file = QUICK / f"wg-{pop}.conf"
        file.write_text(f"""\
[Interface]
PrivateKey = {network.own[f"wg-{pop}"].file.read_text().strip()}
ListenPort = {51820 + number}
Address = {address}
{more}
[Peer]
PublicKey = {network.keys[pop].public}
Endpoint = 192.0.2.{4 * number + 2}:51820
AllowedIPs = {allowed}
""")
        file.chmod(0o600)


def steerd(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """The exit code, and what was printed."""
    done = subprocess.run(
        namespaces.command("gw", [*STEERD.split(), *arguments]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SSH_CONNECTION": "", "SSH_CLIENT": "", **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def begin(command: str) -> None:
    with LOG.open("a") as log:
        namespaces.spawn("gw", ["sh", "-c", command], stdout=log, stderr=log)


def arrives(network: Network, *pops: str) -> str:
    """A LAN host's datagrams come to one of the PoPs, from now on: to which."""
    before = {pop: len(network.seen(pop)) for pop in pops}
    until(lambda: any(len(network.seen(pop)) > before[pop] + 5 for pop in pops), what="datagrams at a PoP")
    return max(pops, key=lambda pop: len(network.seen(pop)) - before[pop])


def first_hour() -> Any:
    network = Network(devices=True)
    quick_files(network, "Table = off\nFwMark = 0x51\n")
    shell("wg-quick up wg-fra1 && wg-quick up wg-ams1")
    network.traffic("lan", SERVICE, 0.05)
    begin(f"{STEERD} init && {STEERD} check --live && exec {STEERD} run")
    first = arrives(network, *TUNNELS)
    namespaces.ip("link set out0 down", first)
    (other,) = TUNNELS.keys() - {first}
    return {"after": arrives(network, other), "other": other, "file": FILE.read_text(), "log": LOG.read_text()}


def test_two_files_of_wg_quick_and_three_commands_steer() -> None:
    found = run(f"{__name__}:first_hour")
    print(found["file"], found["log"])
    assert found["after"] == found["other"]
