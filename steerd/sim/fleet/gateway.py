"""One gateway of the fleet: the daemon's own engine, fed as the daemon feeds it, in virtual time.

What is not as in the daemon: nobody probes more often than once a second, so that a dead PoP is noticed after two to
four seconds and not within one; a second's answers are all heard in the middle of it; the kernel carries out a switch
at once.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from steerd.core.effects import Cadence, Effect, Fact, Steer, carry_out
from steerd.core.engine import Engine
from steerd.core.events import Carried, Event, Installed, Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.settings import PolicyId, Settings
from steerd.sim.fleet.probing import Moment, Probes

POLICY: Final = PolicyId("all")

HEARD: Final = 0.5
"""Seconds into a second at which its answers are heard."""

FORGOTTEN: Final = 5.0
"""Seconds after which nobody waits for a late answer any more."""

REPLY, OVERDUE, LOST, LATE = Outcome.REPLY, Outcome.OVERDUE, Outcome.LOST, Outcome.LATE


class Steered:
    """``at``: the PoP in use. ``rate``: what it sends, in bytes a second. It probes in the seconds that ``phase`` and
    the settings' round say, and each second while it doubts a path."""

    def __init__(self, settings: Settings, probes: Probes, *, at: int, rate: float, phase: int) -> None:
        self.at = at
        self._probes = probes
        self._rate = rate
        self._paths = [one.path for one in settings.paths]
        self._places = {path: place for place, path in enumerate(self._paths)}
        self._timeout = settings.paths[0].timeout
        self._patience = [self._timeout] * len(self._paths)
        self._round = settings.round
        self._period, self._phase = round(settings.round), phase
        self._usual = list(range(len(self._paths)))  # probed once a round
        self._scouts: deque[tuple[float, int]] = deque()  # when each is due
        self._urgent: list[int] = []  # probed each second
        self._late: list[tuple[float, Event]] = []
        self._now = float(phase - self._period)
        self._engine = Engine(settings, Memory(), now=self._now, epoch=1, draw=probes.draw.random)
        self._scout_interval = settings.scout_interval
        for event in (None, Installed(POLICY, self._paths[at]), Carried(self._paths[at], rate)):
            self._feed(event)

    def probe(self, moment: Moment) -> None:
        """A second begins: send what is due, and hear what comes of it."""
        second = moment.second
        if second % self._period == self._phase:
            places: list[int] = self._usual
            if self._scouts and self._scouts[0][0] <= second:
                places = [*places, *self._due(second)]
        elif self._urgent:
            places = self._urgent
        else:
            return
        if self._late:
            self._hear_late(float(second))
        feed, paths, patience = self._engine.feed, self._paths, self._patience
        sent, self._now = float(second), second + HEARD
        for place, rtt in zip(places[:], self._probes.rtts(places, moment.queue), strict=True):
            seconds = rtt * 1e-3
            if seconds > patience[place]:
                self._miss(place, seconds, sent)
            elif effects := feed(Probed(paths[place], REPLY, sent, seconds), self._now):
                carry_out(effects, self)

    def end(self, now: int) -> None:
        """The second is over: decide, if a round is."""
        if now % self._period == self._phase:
            self._now = float(now)
            if effects := self._engine.feed(None, now):
                carry_out(effects, self)

    def cadence(self, wanted: Cadence) -> None:
        """As `steerd.core.effects.Hands`."""
        place, every = self._places[wanted.path], wanted.every
        self._patience[place] = wanted.patience
        if every is None or every > self._round:
            if place in self._usual:
                self._usual = [one for one in self._usual if one != place]
                self._scouts.append((self._now + self._probes.draw.random() * self._scout_interval, place))
                self._scouts = deque(sorted(self._scouts))
        elif place not in self._usual:
            self._usual = [*self._usual, place]
            self._scouts = deque(one for one in self._scouts if one[1] != place)
        urgent = every is not None and every < self._round and self._period > 1
        if urgent is not (place in self._urgent):
            others = [one for one in self._urgent if one != place]
            self._urgent = [*others, place] if urgent else others

    def steer(self, wanted: Steer) -> None:
        """As `steerd.core.effects.Hands`: the kernel obeys."""
        before = self.at
        if wanted.best is not None:
            self.at = self._places[wanted.best]
        self._feed(Installed(wanted.policy, wanted.best, wanted.runner_up))
        if before != self.at and self._rate:
            self._feed(Carried(self._paths[before], 0.0))
            self._feed(Carried(self._paths[self.at], self._rate))

    def fact(self, fact: Fact) -> None:
        """As `steerd.core.effects.Hands`."""

    def _feed(self, event: Event | None) -> None:
        effects: Iterable[Effect] = self._engine.feed(event, self._now)
        carry_out(effects, self)

    def _due(self, second: int) -> list[int]:
        due = []
        while self._scouts[0][0] <= second:
            _, place = self._scouts.popleft()
            due.append(place)
            self._scouts.append((second + self._scout_interval, place))
        return due

    def _miss(self, place: int, seconds: float, sent: float) -> None:
        """It is overdue; it may be answered, within the timeout or later."""
        path = self._paths[place]
        self._feed(Probed(path, OVERDUE, sent))
        if seconds <= self._timeout:
            return self._feed(Probed(path, REPLY, sent, seconds))
        self._late.append((sent + self._timeout, Probed(path, LOST, sent)))
        if seconds < FORGOTTEN:
            self._late.append((sent + seconds, Probed(path, LATE, sent, seconds)))
        return None

    def _hear_late(self, now: float) -> None:
        due = [event for at, event in sorted(self._late, key=lambda one: one[0]) if at <= now]
        self._late = [(at, event) for at, event in self._late if at > now]
        self._now = now
        for event in due:
            self._feed(event)
