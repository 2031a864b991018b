"""The probers that are compared: how each is started, and what it says it has measured."""

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.subject import Task

_PATIENCE = 20.0  # seconds for a prober to end
_SMOKEPING_PORT = 9374
FPING_LINE = re.compile(r"^(\S+) +: \[(\d+)\], \d+ bytes, ([0-9.]+) ms", re.MULTILINE)
FPING_SUMMARY = re.compile(r"^(\S+) +: xmt/rcv/%loss = (\d+)/(\d+)/", re.MULTILINE)
SMOKEPING_LINE = re.compile(r"^smokeping_(requests_total|response_duration_seconds_(?:sum|count))\{.*\} (\S+)$")


class Load(NamedTuple):
    """What is asked of a prober: which targets, how often, by which device, for how long once it has settled; with the
    RTT of each probe, or only their number."""

    targets: list[str]
    interval: float
    device: str
    seconds: float
    detail: bool


class Reply(NamedTuple):
    """A reply as a prober tells it: to its probe number ``place`` to the target, or to that of the time ``sent_ns``."""

    target: str
    rtt: float
    place: int | None = None
    sent_ns: int | None = None


@dataclass
class Reading:
    """What a prober says. ``received`` counts since its start. Of some only sums can be had, or only the replies to
    each target without the places of what is missing (``unplaced``)."""

    received: int = 0
    replies: list[Reply] = field(default_factory=list)
    unplaced: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""


class Contender:
    """A prober as a process, made in ``folder``. ``settle``: seconds that it has to start."""

    name = ""
    settle = 1.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.process: subprocess.Popen[Any] | None = None

    def start(self, load: Load) -> None:
        raise NotImplementedError

    def totals(self) -> tuple[int, int, float] | None:
        """Probes, replies and the sum of RTTs so far, of those that tell only that, and while they run."""
        return None

    def stop(self) -> Reading:
        raise NotImplementedError

    @property
    def running(self) -> subprocess.Popen[Any]:
        assert self.process is not None
        return self.process

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(_PATIENCE)

    def _end(self, number: int | None) -> bool:
        """Ask it to end; whether it did."""
        if number is not None and self.running.poll() is None:
            self.running.send_signal(number)
        try:
            self.running.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait(_PATIENCE)
            return False
        return True


class Subject(Contender):
    """One that is written in Python: `bench.subject`."""

    def _start(self, task: Task) -> None:
        self._file = Path(task.file)
        self._file.unlink(missing_ok=True)
        self.process = subprocess.Popen(task.command(), stdin=subprocess.PIPE)

    def _found(self) -> dict[str, Any]:
        if self.running.stdin:
            self.running.stdin.close()
        if not self._end(None) or not self._file.exists():
            return {}
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found


class Steerd(Subject):
    def __init__(self, folder: Path, wire: str, *, blocked: bool = False) -> None:
        super().__init__(folder)
        self.name = f"steerd, {wire}"
        self._wire = wire
        self._blocked = blocked

    def start(self, load: Load) -> None:
        file = str(self._folder / "steerd.json")
        self._start(
            Task(
                "steerd",
                load.targets,
                load.interval,
                file,
                load.device,
                wire=self._wire,
                detail=load.detail,
                blocked=self._blocked,
            )
        )

    def stop(self) -> Reading:
        found = self._found()
        if not found:
            return Reading(note="no result")
        others = {kind: number for kind, number in found["outcomes"].items() if kind != "reply"}
        note = ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))
        if found["skipped"]:
            note += f"{', ' if note else ''}{found['skipped']} slots skipped"
        replies = [Reply(target, rtt, sent_ns=sent_ns) for target, sent_ns, rtt in found["replies"]]
        return Reading(found["received"], replies, note=note)


class Icmplib(Subject):
    name = "icmplib"

    def start(self, load: Load) -> None:
        # It waits the interval after each reply or timeout, and cannot be asked what it has so far.
        count = round((self.settle + load.seconds) / load.interval / 2)
        self._start(Task("icmplib", load.targets, load.interval, str(self._folder / "icmplib.json"), count=count))

    def stop(self) -> Reading:
        found = self._found()
        if not found:
            return Reading(note=f"no result {_PATIENCE:.0f} s later")
        return Reading(found["received"], unplaced=found["rtts"])


class Fping(Contender):
    """``burst``: all of a round at once, which costs the least; else spread over it, as the others do."""

    def __init__(self, folder: Path, *, burst: bool = False) -> None:
        super().__init__(folder)
        self.name = "fping, bursts" if burst else "fping"
        # Of the interval: with all of it between the probes it would not keep up.
        self._share = 0.02 if burst else 0.4

    def start(self, load: Load) -> None:
        targets = self._folder / "targets"
        targets.write_text("\n".join(load.targets) + "\n")
        gap = 1000 * load.interval / len(load.targets) * self._share
        milliseconds = str(round(load.interval * 1000))
        command = ["fping", "-l", "-i", f"{gap:g}", "-p", milliseconds, "-t", "1000", "-f", str(targets)]
        self._out, self._errors = self._folder / "fping.out", self._folder / "fping.err"
        with self._out.open("w") as out, self._errors.open("w") as errors:
            self.process = subprocess.Popen([*command, *([] if load.detail else ["-q"])], stdout=out, stderr=errors)

    def stop(self) -> Reading:
        died = self.running.poll() is not None
        self._end(signal.SIGINT)
        said = self._errors.read_text()
        replies = [
            Reply(target, float(rtt) / 1000, place=int(place))
            for target, place, rtt in FPING_LINE.findall(self._out.read_text())
        ]
        received = sum(int(received) for _, _, received in FPING_SUMMARY.findall(said))
        last = (said.strip().splitlines() or [""])[-1].partition(" (")[0]
        return Reading(received, replies, note=f'said "{last}"' if died else "")


class Smokeping(Contender):
    name = "smokeping_prober"
    settle = 4.0  # it starts one target after the other, and listens last

    def start(self, load: Load) -> None:
        self._last: tuple[int, int, float] | None = None
        empty = self._folder / "smokeping.yml"
        empty.write_text("targets: []\n")
        command = ["prometheus-smokeping-prober", f"--config.file={empty}", "--privileged", "--log.level=error"]
        listen = f"--web.listen-address=127.0.0.1:{_SMOKEPING_PORT}"
        interval = f"--ping.interval={round(load.interval * 1000)}ms"
        with (self._folder / "smokeping.err").open("w") as errors:
            self.process = subprocess.Popen(
                [*command, listen, interval, *load.targets], stdout=errors, stderr=subprocess.STDOUT
            )

    def totals(self) -> tuple[int, int, float] | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{_SMOKEPING_PORT}/metrics", timeout=_PATIENCE) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return None
        sums = {"requests_total": 0.0, "response_duration_seconds_count": 0.0, "response_duration_seconds_sum": 0.0}
        for line in lines:
            if match := SMOKEPING_LINE.match(line):
                sums[match[1]] += float(match[2])
        probes, replies, seconds = sums.values()
        self._last = int(probes), int(replies), seconds
        return self._last

    def stop(self) -> Reading:
        self._end(signal.SIGTERM)
        return Reading(self._last[1]) if self._last else Reading(note="no metrics")


def all_contenders(folder: Path) -> Sequence[Contender]:
    return (Steerd(folder, "batch"), Steerd(folder, "single"), Fping(folder), Icmplib(folder), Smokeping(folder))


def wait_ready(contender: Contender, seconds: float) -> bool:
    """Wait until it has settled; whether it still runs."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and contender.running.poll() is None:
        time.sleep(0.05)
    return contender.running.poll() is None
