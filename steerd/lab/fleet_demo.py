"""`steerd demo --fleet`: the story of five gateways, three PoPs with an agent each, a broker and the fleet service."""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from steerd.lab.enclosure import LabError, enclose
from steerd.lab.world.fleet import PAGE, SERVICE, FleetWorld

GATEWAYS: Final = {
    "gw1": {"fra1": 10.0, "ams1": 24.0, "lon1": 40.0},
    "gw2": {"fra1": 12.0, "ams1": 22.0, "lon1": 38.0},
    "gw3": {"fra1": 14.0, "ams1": 30.0, "lon1": 44.0},
    "gw4": {"fra1": 26.0, "ams1": 10.0, "lon1": 30.0},
    "gw5": {"fra1": 44.0, "ams1": 30.0, "lon1": 12.0},
}
"""Round trips from each gateway to each PoP, in ms."""
BEST: Final = {"gw1": "fra1", "gw2": "fra1", "gw3": "fra1", "gw4": "ams1", "gw5": "lon1"}
POPS: Final = {
    "fra1": {SERVICE: 8.0, "ams1": 9.0, "lon1": 15.0},
    "ams1": {SERVICE: 10.0, "fra1": 9.0, "lon1": 8.0},
    "lon1": {SERVICE: 12.0, "fra1": 15.0, "ams1": 8.0},
}
"""From each PoP to the service, and to the others."""
SLOW: Final = 90.0
"""ms to the service from fra1, over a backbone that is in trouble; and from there to the others, so that no way around
through them is better than that through a PoP of their own."""

STARTED: Final = 60.0
MOVED: Final = 60.0
"""Seconds: with a gate of 5, 70 ms to gain of 100 are taken 7 s later in the mean, 20 of 30 after 7.5 s."""
AT_ONCE: Final = 10.0
LOOK: Final = 0.5


class Story:
    """What happens, told as it goes; ``problems``: what was not as it should be."""

    def __init__(self, world: FleetWorld, *, quiet: bool) -> None:
        self._world = world
        self._quiet = quiet
        self._began = time.monotonic()
        self.problems: list[str] = []
        self.acts: list[dict[str, Any]] = []

    def play(self) -> None:
        """From the start to the end."""
        world, before = self._world, Counter[str | None]()
        self._act(
            "start", "five gateways, each on the PoP by which the whole way to db is the shortest",
            lambda: None, lambda now: now == BEST, STARTED,
        )  # fmt: skip
        self._act(
            "slow backbone", f"fra1 is as near as ever, and {SLOW:.0f} ms from db now: its gateways leave, one by one",
            lambda: self._backbone(SLOW), lambda now: "fra1" not in now.values(), MOVED,
        )  # fmt: skip
        self._act(
            "repaired", "the backbone of fra1 is as it was: gateways come back, not all at once",
            lambda: self._backbone(0.0), lambda now: list(now.values()).count("fra1") >= 1, MOVED,
        )  # fmt: skip
        before = Counter(world.choices().values())
        busy = str(before.most_common(1)[0][0])
        self._act(
            "maintenance", f"the agent of {busy} is stopped: it says so first, and {before[busy]} gateways go at once",
            lambda: world.pops[busy].tell(signal.SIGTERM), lambda now: busy not in now.values(), AT_ONCE,
        )  # fmt: skip
        self._act(
            "back", f"{busy} takes gateways again", lambda: world.start_agent(busy),
            lambda now: busy in now.values(), MOVED,
        )  # fmt: skip
        before = Counter(world.choices().values())
        busy = str(before.most_common(1)[0][0])
        self._act(
            "outage", f"{busy} answers nobody: its gateways go at once, each to one that is nearly as good as the best",
            lambda: self._dead(busy), lambda now: busy not in now.values(), AT_ONCE,
        )  # fmt: skip

    def told(self) -> Iterator[str]:
        """The end of it: what the fleet service and the gateways say."""
        figures = self._world.figures()
        presence = figures.get("presence", {}).get("lab", {})
        yield f"the fleet service (http://{PAGE}/ inside): {presence.get('online', 0)} gateways online"
        for pop in figures.get("pops", ()):
            states = ", ".join(f"{count} {state}" for state, count in sorted(pop["states"].items()))
            rtt = "-" if pop["rtt"] is None else f"{pop['rtt']:.1f} ms"
            yield f"  {pop['name']}: {pop['users']} gateways on it; seen as {states}; median RTT {rtt}"
        if presence.get("online") != len(GATEWAYS):
            self.problems.append(f"the fleet service sees {presence}, not {len(GATEWAYS)} gateways online")
        switches = {name: len(self._world.ctl(name, "history")["switches"]) for name in GATEWAYS}
        yield "choices made: " + ", ".join(f"{name} {count}" for name, count in switches.items())
        if max(switches.values()) > 1 + len(self.acts):
            self.problems.append(f"a gateway moved more than once in an act: {switches}")

    def _act(
        self, name: str, what: str, do: Callable[[], None], done: Callable[[dict[str, str | None]], bool], within: float
    ) -> None:
        self._say(f"\n{name}: {what}")
        before = self._world.choices()
        do()
        began, moves = time.monotonic(), []
        while True:
            now = self._world.choices()
            elapsed = time.monotonic() - began
            for gateway, pop in now.items():
                if pop != before[gateway]:
                    moves.append([round(elapsed, 1), gateway, before[gateway], pop])
                    self._say(f"  {elapsed:5.1f} s  {gateway}: {before[gateway] or 'nothing'} -> {pop or 'nothing'}")
            if done(now):
                self._say(f"  {elapsed:5.1f} s  as it should be: {_shown(now)}")
                break
            if elapsed > within:
                self.problems.append(f"{name}: not within {within:.0f} s: {_shown(now)}")
                self._say(f"  not as it should be: {_shown(now)}")
                break
            time.sleep(LOOK)
            before = now
        self.acts.append({"act": name, "what": what, "took_s": round(elapsed, 1), "moves": moves, "choices": now})

    def _backbone(self, slower: float) -> None:
        fra1 = self._world.pops["fra1"]
        for end, usual in POPS["fra1"].items():
            fra1.set(end, delay_ms=slower or usual)

    def _dead(self, pop: str) -> None:
        for gateway in self._world.gateways.values():
            gateway.set(pop, dead=True)

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, flush=True)


def fleet_demo(*, as_json: bool, hold: bool) -> int:
    """Tell the story. Returns 0 if all went as it should, else 1."""
    try:
        enclose()
        with FleetWorld(GATEWAYS, POPS) as world:
            story = Story(world, quiet=as_json)
            story.play()
            lines = list(story.told())
            report = {"ok": not story.problems, "acts": story.acts, "problems": story.problems}
            if as_json:
                print(json.dumps(report), flush=True)
            else:
                print("\n" + "\n".join([*lines, "", *(f"! {one}" for one in story.problems)]), flush=True)
                print("all as it should be" if report["ok"] else "NOT as it should be", flush=True)
            while hold:
                time.sleep(3600.0)
            return 0 if report["ok"] else 1
    except LabError as error:
        print(f"steerd demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is left behind", file=sys.stderr)
        return 130


def _shown(choices: dict[str, str | None]) -> str:
    return ", ".join(f"{gateway} by {pop or 'nothing'}" for gateway, pop in choices.items())
