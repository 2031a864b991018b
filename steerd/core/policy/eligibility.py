"""Which paths a policy may use at one moment, and in which order it would take them.

The order of precedence: what the policy forbids, drain, hard pin, health, soft pin, cost.
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from steerd.core.belief.path import Path
from steerd.core.cost.price import Price
from steerd.core.policy.drains_and_pins import Drains, Pin
from steerd.core.settings import PathId
from steerd.core.states import PathState


class Eligibility(NamedTuple):
    """All that it depends on, as it is at ``now``: made once for each look. ``paths``: those that the policy does not
    forbid; ``forbidden``: of each of the others why. ``refusal`` says why the kernel refused a path, or None;
    ``refused_until``: when the next one may be asked for again."""

    paths: Mapping[PathId, Path]
    prices: Mapping[PathId, Price]
    forbidden: Mapping[PathId, str]
    wanted: PathId | None
    pin: Pin | None
    drains: Drains
    refusal: Callable[[PathId, float], str | None]
    refused_until: float
    now: float

    @property
    def current(self) -> Path | None:
        """The path that is wanted now; None: there is none, or the policy may not use it any more."""
        return None if self.wanted is None else self.paths.get(self.wanted)

    def excluded(self, id_: PathId) -> str | None:
        """Why the policy may not move to this path, or None."""
        if id_ in self.forbidden:
            return self.forbidden[id_]
        path = self.paths[id_]
        if (why := self._barred(path)) is not None:
            return why
        health = path.health
        if health.gone:
            return f"{health.state}: {health.explanation}"
        return self._refused(id_) if path.samples else "nothing heard yet"

    def usable(self) -> list[Path]:
        """The paths that were heard from and that nothing excludes. Asked each second, of hundreds."""
        heard = [path for path in self.paths.values() if path.samples and not path.health.gone]
        if self.pin is None and self.refused_until == inf and not self.drains:
            return heard
        return [path for path in heard if self.excluded(path.id) is None]

    def half(self, path: Path) -> bool:
        """Whether the policy may use the path, and one family, or target, of it answers while another is silent: better
        than a path of which none does, and worse than any other."""
        answers = path.answered_by_half(self.now) > -inf
        return answers and self._barred(path) is None and self._refused(path.id) is None

    def passed_over(self, id_: PathId) -> str | None:
        """Why the policy would rather not move to this path, whatever it costs, or None: what excludes it, and who
        asks that its PoP be left while there is another."""
        why = self.excluded(id_)
        if why is None and id_ != self.wanted and self.drains.discourages(pop := self.paths[id_].pop):
            return f"{pop} is to be left ({self.drains.origin(pop)})"
        return why

    def _barred(self, path: Path) -> str | None:
        """Why nobody wants the path to be used, or None."""
        if self.drains.forbids(path.pop):
            return f"{path.pop} is drained ({self.drains.origin(path.pop)})"
        if not self.pin_allows(path):
            return f"the policy is pinned to {self.pin.pop}" if self.pin else None
        return None

    def _refused(self, id_: PathId) -> str | None:
        refused = self.refusal(id_, self.now)
        return f"the kernel refused it: {refused}" if refused is not None else None

    def pin_allows(self, path: Path) -> bool:
        """Whether no hard pin forbids the path. One to a PoP that is drained or gone does not hold."""
        pin = self.pin
        if pin is None or not pin.hard or path.pop == pin.pop or self.drains.forbids(pin.pop):
            return True
        return all(one.pop != pin.pop for one in self.paths.values())

    def pinned(self, *, up: bool = False) -> bool:
        """Whether a path of the PoP that the policy is pinned to may be used; ``up``: and is trusted."""
        pin = self.pin
        return pin is not None and any(
            one.pop == pin.pop and (not up or one.health.state is PathState.UP) and self.excluded(one.id) is None
            for one in self.paths.values()
        )

    def open(self, path: Path) -> bool:
        """Whether a matter of price may move the policy there."""
        aside = self.pin is not None and path.pop != self.pin.pop and self.pinned()
        return not aside and self.excluded(path.id) is None

    def undrained(self) -> bool:
        """Whether there is another path to move to, whose PoP nobody wants drained."""
        return any(
            path.id != self.wanted
            and path.health.answering
            and not self.drains.discourages(path.pop)
            and self.excluded(path.id) is None
            for path in self.paths.values()
        )

    def sighted(self) -> bool:
        """Whether there is another path to move to that is up, and answers since the current one is not asked."""
        silent = self.silent_since()
        return any(
            path.id != self.wanted
            and path.health.state is PathState.UP
            and path.answered_at > silent
            and self.excluded(path.id) is None
            for path in self.paths.values()
        )

    def rank(self, path: Path) -> tuple[bool, bool, bool, bool, float]:
        """The lower, the sooner it is taken when a choice is forced."""
        health = path.health
        return (
            self.pin is not None and path.pop != self.pin.pop,
            self.drains.discourages(path.pop),
            not health.answering,
            health.state is not PathState.UP or health.held(self.now) > 0.0,
            self.prices[path.id].cost,
        )

    def hopeless(self) -> bool:
        """Nothing may be used, and nothing is about to: no allowed path even might answer."""
        return not any(
            self.half(path)
            or (
                not path.health.gone
                and (not path.samples or self.excluded(path.id) is None)
                and self._barred(path) is None
            )
            for path in self.paths.values()
        )

    def silent_since(self) -> float:
        """When the first unanswered probe of the current path was sent, or kept on this machine; -inf: none is."""
        current = self.current
        if current is None:
            return -inf
        return current.asked.since if current.health.doubted_at is None else current.health.doubted_at
