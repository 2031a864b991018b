"""Which devices NetworkManager takes for metered: set so, or guessed from what DHCP and the connection's kind say."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

ASK: Final = (
    *("nmcli", "--terse", "--fields", "GENERAL.DEVICE,GENERAL.IP-IFACE,GENERAL.METERED"),
    *("device", "show"),
)
WITHIN: Final = 5.0
"""Seconds until it is given up."""
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_NAMES: Final = ("GENERAL.DEVICE", "GENERAL.IP-IFACE")


def ask(command: Sequence[str] = ASK) -> Mapping[str, bool] | None:
    """By device, those that it knows something of. None: it is not there, or says nothing. Blocks."""
    try:
        said = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            timeout=WITHIN,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return read(said.stdout.decode(errors="replace"))


def read(text: str) -> Mapping[str, bool]:
    """What nmcli prints: a device after the other, a field a line. A modem's packets go by another device than the one
    that it is called by: both names are its."""
    found: dict[str, bool] = {}
    names: list[str] = []
    for line in text.splitlines():
        field, _, value = line.strip().partition(":")
        if field == _NAMES[0]:
            names = []
        if field in _NAMES:
            names.append(value)
        elif field == "GENERAL.METERED":
            word = value.partition(" ")[0]  # "yes (guessed)"
            found |= {name: word == "yes" for name in names if name and word in ("yes", "no")}
    return found
