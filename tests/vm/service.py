"""The daemon as systemd runs it from its package."""

import json
import subprocess
from pathlib import Path
from typing import Any

from steerd.lab.enclosure import LabError

CONFIG = Path("/etc/steerd/steerd.toml")


class Service:
    """Started as its operator would."""

    def __init__(self) -> None:
        started = called("systemctl", "start", "steerd")
        if started.returncode:
            raise LabError(f"{started.stderr}{self.last_words()}")
        self.pid = int(called("systemctl", "show", "-P", "MainPID", "steerd").stdout)

    def ended(self) -> str | None:
        state = called("systemctl", "is-active", "steerd").stdout.strip()
        return None if state == "active" else state

    def answers(self) -> bool:
        return Path("/run/steerd/control.sock").exists()

    def ctl(self, *arguments: str) -> dict[str, Any]:
        done = called("steerctl", *arguments, "--json")
        if done.returncode:
            raise LabError(f"steerctl {arguments[0]}: {done.stderr.strip()}{self.last_words()}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def last_words(self) -> str:
        lines = called("journalctl", "-u", "steerd", "-o", "cat", "-n", "12").stdout.splitlines()
        return "".join(f"\n  {line}" for line in lines)


def called(*command: str) -> subprocess.CompletedProcess[str]:
    """With an end: what does not return within 90 s never will, even here."""
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired as problem:
        raise LabError(f"{' '.join(command)} did not return within {problem.timeout:g} s") from None
