"""Plays a script with the real daemon, in any world with users' traffic: the lab's, or one of kernel tunnels."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from steerd.lab.enclosure import LabError
from steerd.lab.script import Act, Result, judged, line, problems
from steerd.lab.world.traffic import LOST_AFTER, Traffic

STAYS: Final = 2.0  # seconds for which the users' packets are watched after a move: does it stay?
SLICE: Final = 0.02  # seconds: how finely the moment of a move is found


class HasTraffic(Protocol):
    traffic: Traffic
    """The users'."""


W = TypeVar("W", bound=HasTraffic)


class Daemon(Protocol):
    """The daemon under test, as its operator sees it."""

    pid: int
    """Its process."""

    def ended(self) -> str | None:
        """How it ended, None while it runs."""

    def answers(self) -> bool:
        """Whether `ctl` has somebody to talk to."""

    def ctl(self, *arguments: str) -> dict[str, Any]:
        """What steerctl tells, as JSON. Raises `LabError`."""

    def last_words(self) -> str:
        """The end of its log."""


class Stage(Generic[W]):
    """The daemon, just started, in its world, and who watches both. ``rate``: the users' datagrams a second, in each
    family. ``ready_within``: seconds that the daemon may take to its first choice, of the PoP ``first`` if that is
    given."""

    def __init__(
        self,
        world: W,
        daemon: Daemon,
        script: Sequence[Act[W]],
        *,
        rate: float,
        quiet: bool = False,
        ready_within: float = 15.0,
        first: str = "",
    ) -> None:
        self.world = world
        self._daemon = daemon
        self._script = script
        self._rate = rate
        self._quiet = quiet
        self._live = not quiet and sys.stdout.isatty()
        self._drawn = 0
        self._ready_within = ready_within
        self._first = first
        self._began = time.monotonic()

    def play(self) -> list[Result]:
        """All acts, one after the other. Raises `LabError`."""
        first = self._wait_for_choice()
        self._say(f"the daemon is ready after {time.monotonic() - self._began:.1f} s, and chose {first}")
        results = []
        for act in self._script:
            results.append(self._perform(act))
            self._say(line(results[-1]))
        return results

    def report(self, results: list[Result]) -> dict[str, Any]:
        """As `steerd.lab.script.judged`."""
        return judged(self._script, results, self._footprint())

    def _wait_for_choice(self) -> str:
        while time.monotonic() - self._began < self._ready_within:
            how = self._daemon.ended()
            if how is not None:
                raise LabError(f"the daemon ended: {how}{self._daemon.last_words()}")
            if self._daemon.answers():
                (policy,) = self._daemon.ctl("status")["policies"]
                if policy["choice"] is not None and policy["choice"].startswith(self._first):
                    return str(policy["choice"])
            time.sleep(0.1)
        wanted = self._first or "a path"
        words = self._daemon.last_words()
        raise LabError(f"the daemon did not choose {wanted} within {self._ready_within:g} s{words}")

    def _perform(self, act: Act[W]) -> Result:
        result = Result(act.name, act.what, act.to, act.within)
        known = {one["event_id"] for one in self._daemon.ctl("history")["switches"]}
        self._say(f"\n{act.name}: {act.what}")
        began = time.monotonic()
        act.do(self.world)
        end = began + act.lasts
        while (now := time.monotonic()) < end:
            self._draw(act, now - began)
            time.sleep(min(0.25, end - now))
            if act.to is not None and self._carries(act.to):
                end = min(end, max(time.monotonic() + STAYS, began + 3 * STAYS))
                self._draw(act, time.monotonic() - began)
                time.sleep(max(0.0, end - time.monotonic()))
        until = time.monotonic()
        switches = reversed(self._daemon.ctl("history")["switches"])
        result.switches = [one for one in switches if one["event_id"] not in known]
        time.sleep(LOST_AFTER)
        window = self.world.traffic.between(began, until)
        result.sent, result.lost = window.sent, window.lost
        if act.to is not None:
            result.moved_after_s = {f"ipv{family}": moved for family, moved in self._moves(act.to, began, until)}
        sights = list(act.look(self.world)) if act.look else []
        result.seen = [sight.text for sight in sights]
        wrong = (sight.text for sight in sights if not sight.right)
        result.problems = [*wrong, *problems(act, result, self._rate)]
        if result.problems:
            result.log = self._daemon.last_words()
        self._clear()
        return result

    def _carries(self, pop: str) -> bool:
        now = time.monotonic()
        return all(set(self.world.traffic.between(now - 0.3, now - 0.1, family).by_pop) == {pop} for family in (4, 6))

    def _moves(self, pop: str, began: float, until: float) -> Iterator[tuple[int, float]]:
        """When the first packet of each family was sent that went by ``pop``, after ``began``."""
        for family in (4, 6):
            at = began
            while at < until:
                if pop in self.world.traffic.between(at, at + SLICE, family).by_pop:
                    yield family, round(at - began, 2)
                    break
                at += SLICE

    def _footprint(self) -> dict[str, float]:
        """The daemon's memory in MB, and the share of a core that it took since its start, in percent."""
        pages, ticks = 4096, 100.0
        fields = Path(f"/proc/{self._daemon.pid}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / ticks
        return {
            "rss_mb": round(int(fields[21]) * pages / 1e6, 1),
            "cpu_percent": round(100.0 * seconds / (time.monotonic() - self._began), 1),
        }

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, flush=True)

    def _draw(self, act: Act[W], elapsed: float) -> None:
        if not self._live:
            return
        status = self._daemon.ctl("status")
        now = time.monotonic()
        by_pop = self.world.traffic.between(now - 1.0, now - 0.1).by_pop
        whole = sum(by_pop.values()) or 1
        rows = [
            f"  {act.name}, {elapsed:4.1f} s",
            f"  {'PATH':<16}{'STATE':<12}{'RTT':>9}{'JITTER':>9}{'LOSS':>7}  USERS",
        ]
        for path in status["paths"]:
            share = by_pop.get(path["pop"], 0) / whole
            rtt = "-" if path["rtt_ms"] is None else f"{path['rtt_ms']:.1f} ms"
            jitter = "-" if path["jitter_ms"] is None else f"{path['jitter_ms']:.1f} ms"
            bar = "#" * round(20 * share)
            rows.append(
                f"  {path['path']:<16}{path['state']:<12}{rtt:>9}{jitter:>9}{path['loss']:>7.1%}  {share:4.0%} {bar}"
            )
        self._clear()
        print("\n".join(rows), flush=True)
        self._drawn = len(rows)

    def _clear(self) -> None:
        if self._drawn:
            print(f"\x1b[{self._drawn}A\x1b[J", end="", flush=True)
            self._drawn = 0
