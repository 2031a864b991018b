"""A Debian or Ubuntu with a systemd of its own, booted as the gateway of a `World`: its network is that of ``gw``."""

import os
import subprocess
import time
from pathlib import Path
from typing import Self

from steerd.lab.enclosure import RUN, LabError

TREE = Path(__file__).parents[2] / ".venv" / os.environ.get("RELEASE", "debian-12")
"""Made by ``tools/tree``. It is never written to: what a machine changes lies above it and goes with the enclosure."""

_BOOTED = ("running", "degraded")
_PATIENCE = 60.0  # seconds


class Machine:
    """Within ``with`` it runs. `boot` again after `off` is a restart of everything but the kernel."""

    def __init__(self, files: Path = RUN / "machine") -> None:
        self.root = files / "root"
        for name in ("upper", "work", "root"):
            (files / name).mkdir(parents=True)
        layers = f"lowerdir={TREE},upperdir={files / 'upper'},workdir={files / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)
        self._console = files / "console"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = ""

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def boot(self) -> None:
        """Returns when systemd has started all that it should. Raises `LabError` if it does not."""
        command = ["systemd-nspawn", "-q", "-D", self.root, "-b", "--register=no", "--keep-unit"]
        with self._console.open("a") as console:
            self._nspawn = subprocess.Popen(
                [*command, "--network-namespace-path=/run/netns/gw", "--capability=CAP_NET_ADMIN"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and self._nspawn.poll() is None:
            self._leader = (children.read_text().split() or [""])[-1]
            if self._leader and self.run("systemctl", "is-system-running", check=False).strip() in _BOOTED:
                return
            time.sleep(0.05)
        raise LabError(f"the machine does not boot\n{self._console.read_text()[-2000:]}")

    def off(self) -> None:
        """The power switch: nothing inside is asked."""
        if self._nspawn is None:
            return
        # Its init first: with that systemd-nspawn, whose child it is, ends by itself.
        subprocess.run(["kill", "-9", self._leader], check=False, capture_output=True)
        try:
            self._nspawn.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._nspawn = None

    def run(self, *command: str, check: bool = True, timeout: float = 60.0) -> str:
        """What ``command`` printed. Raises `LabError` with all of it when it failed and ``check`` says so."""
        enter = ["nsenter", "-t", self._leader, "-m", "-p", "-i", "-u", "-n", "-w", "--"]
        done = subprocess.run([*enter, *command], check=False, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def succeeds(self, *command: str) -> bool:
        try:
            self.run(*command)
        except LabError:
            return False
        return True

    def write(self, name: str, text: str) -> None:
        file = self.root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def show(self, name: str, unit: str = "steerd") -> str:
        """A unit's property, as ``systemctl show`` has it."""
        return self.run("systemctl", "show", "-P", name, unit).strip()
