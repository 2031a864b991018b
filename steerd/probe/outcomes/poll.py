"""Several targets of one path in one family, told as one: alive as long as a quorum answers, as fast as its best.

Who asks one address alone learns whether that address answers, which is not whether the path works. So of all outcomes
those of one target are passed on, the one that is followed: the best that is steady. More than one probe in a row is
told to be overdue only where so many targets are silent that the others are no quorum, in whatever order their probes
ran out of patience.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from steerd.core.events import Outcome, Probed

REPLY, LATE, OVERDUE, LOST, LOCAL = Outcome.REPLY, Outcome.LATE, Outcome.OVERDUE, Outcome.LOST, Outcome.LOCAL

WEIGHT: Final = 0.1
"""Of a new sample in a target's means."""
SILENT: Final = 3
"""Probes in a row that a target has not answered when it is said to be silent: as many as take a path down."""
LEFT_AFTER: Final = 2
"""So many are not answered when another target is followed: before the path would seem to be down."""
LOSS_MS: Final = 200.0
"""What loss of everything is worth, in ms: a target that answers every second probe only is not followed."""
BETTER_MS: Final = 1.0
BETTER_SHARE: Final = 0.1
STEADY: Final = 20
"""The best target is followed when it has been so, by `BETTER_MS` and `BETTER_SHARE`, for so many of its answers."""
SDS: Final = 4.0
SLACK: Final = 0.020
"""As a path's patience (`steerd.core.belief.path`), by the target's own RTT."""


class _Target:
    __slots__ = ("deviation", "local", "loss", "mean", "run")

    def __init__(self) -> None:
        self.mean: float | None = None  # seconds
        self.deviation = self.loss = 0.0
        self.run = 0  # probes in a row without an answer
        self.local = False  # this machine sends it none

    def answered(self, rtt: float) -> None:
        self.run, self.local = 0, False
        self.loss -= WEIGHT * self.loss
        if self.mean is None:
            self.mean, self.deviation = rtt, rtt / 2.0
        else:
            self.deviation += WEIGHT * (abs(rtt - self.mean) - self.deviation)
            self.mean += WEIGHT * (rtt - self.mean)

    @property
    def score(self) -> float:
        """What it costs to be followed, in ms."""
        return ((self.mean or 0.0) + 2.0 * self.deviation) * 1e3 + self.loss * LOSS_MS


class Poll:
    """Of so many targets; ``quorum`` of those that this machine sends probes to must answer (0: half of them, or more).
    ``follows``: whose outcomes are passed on. Not for one target: it has nothing to compare."""

    def __init__(self, targets: int, quorum: int = 0) -> None:
        self._targets = [_Target() for _ in range(targets)]
        self._quorum = quorum
        self.follows = 0
        self._run = 0  # of the path: probes in a row for which there was no quorum
        self._overdue = 0  # how many were told since the last answer that was
        self._passed = 0.0  # when the newest probe whose answer was passed on was sent
        self._better = (0, 0)  # who would be followed instead, and for how many answers

    def patience(self, place: int, usual: float, timeout: float) -> float:
        """After how many seconds a probe of this target is overdue; ``usual``: the path's patience."""
        one = self._targets[place]
        if one.mean is None:
            return timeout
        return min(timeout, max(usual, one.mean + SDS * one.deviation + SLACK))

    def told(self, place: int, event: Probed) -> Iterator[Probed]:
        """An outcome of the target at ``place``; yields what is to be passed on."""
        one, outcome = self._targets[place], event.outcome
        if outcome is REPLY or outcome is LATE:
            one.answered(event.rtt)
            self._run = self._silence()
            self._choose(place)
            if place == self.follows and not self._run:
                self._passed = max(self._passed, event.sent_at)
                self._overdue = 0
                yield event
        elif outcome is OVERDUE:
            one.run += 1
            one.local = False
            self._run = self._silence()
            lone = place == self.follows and not self._overdue  # as any loss: it makes the path suspect, and counts
            if lone or self._run > self._overdue:
                self._overdue += 1
                # Later than what another target answered: of the quorum, not of this one target.
                yield event._replace(sent_at=max(event.sent_at, self._passed)) if not lone else event
            if not self._run:
                self._choose(place)
        elif outcome is LOCAL:
            one.local, one.run = True, 0
            self._run = min(self._run, self._silence())
            self._choose(place)
            if all(other.local for other in self._targets):
                yield event
        else:
            if outcome is LOST:
                one.loss += WEIGHT * (1.0 - one.loss)
            if place == self.follows:
                yield event

    @property
    def silent(self) -> Sequence[int]:
        """The targets that do not answer, while enough others do."""
        if self._run:
            return ()
        return [place for place, one in enumerate(self._targets) if one.run >= SILENT]

    def _silence(self) -> int:
        """How many probes in a row lacked a quorum: so many, or more, were missed by each of too many targets."""
        runs = sorted((one.run for one in self._targets if not one.local), reverse=True)
        if not runs:
            return 0
        quorum = min(self._quorum or (len(runs) + 1) // 2, len(runs))
        return runs[len(runs) - quorum]

    def _choose(self, place: int) -> None:
        """Follow the best target, if the present one is silent, or that at ``place`` is it, and has been for long."""
        now = self._targets[self.follows]
        heard = [at for at, one in enumerate(self._targets) if one.mean is not None and not one.local and not one.run]
        best = min(heard, key=lambda at: self._targets[at].score, default=self.follows)
        if now.local or now.run >= LEFT_AFTER or now.mean is None:
            self.follows = best
        elif place != best:
            return
        elif best != self.follows and self._is_better(self._targets[best], now):
            who, times = self._better
            self._better = (best, times + 1 if who == best else 1)
            if self._better[1] < STEADY:
                return
            self.follows = best
        self._better = (self.follows, 0)

    @staticmethod
    def _is_better(one: _Target, than: _Target) -> bool:
        return one.score + max(BETTER_MS, BETTER_SHARE * than.score) < than.score
