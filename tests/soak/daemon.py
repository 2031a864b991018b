"""The real daemon in the lab, and what it has to endure."""

import shutil
import subprocess
import time
from collections import Counter
from typing import Any, Self

from steerd.control.client import NotThereError, ask
from steerd.lab import namespaces
from steerd.lab.enclosure import LabError
from steerd.lab.world.world import World
from tests.lab.waiting import until
from tests.soak.samples import Verdict, descriptors, judge, metrics, sample

WARM_UP = 20.0
"""Seconds that are not counted: imports, the first choice, the first reports."""

WARM_RELOADS = 300
"""Until allocators have most of what they keep: of 3.5 MB in 2,100 reloads 2.6 came with the first 300."""

PATIENCE = 120.0
"""What has to come about does within so many seconds, or has failed: a hold-down after many is long."""

BREATH = 0.05
"""Seconds between a device's going and coming: a probe period."""

HOME = 10.0
"""Seconds."""

USERS = 20.0
"""The users' datagrams a second, in each family."""


class Soak:
    """One daemon for all phases, so that what one leaves behind is seen in the next. Enters the gateway's namespace."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.told: list[str] = []
        self.problems: list[str] = []
        self._open: Counter[str] = Counter()
        self._nft = shutil.which("nft") is not None
        self._world = World(rate=USERS)

    def __enter__(self) -> Self:
        world = self._world.__enter__()
        # An address survives its device's being down, as on a router that was told so: what flaps is the device.
        namespaces.sysctl("gw", ipv6__conf__all__keep_addr_on_down=1)
        self._directory = world.directory
        self._file = world.directory / "steerd.toml"
        self._one = world.gateway_config(interval="50ms").replace('/store"', '/store"\nrecord = true')
        self._other = _other(self._one)
        self._log = (world.directory / "steerd.log").open("w")
        self._daemon = world.run_daemon(self._one, "--log-level", "warning", stderr=self._log)
        namespaces.enter("gw")
        return self

    def __exit__(self, *_: object) -> None:
        self._world.close()

    def warm_up(self) -> None:
        """Also what is opened at its first use: a socket to ask for routes, threads for what would block."""
        until(self._steady, PATIENCE, what="a steady daemon")
        time.sleep(WARM_UP)
        self.reloads(WARM_RELOADS, 0)
        self.flaps(4, 0)
        self.restarts(2, 0)
        self.told.clear()
        until(self._home, PATIENCE, what="the best PoP's being used again")

    def calm(self, seconds: float) -> None:
        """Nothing changes: what does the daemon do to the kernel and the broker?"""
        self._say("calm")
        before, began = metrics(), time.monotonic()
        with subprocess.Popen(
            ["ip", "-o", "monitor", "all-nsid", "route", "rule", "nexthop"], stdout=subprocess.PIPE, text=True
        ) as monitor:
            samples = []
            while time.monotonic() < began + seconds:
                time.sleep(1.0)
                samples.append(self._sample())
            took, after = time.monotonic() - began, metrics()
            monitor.terminate()
            changes = len([line for line in (monitor.stdout or ()) if "proto 210" in line])
        self._judge("calm", samples)
        self._open = descriptors(self._daemon.pid)
        repairs = after["steerd_repairs_total"] - before["steerd_repairs_total"]
        switches = after["steerd_switches_total"] - before["steerd_switches_total"]
        sent = 'steerd_mqtt_messages_total{direction="out"}'
        published = after.get(sent, 0.0) - before.get(sent, 0.0)
        self._tell(
            f"calm, {took:.0f} s: {changes} changes of ours in the kernel, {repairs:.0f} repairs, "
            f"{switches:.0f} switches, {published / took:.2f} MQTT messages a second (interval 1 s)"
        )
        if changes or repairs or switches:
            self.problems.append(
                f"calm: {changes} changes in the kernel, {repairs:.0f} repairs, {switches:.0f} switches"
            )
        self._count_netlink(min(seconds, 30.0))

    def reloads(self, count: int, samples: int) -> None:
        """Between two files: one has a PoP less, and a policy more."""
        before, began, found = metrics(), time.monotonic(), []
        for number in range(1, count + 1):
            self._file.write_text(self._other if number % 2 else self._one)
            answer = ask(str(self._directory / "control.sock"), {"verb": "reload"})
            if not answer["ok"]:
                raise LabError(f"reload {number}: {answer}")
            if samples and number % max(2, count // samples // 2 * 2) == 0:
                until(self._steady, PATIENCE, what=f"a steady daemon after reload {number}")
                found.append(self._sample())
        self._end("reloads", count, began, found, before)

    def flaps(self, count: int, samples: int) -> None:
        """A device goes down and comes up, another is deleted and made again, in turn; the path in use among them."""
        before, began, found = metrics(), time.monotonic(), []
        pops = list(self._world.pops.values())
        for number in range(1, count + 1):
            pop = pops[number // 2 % len(pops)]
            flap = pop.link if number % 2 else pop.attach
            flap(False)
            time.sleep(BREATH)
            flap(True)
            time.sleep(BREATH)
            if samples and number % max(1, count // samples) == 0:
                until(self._steady, PATIENCE, what=f"a steady daemon after flap {number}")
                found.append(self._sample())
        self._end("flaps", count, began, found, before)

    def restarts(self, count: int, samples: int) -> None:
        """The broker is killed and started again; the daemon has to come back each time."""
        before, began, found = metrics(), time.monotonic(), []
        for number in range(1, count + 1):
            self._world.broker.stop()
            until(
                lambda: metrics()["steerd_mqtt_connected"] == 0.0,
                PATIENCE,
                what=f"a lost connection at restart {number}",
            )
            self._world.broker.start()
            until(
                lambda: metrics()["steerd_mqtt_connected"] == 1.0, PATIENCE, what=f"a connection after restart {number}"
            )
            if samples and number % max(1, count // samples) == 0:
                found.append(self._sample())
        self._end("broker restarts", count, began, found, before)

    def calm_again(self, seconds: float) -> None:
        """What all that has left behind: against the calm at the beginning."""
        self._say("calm again")
        until(self._home, PATIENCE, what="the best PoP's being used again in the end")
        first = {one.what: one.after for one in self.verdicts if one.phase == "calm"}
        samples = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1.0)
            samples.append(self._sample())
        for one in judge("calm again", samples):
            # What a thousand reloads and flaps have made warm stays warm: memory is judged in each phase.
            allowed = None if one.what == "rss_kb" else one.allowed
            if one.what == "descriptors" and first[one.what] != one.after:
                now = descriptors(self._daemon.pid)
                self._tell(f"descriptors: more {dict(now - self._open)}, less {dict(self._open - now)}")
            self.verdicts.append(Verdict("first to last calm", one.what, first[one.what], one.after, allowed))

    def _count_netlink(self, seconds: float) -> None:
        """Every message that the daemon sends to the kernel, questions too, as strace sees them."""
        if shutil.which("strace") is None:
            self._tell("netlink messages sent: not counted, there is no strace")
            return
        trace = self._directory / "trace"
        tracer = subprocess.Popen(
            [
                "strace",
                "-f",
                "-q",
                "-yy",
                "-e",
                "trace=sendto,sendmsg,sendmmsg",
                "-o",
                trace,
                "-p",
                str(self._daemon.pid),
            ]
        )
        time.sleep(seconds)
        tracer.terminate()
        tracer.wait()
        lines = trace.read_text().splitlines()
        asked = sum("NETLINK" in line for line in lines)
        self._tell(f"calm, {seconds:.0f} s: {asked} netlink messages sent, {len(lines)} sends in all")

    def _end(
        self, phase: str, count: int, began: float, samples: list[dict[str, float]], before: dict[str, float]
    ) -> None:
        after = metrics()
        repairs = after["steerd_repairs_total"] - before["steerd_repairs_total"]
        switches = after["steerd_switches_total"] - before["steerd_switches_total"]
        self._tell(
            f"{count} {phase} in {time.monotonic() - began:.0f} s: {switches:.0f} switches, {repairs:.0f} repairs"
        )
        self._judge(phase, samples)

    def _judge(self, phase: str, samples: list[dict[str, float]]) -> None:
        if len(samples) >= 4:
            self.verdicts += judge(phase, samples)

    def _steady(self) -> bool:
        """All paths up and the policies steering."""
        self._running()
        try:
            answer: dict[str, Any] = ask(str(self._directory / "control.sock"), {"verb": "status"})
        except (NotThereError, OSError):
            return False
        return (
            len(answer["paths"]) == len(self._world.pops)
            and all(path["state"] == "up" for path in answer["paths"])
            and all(policy["state"] == "steering" and policy["runner_up"] for policy in answer["policies"])
        )

    def _home(self) -> bool:
        """Steady, with nothing left to gain: the best PoP has been used for a while."""
        if not self._steady():
            return False
        answer = ask(str(self._directory / "control.sock"), {"verb": "status"})
        (policy,) = answer["policies"]
        return policy["choice"].startswith("fra1/") and policy["since_s"] > HOME

    def _sample(self) -> dict[str, float]:
        self._running()
        return sample(self._daemon.pid, self._directory, self._nft)

    def _running(self) -> None:
        if self._daemon.poll() is not None:
            raise LabError(f"the daemon ended with {self._daemon.returncode}")

    def _tell(self, line: str) -> None:
        self.told.append(line)
        self._say(line)

    def _say(self, line: str) -> None:
        print(line, flush=True)


def _other(text: str) -> str:
    """The same gateway without its last PoP, and with a policy of its own for two prefixes."""
    first, _, _ = text.rpartition("\n[[pop]]")
    return first + '\n[[policy]]\nname = "extra"\nprefixes = ["198.51.100.0/24", "2001:db8:51::/48"]\n'
