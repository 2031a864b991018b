"""What steerd would save where it only observes: each policy's traffic where it is, against where it would be.

Of each path counts what its last probe brought, until the next comes: so both sides are weighed by time, however often
either path is probed.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from steerd.core.effects import Switched
from steerd.core.events import SETTLED, Configured, Event, Installed, Link, Observed, Outcome, Probed
from steerd.core.settings import PathId, PolicyId

MOVES_MAX: Final = 50
"""Moves of a policy that are told one by one, the latest."""


class Side(NamedTuple):
    """What traffic met: ``rtt`` in ms, a mean over the time in which probes were answered (None: never); ``lost``: the
    part of the time in which they were not, from 0 to 1."""

    rtt: float | None
    lost: float


class Saved(NamedTuple):
    """Of a policy. ``path``: where its traffic is now; None: on no path, and ``words`` say where. ``choice``: where it
    would be. ``seconds``: for how long both were known; ``apart``: for how long they were not the same. ``moves``: how
    often it would have been moved; ``last``: the latest of them."""

    path: PathId | None
    words: str
    choice: PathId | None
    seconds: float
    apart: float
    was: Side
    would: Side
    moves: int
    last: tuple[Switched, ...]

    def figures(self) -> dict[str, Any]:
        """All but the latest moves, as JSON has it."""
        return {
            "path": self.path,
            "goes": self.words or None,
            "choice": self.choice,
            "seconds": round(self.seconds, 3),
            "apart_s": round(self.apart, 3),
            "moves": self.moves,
            **{
                name: {"rtt_ms": None if side.rtt is None else round(side.rtt, 3), "lost": round(side.lost, 6)}
                for name, side in (("was", self.was), ("would", self.would))
            },
        }


class _Sum:
    def __init__(self) -> None:
        self._answered = self._weighted = self._lost = 0.0

    def add(self, rtt: float | None, seconds: float) -> None:
        if rtt is None:
            self._lost += seconds
        else:
            self._answered += seconds
            self._weighted += rtt * seconds

    def side(self) -> Side:
        every = self._answered + self._lost
        return Side(self._weighted / self._answered if self._answered else None, self._lost / every if every else 0.0)


class _Account:
    def __init__(self, now: float) -> None:
        self.path: PathId | None = None
        self.words = ""
        self.choice: PathId | None = None
        self.moves = 0
        self.last: deque[Switched] = deque(maxlen=MOVES_MAX)
        self.was, self.would = _Sum(), _Sum()
        self.seconds = self.apart = 0.0
        self._until = now

    def settle(self, brought: Mapping[PathId, float | None], now: float) -> None:
        """Weigh the time up to now."""
        seconds, self._until = max(0.0, now - self._until), max(now, self._until)
        if self.path is not None and self.path in brought and self.choice is not None and self.choice in brought:
            self.seconds += seconds
            self.apart += seconds if self.path != self.choice else 0.0
            self.was.add(brought[self.path], seconds)
            self.would.add(brought[self.choice], seconds)


class Savings:
    """Fed with what a recording holds, in that order, and with the switches that the engine made of it: so a recording
    tells the same as the daemon did."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.until = 0.0
        self._legs: dict[PathId, dict[int, float | None]] = {}
        self._brought: dict[PathId, float | None] = {}
        self._accounts: dict[PolicyId, _Account] = {}

    def told(self, event: Event | Observed | None, now: float) -> None:
        """What was seen or fed to the engine, and when."""
        if self.began is None:
            self.began = now
        self.until = max(now, self.until)
        match event:
            case Probed() if event.outcome in SETTLED:
                legs = self._legs.setdefault(event.path, {})
                legs[event.leg] = None if event.outcome is Outcome.LOST else event.rtt * 1000.0
                known = [rtt for rtt in legs.values() if rtt is not None]
                self._bring(event.path, max(known) if len(known) == len(legs) else None)
            case Link() if not event.up:
                self._settle(now)
                self._legs.pop(event.path, None)
                self._brought.pop(event.path, None)
                if not event.device:  # what was sent there is lost
                    self._brought[event.path] = None
            case Observed():
                self._settle(now)
                account = self._accounts.setdefault(event.policy, _Account(now))
                account.path, account.words = event.path, event.words
            case Installed() if event.policy in self._accounts and self._accounts[event.policy].choice is None:
                self._settle(now)
                self._accounts[event.policy].choice = event.best
            case Configured():
                self._settle(now)
                paths = {path.path for path in event.settings.paths}
                policies = {policy.policy for policy in event.settings.policies}
                self._legs = {path: legs for path, legs in self._legs.items() if path in paths}
                self._brought = {path: rtt for path, rtt in self._brought.items() if path in paths}
                self._accounts = {policy: one for policy, one in self._accounts.items() if policy in policies}
            case _:
                pass

    def switched(self, fact: Switched) -> None:
        """The engine would have moved a policy."""
        self._settle(fact.at)
        account = self._accounts.setdefault(fact.policy, _Account(fact.at))
        account.choice = fact.new
        if fact.old is not None:
            account.moves += 1
            account.last.append(fact)

    def report(self) -> Mapping[PolicyId, Saved]:
        """Up to what was told last."""
        self._settle(self.until)
        return {
            policy: Saved(
                one.path,
                one.words,
                one.choice,
                one.seconds,
                one.apart,
                one.was.side(),
                one.would.side(),
                one.moves,
                tuple(one.last),
            )
            for policy, one in self._accounts.items()
        }

    def _bring(self, path: PathId, rtt: float | None) -> None:
        if path not in self._brought or self._brought[path] != rtt:
            for account in self._accounts.values():
                if path in (account.path, account.choice):
                    account.settle(self._brought, self.until)
            self._brought[path] = rtt

    def _settle(self, now: float) -> None:
        for account in self._accounts.values():
            account.settle(self._brought, now)
