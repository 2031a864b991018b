"""Machines of a lab as a reader has them: each with a network, an /etc, a /run and a /var/lib of its own."""

import shlex
import subprocess
import sys
from pathlib import Path

from steerd.lab import namespaces

PROJECT = Path(__file__).parents[2]
_BOUND = 90.0  # seconds for one command
_OWN = """
mkdir /run/etc-{name} && cp -r /etc/. /run/etc-{name} 2>/dev/null || true
mount --bind /run/etc-{name} /etc
rm -rf /etc/wireguard /etc/openvpn /etc/steerd
mkdir /etc/wireguard /etc/openvpn /etc/steerd
mount -t tmpfs none /var/lib
mount -t tmpfs none /run
mkdir /run/bin
for command in steerd steerctl; do
  printf '#!/bin/sh\\nPYTHONPATH={project} exec {python} -m steerd.cli.%s "$@"\\n' $command >/run/bin/$command
  chmod +x /run/bin/$command
done
echo ready
exec sleep infinity
"""
_PATH = "/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """Inside an enclosure only, which ends it."""

    def __init__(self, name: str) -> None:
        self.name = name
        namespaces.add(name)
        own = _OWN.format(name=name, project=shlex.quote(str(PROJECT)), python=shlex.quote(sys.executable))
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", own]
        held = namespaces.spawn(name, words, stdout=subprocess.PIPE, text=True)
        assert held.stdout is not None
        assert held.stdout.readline() == "ready\n"
        self._inside = ["nsenter", f"--target={held.pid}", "--mount", "--net", "--", "env", f"PATH={_PATH}"]

    def write(self, file: str, text: str) -> None:
        """Only for its owner: some hold keys."""
        place = shlex.quote(file)
        done = self.run(f"umask 077; mkdir -p $(dirname {place}); cat >{place}", text)
        assert done.returncode == 0, done.stderr

    def run(self, command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """By a shell, in the root's home. What it leaves in the background goes on, and writes to /run/background."""
        command = command.replace(" &", " >/run/background 2>&1 &") if command.endswith(" &") else command
        return subprocess.run(
            [*self._inside, "bash", "-c", command],
            input=given, capture_output=True, text=True, check=False, timeout=_BOUND, cwd="/",
        )  # fmt: skip


def wire(near: Machine, device: str, far: Machine, other: str) -> None:
    """A cable between two of them."""
    names = f"link add {device} netns {near.name} type veth peer name {other} netns {far.name}"
    namespaces.ip(names)
    for machine, end in ((near, device), (far, other)):
        namespaces.ip(f"link set {end} up", machine.name)
