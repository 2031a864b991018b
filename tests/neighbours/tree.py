"""A Debian 12 with the neighbours' programs, whose processes run in namespaces of the lab. Inside an enclosure only."""

import shlex
import subprocess
from pathlib import Path

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, LabError

TREE = Path(__file__).parents[2] / ".venv/neighbours"
"""Made by ``tools/neighbours``. It is never written to: what changes lies above it, and goes with the enclosure."""

_PATIENCE = 60.0  # seconds


class Tree:
    """One for each namespace that neighbours run in: each has files, sockets and a ``/run`` of its own."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        files = RUN / f"tree-{namespace}"
        self.root = files / "root"
        for name in ("upper", "work", "root"):
            (files / name).mkdir(parents=True)
        layers = f"lowerdir={TREE},upperdir={files / 'upper'},workdir={files / 'work'}"
        self._mount("overlay", "overlay", "/", layers)
        self._mount("proc", "proc", "/proc")
        self._mount("none", "/dev", "/dev", "bind")
        self._mount("tmpfs", "tmpfs", "/run")
        # To be read only, as in a container: there nobody waits for udev to tell of devices.
        self._mount("sysfs", "sysfs", "/sys", "ro")
        self._mount("none", "/sys/fs/cgroup", "/sys/fs/cgroup", "bind")
        self._running: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        file = self.root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def run(self, script: str) -> str:
        """What the shell's commands printed. Raises `LabError` with all of it where one failed."""
        done = subprocess.run(
            self._inside("sh", "-ec", script), check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
        if done.returncode:
            raise LabError(f"{script}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def start(self, *daemons: str) -> None:
        """Each a command line of something that stays in the foreground."""
        for daemon in daemons:
            with (self.root / "log").open("a") as log:
                command = self._inside(*shlex.split(daemon))
                self._running.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def end(self) -> None:
        """All that was started, the last first, as a service manager does it."""
        while self._running:
            process = self._running.pop()
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self) -> str:
        """The end of what daemons printed, and which of them ended by themselves."""
        ended = [
            f"{process.args} ended: {process.returncode}\n" for process in self._running if process.poll() is not None
        ]
        return "".join(ended) + (log.read_text()[-3000:] if (log := self.root / "log").exists() else "")

    def _inside(self, *argv: str) -> list[str]:
        return namespaces.command(self._namespace, ["chroot", str(self.root), *argv])

    def _mount(self, kind: str, source: str, place: str, options: str = "rw") -> None:
        target = str(self.root) + place
        argv = (
            ["mount", "--rbind", source, target]
            if options == "bind"
            else ["mount", "-t", kind, "-o", options, source, target]
        )
        subprocess.run(namespaces.command(self._namespace, argv), check=True, timeout=_PATIENCE)
