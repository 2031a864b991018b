"""One engine in a virtual network with a virtual kernel, in virtual time. No steering logic of its own."""

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from random import Random
from typing import Any

from steerd.core.effects import Cadence, Declined, Effect, Fact, Steer, Switched, carry_out
from steerd.core.engine import Engine
from steerd.core.events import Carried, Event, Installed, Link, Outcome, Probed, Shares
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PolicyId, Settings
from steerd.sim.network import Line

COUNTED = 1.0
"""Seconds between two looks at how much traffic each path carries."""


class Driver:
    """Runs events in order of time. ``applies`` says how long the kernel takes for a Steer, and whether it
    refuses it; ``watch`` sees every effect when it happens. ``traffic``: of policies that carry much, how many bytes a
    second, and by how many ms that slows the path that carries it; told every `COUNTED` seconds."""

    def __init__(
        self,
        settings: Settings,
        lines: Mapping[PathId, Line],
        *,
        seed: int = 0,
        applies: Callable[[Steer], tuple[float, str | None]] = lambda _: (0.005, None),
        watch: Callable[[float, Effect], None] = lambda _now, _effect: None,
        traffic: Mapping[PolicyId, tuple[float, float]] | None = None,
    ) -> None:
        self.settings = settings
        self.lines = lines
        self.rng = Random(f"{seed}/network")
        self.now = 0.0
        self.kernel: dict[PolicyId, tuple[PathId | None, PathId | None]] = {}
        self.shares: dict[PolicyId, Shares] = {}
        self.effects: list[tuple[float, Effect]] = []
        self.log: list[tuple[float, Event | None]] = []
        self._draw = Random(f"{seed}/engine").random
        self._applies = applies
        self._watch = watch
        self._traffic = traffic or {}
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._life = 0
        self._cadence: dict[PathId, Cadence] = {}
        self._turn: dict[PathId, int] = {}
        self._steers: dict[PolicyId, int] = {}
        for path, line in lines.items():
            for old, new in zip(line.changes, line.changes[1:], strict=False):
                if old.link != new.link:
                    self.at(new.at, self._link, path, new.link)
        if self._traffic:
            self.at(0.0, self._count)
        self.start(Memory())

    def at(self, time: float, what: Callable[..., None], *args: Any) -> None:
        """Do this at ``time``, in seconds; of two at one time the first that was asked for."""
        self._order += 1
        heappush(self._heap, (time, self._order, what, args))

    def start(self, memory: Memory) -> None:
        """Start an engine, as the daemon does: adopt what the kernel has, tell what the links are."""
        self._life += 1
        self._cadence.clear()
        self.engine = Engine(self.settings, memory, now=self.now, epoch=self._life, draw=self._draw)
        self.feed(None)
        for path in self.engine.paths.values():
            if path.cadence is not None:
                self.cadence(path.cadence)
        for policy, (best, second) in self.kernel.items():
            if best is not None:
                self.feed(Installed(policy, best, second, shares=self.shares.get(policy, ())))
        for where, line in self.lines.items():
            if not line.at(self.now).link:
                self.feed(Link(where, up=False))

    def restart(self) -> None:
        """The process dies and comes back; the kernel keeps what it has."""
        self.start(self.engine.memory(self.now))

    def feed(self, event: Event | None) -> None:
        """Give the engine an event, or the time alone, and carry out what it wants."""
        self.log.append((self.now, event))
        carry_out(self.engine.feed(event, self.now), self)
        deadline = self.engine.next_deadline()
        assert deadline > self.now, f"the deadline {deadline} is not after {self.now}"
        self.at(deadline, self._wake, deadline)

    def run(self, until: float) -> None:
        """Let the time go on until then, in seconds."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, what, args = heappop(self._heap)
            what(*args)
        self.now = until

    def cadence(self, wanted: Cadence) -> None:
        self._watch(self.now, wanted)
        faster = (wanted.every or 1e9) < (self._every(wanted.path) or 1e9)
        self._cadence[wanted.path] = wanted
        if faster:
            turn = self._turn[wanted.path] = self._turn.get(wanted.path, 0) + 1
            self.at(self.now + self.rng.random() * (wanted.every or 0.0), self._send, wanted.path, turn)

    def steer(self, wanted: Steer) -> None:
        self._watch(self.now, wanted)
        number = self._steers[wanted.policy] = self._steers.get(wanted.policy, 0) + 1
        delay, error = self._applies(wanted)
        self.at(self.now + delay, self._apply, wanted, number, error, self._life)
        self.effects.append((self.now, wanted))

    def fact(self, fact: Fact) -> None:
        self._watch(self.now, fact)
        if not isinstance(fact, Declined):
            self.effects.append((self.now, fact))

    def switches(self) -> list[Switched]:
        """The switches so far."""
        return [effect for _, effect in self.effects if isinstance(effect, Switched)]

    def _wake(self, deadline: float) -> None:
        if self.engine.next_deadline() == deadline:
            self.feed(None)

    def _every(self, path: PathId) -> float | None:
        cadence = self._cadence.get(path)
        return cadence.every if cadence is not None else None

    def _send(self, path: PathId, turn: int) -> None:
        every = self._every(path)
        if turn != self._turn.get(path) or every is None or path not in self.engine.paths:
            return
        self.at(self.now + every, self._send, path, turn)
        for leg in range(self.engine.paths[path].settings.legs):
            self._probe(path, leg)

    def _probe(self, path: PathId, leg: int) -> None:
        sent, timeout = self.now, self.engine.paths[path].settings.timeout
        patience = min(self._cadence[path].patience, timeout)
        rtt = self.lines[path].probe(sent, self.rng)
        if rtt is None or rtt > patience:
            self.at(sent + patience, self._outcome, Probed(path, Outcome.OVERDUE, sent, leg=leg), self._life)
        if rtt is None or rtt > timeout:
            self.at(sent + timeout, self._outcome, Probed(path, Outcome.LOST, sent, leg=leg), self._life)
        if rtt is not None:
            outcome = Outcome.REPLY if rtt <= timeout else Outcome.LATE
            self.at(sent + rtt, self._outcome, Probed(path, outcome, sent, rtt, leg=leg), self._life)

    def _outcome(self, event: Probed, life: int) -> None:
        if life == self._life:
            self.feed(event)

    def _count(self) -> None:
        """Tell what each path carries, as the kernel's counters do."""
        rates = dict.fromkeys(self.lines, 0.0)
        for policy, (rate, _) in self._traffic.items():
            for path, part in self._carriers(policy):
                rates[path] += part * rate
        for path, rate in rates.items():
            if path in self.engine.paths and (rate or self.engine.paths[path].rate):
                self.feed(Carried(path, rate))
        self.at(self.now + COUNTED, self._count)

    def _carriers(self, policy: PolicyId) -> list[tuple[PathId, float]]:
        """Which paths carry the policy's traffic now, and which part of it each."""
        shares = self.shares.get(policy, ())
        if shares:
            return [(share.path, share.part) for share in shares]
        best = self.kernel.get(policy, (None, None))[0]
        return [] if best is None else [(best, 1.0)]

    def _burden(self) -> None:
        """The kernel has something else: other paths are slower for what they carry."""
        if self._traffic:
            for line in self.lines.values():
                line.burden = 0.0
            for policy, (_, slower) in self._traffic.items():
                for path, part in self._carriers(policy):
                    self.lines[path].burden += part * slower

    def _link(self, path: PathId, up: bool) -> None:
        if not up:  # the kernel deletes the nexthop, and falls to the runner-up
            for policy, (best, second) in list(self.kernel.items()):
                shares = self.shares.get(policy, ())
                left = tuple(share for share in shares if share.path != path)
                if path == best:
                    heir = left[0].path if left else second
                    self.kernel[policy] = (heir, second if left else None)
                if path == best or left != shares:
                    whole = sum(share.part for share in left)
                    weighed = tuple(share._replace(part=share.part / whole) for share in left)
                    self.shares[policy] = weighed if len(left) > 1 else ()
                    self.feed(Installed(policy, *self.kernel[policy], shares=self.shares[policy]))
        self._burden()
        self.feed(Link(path, up))

    def _apply(self, steer: Steer, number: int, error: str | None, life: int) -> None:
        if life == self._life and number == self._steers[steer.policy]:
            if steer.best is not None and not self.lines[steer.best].at(self.now).link:
                error = "no such device"
            if error is None:
                self.kernel[steer.policy] = (steer.best, steer.runner_up)
                self.shares[steer.policy] = steer.shares
                self._burden()
            best, second = self.kernel.get(steer.policy, (None, None))
            self.feed(Installed(steer.policy, best, second, error, shares=self.shares.get(steer.policy, ())))
