"""What was asked of the kernel for one policy, and what it answered. Belief follows the kernel.

What an `Installed` means, by what was asked and what it tells:

======================  ==================  ==========================================================
it tells                an answer awaited   so
======================  ==================  ==========================================================
what is wanted          or not              agreed: what was refused before is forgiven
an error                yes                 what was asked for is refused for a while; what is there is wanted
an error                no                  what is there is wanted
another choice          yes                 late: it answers an older wish, that to the last one is to come
none                    no                  somebody took it away: it is to be asked for again
another choice          no                  somebody else chose, or an earlier run did: it is wanted
======================  ==================  ==========================================================
"""

from enum import Enum, auto
from math import inf
from typing import Final

from steerd.core.events import Installed, Shares
from steerd.core.settings import PathId

REFUSED_FIRST: Final = 1.0
REFUSED_MAX: Final = 60.0
"""Seconds: a path that the kernel refused is left alone for a while, doubling from the first to the last."""


class Answer(Enum):
    """What an `Installed` means."""

    AGREED = auto()
    LATE = auto()
    TAKEN = auto()
    OTHER = auto()


class Assignment:
    """``wanted`` and ``runner`` are what was asked for, ``choice``, ``runner_up`` and ``shares`` what the kernel has.
    ``pending_since``: a `Steer` is out since then, and nothing has answered it. ``error``: what the kernel said, or
    the ``mismatch``: where it sends packets though all is in place."""

    __slots__ = ("_refused", "choice", "error", "mismatch", "pending_since", "runner", "runner_up", "shares", "wanted")

    def __init__(self) -> None:
        self.wanted: PathId | None = None
        self.runner: PathId | None = None
        self.choice: PathId | None = None
        self.runner_up: PathId | None = None
        self.shares: Shares = ()
        self.pending_since: float | None = None
        self.error: str | None = None
        self.mismatch: str | None = None
        self._refused: dict[PathId, tuple[float, float, str]] = {}  # until, wait, error

    def want(self, best: PathId | None, runner: PathId | None) -> None:
        """These are to be used from now on; the asking is `ask`'s."""
        self.wanted, self.runner = best, runner

    def ask(self, now: float) -> None:
        """An answer is awaited from now on."""
        self.pending_since = now

    def installed(self, event: Installed, now: float) -> Answer:
        """The kernel's word; see the table above."""
        awaited = self.pending_since is not None
        self.choice, self.runner_up, self.shares = event.best, event.runner_up, event.shares
        self.mismatch = event.mismatch
        if event.error is None and event.best == self.wanted:
            self.pending_since = None
            self.error = event.mismatch
            if event.best is not None:
                self._refused.pop(event.best, None)
            return Answer.AGREED
        if event.error is not None:
            self.error = event.error
            if awaited and self.wanted is not None:
                self._refuse(self.wanted, event.error, now)
        elif awaited:
            return Answer.LATE
        elif event.best is None:
            return Answer.TAKEN
        else:
            self.error = event.mismatch  # what was refused before is past
        self.pending_since = None
        self.wanted, self.runner = event.best, event.runner_up
        return Answer.OTHER

    def refusal(self, path: PathId, now: float) -> str | None:
        """What the kernel said when it refused this path, as long as it is too early to ask again; else None."""
        until, _, error = self._refused.get(path, (-inf, 0.0, ""))
        return error if now < until else None

    def refused_until(self, now: float) -> float:
        """When the next path may be asked for again; inf: none waits."""
        return min((until for until, _, _ in self._refused.values() if now < until), default=inf)

    def _refuse(self, path: PathId, error: str, now: float) -> None:
        wait = min(REFUSED_MAX, 2.0 * self._refused[path][1]) if path in self._refused else REFUSED_FIRST
        self._refused[path] = (now + wait, wait, error)
