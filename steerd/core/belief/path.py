"""One path: what is believed of its legs, its health, and how it wants to be probed."""

from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import Final

from steerd.core.belief.asked import Asked
from steerd.core.belief.estimate import Estimate
from steerd.core.belief.health import Health
from steerd.core.effects import Cadence
from steerd.core.events import Outcome, PathMtu, Probed
from steerd.core.settings import PathId, PathSettings
from steerd.core.states import PathState

UP, ABSENT, RECOVERING = PathState.UP, PathState.ABSENT, PathState.RECOVERING
REPLY, OVERDUE, LOST = Outcome.REPLY, Outcome.OVERDUE, Outcome.LOST
LATE, LOCAL = Outcome.LATE, Outcome.LOCAL
# Names of their own for what every probe compares with: to look a member up costs a call each time.

PATIENCE_SDS: Final = 4.0
PATIENCE_SLACK: Final = 0.020
"""A probe is overdue after ``mean + 4*sd + 20 ms``: RFC 6298's timeout with a slack for our own timers."""

PATIENCE_DRIFT: Final = 0.1
"""The prober is told of a new patience only when it moved by this share: it is news, not noise."""

MISSING_AFTER: Final = 2.0
"""A probe that is overdue is charged as a lost one when it has been on its way for so many times the path's patience.
At a step of 40 ms every probe is overdue for a moment, and would look like loss to whoever looks in that moment."""

CONFIRM_FASTEST: Final = 0.1
CONFIRM_SLOWEST: Final = 0.25
"""Bounds of the period while a failure is being confirmed, in seconds."""


class Role(Enum):
    """What a path is to the policies that may use it; of several the first counts."""

    BUSY = auto()  # it carries traffic that queues there
    CHOSEN = auto()  # it carries traffic
    TRIED = auto()  # promoted, and not yet shown to a rule
    CANDIDATE = auto()  # a rule is shown it
    SCOUT = auto()  # looked at now and then


class Path:
    """The mutable state of one path.

    ``news`` counts what was learned of it, answers and missing probes alike, and never goes back; ``news_after`` is how
    many seconds after the one before the newest such probe was sent. ``asked``: which of its ``legs`` it is judged by.
    ``missing``: its newest probe is lost, or overdue by far; ``missed``: any ever was overdue. ``load`` is the share of
    the penalty for a loaded PoP that counts, 0 to 1; ``fee`` what its uplink's price is, and ``scarcity`` what it costs
    that the uplink's cap is near, in ms; ``spared``: it is to be used only if nothing else is up. ``rate`` is what this
    gateway's own traffic on the path amounts to, in bytes a second.
    """

    def __init__(self, settings: PathSettings, *, half_life: float, now: float, draw: Callable[[], float]) -> None:
        self.id: PathId = settings.path
        self.cadence: Cadence | None = None  # the last one asked for
        self.news = 0
        self.news_after = inf
        self._news_at = -inf
        self.missing = self.missed = False
        self._silent_since: float | None = None  # when its newest probe was sent, if that is overdue
        self.size: PathMtu | None = None  # how large packets may be, when that was found out last
        self.load = self.fee = self.scarcity = self.rate = 0.0
        self.spared = False
        self._half_life = half_life
        self._draw = draw
        self.settings: PathSettings
        self.legs: list[Estimate]
        self.health: Health
        self._begin(settings, now)

    def configure(self, settings: PathSettings, *, half_life: float, now: float) -> None:
        """Take new settings; belief and health stay, unless what is probed changed."""
        before = self.settings
        other = settings.legs != before.legs or settings.probed != before.probed
        if other or half_life != self._half_life:
            self._half_life = half_life
            self._begin(settings, now)
        self.settings = settings
        self.health.configure(settings.down_after)

    def probed(self, event: Probed, now: float) -> bool:
        """Take the outcome of one probe. True if the path's health changed."""
        outcome = event.outcome
        if outcome is LOCAL:
            if not self.asked.kept(event.leg, event.sent_at):
                return False
            changed = self.health.unasked(event.leg, now, every=self.asked.none)
            self.up = self.health.state is UP
            return changed
        if self.asked.unsent and outcome is not Outcome.VOID:
            self.asked.left(event.leg)
        if outcome is REPLY:
            return self.answered(event.rtt * 1e3, event.sent_at, event.leg, now)
        if outcome is OVERDUE:
            return self.overdue(event.leg, event.sent_at, now)
        if outcome is LOST:
            self.lost(event.leg, event.sent_at)
        elif outcome is LATE:
            self.legs[event.leg].undo_loss(event.sent_at)
            return self.answered(event.rtt * 1e3, event.sent_at, event.leg, now)
        return False

    def answered(self, rtt: float, sent_at: float, leg: int, now: float) -> bool:
        """A probe was answered after ``rtt`` ms. True if the path's health changed."""
        changed = False
        if not self.up:
            if self.health.state is ABSENT:
                return False
            changed = self._heard(leg, now)
            self.missing = False
            self._silent_since = None
            self._last_answer = sent_at
        self.measured(rtt, sent_at, leg)
        return changed

    def measured(self, rtt: float, sent_at: float, leg: int) -> None:
        """The same of a path that is up, whose health an answer does not change."""
        if self.legs[leg].reply(rtt, sent_at):  # as `_learned`, without the call
            self.news += 1
            self.news_after = sent_at - self._news_at
            self._news_at = sent_at

    def overdue(self, leg: int, sent_at: float, now: float) -> bool:
        """A probe is overdue. True if the path's health changed."""
        self.missed = True
        belief = self.legs[leg]
        belief.overdue(sent_at)
        if belief.samples and sent_at < belief.last_reply:
            return False  # a newer probe was answered: this one alone went missing
        self._silent_since = sent_at
        changed = self.health.overdue(leg, sent_at, now)
        if changed:
            self.up = False
        return changed

    def lost(self, leg: int, sent_at: float) -> None:
        """A probe is lost for good."""
        if not self.health.gone:  # going down freezes belief
            self.legs[leg].lost(sent_at)
        if sent_at == self._silent_since:
            self._missed(sent_at)

    @property
    def silent(self) -> bool:
        """Whether its newest probe is overdue."""
        return self._silent_since is not None

    def end_round(self, now: float) -> None:
        """A round ended: a probe that is overdue by far counts as missing, though it may still be answered."""
        since = self._silent_since
        if since is not None and now - since >= MISSING_AFTER * self.patience:
            self._missed(since)

    def link(self, up: bool, now: float, why: str = "", *, device: bool = False) -> bool:
        """As `Health.link`."""
        if not self.health.link(up, now, why, device=device):
            return False
        self.up = False
        self.forget()
        return True

    def tunnel(self, stale: str, now: float) -> bool:
        """The path's tunnel seems dead, and why; or (empty) no longer. True if the path's health changed."""
        changed = self.health.tunnel(stale, now)
        self.up = self.health.state is UP
        return changed

    def sized(self, event: PathMtu) -> None:
        """It was found how large packets may be. What is believed of delay and loss does not depend on it."""
        self.size = event

    def charge(self, *, load: float, fee: float = 0.0, scarcity: float = 0.0, spared: bool = False) -> None:
        """So much is charged from now on for its PoP's load, and for its uplink."""
        self.load, self.fee, self.scarcity, self.spared = load, fee, scarcity, spared

    def carried(self, rate: float) -> None:
        """It carries so many bytes a second of this gateway's own traffic, both ways together."""
        self.rate = rate

    def forget(self) -> None:
        """Believe nothing of its delay and loss any more."""
        for leg in self.legs:
            leg.forget()
        self.missing = False
        self._silent_since = None

    @property
    def pop(self) -> str:
        """The PoP that it leads to."""
        return self.settings.pop

    @property
    def samples(self) -> int:
        """How many answers there were since belief last began anew, on the leg that has fewest. 0: nothing is known."""
        legs = self.asked.counted
        return legs[0].samples if len(legs) == 1 else min(leg.samples for leg in legs)

    @property
    def known(self) -> bool:
        """Whether it had its chance to answer."""
        return self.missed or self.samples > 0

    @property
    def answered_at(self) -> float:
        """When the newest probe that was answered, on every leg, had been sent; -inf: none was."""
        return min(leg.last_reply if leg.samples else -inf for leg in self.asked.counted)

    def answered_by_half(self, now: float) -> float:
        """Of a path of which one leg is silent: when the newest probe that another one answered had been sent, if that
        is news; else -inf. It carries that family, if not both."""
        health, at = self.health, self._last_answer
        if self.single or self.up or health.state is ABSENT or now - at > self._fresh:
            return -inf
        return at if health.doubted_at is None or at > health.doubted_at else -inf

    @property
    def black_hole(self) -> bool:
        """Whether large packets vanish on it."""
        return self.size is not None and self.size.black_hole

    @property
    def patience(self) -> float:
        """After how many seconds a probe is overdue."""
        timeout = self.settings.timeout
        if not self.samples:
            return timeout
        worst = max(leg.mean + PATIENCE_SDS * leg.sd for leg in self.asked.counted)
        return min(timeout, worst * 1e-3 + PATIENCE_SLACK)

    def wants(self, role: Role, *, scout_interval: float, urgent: bool) -> Cadence | None:
        """The cadence to ask for now, or None if the one asked for last still serves. ``urgent``: it is a rival of a
        choice that is under suspicion."""
        every = self._every(role, scout_interval, urgent=urgent)
        patience = self.patience
        last = self.cadence
        if last is not None and last.every == every and abs(patience - last.patience) <= PATIENCE_DRIFT * last.patience:
            return None
        self.cadence = Cadence(self.id, every, patience)
        return self.cadence

    def _every(self, role: Role, scout_interval: float, *, urgent: bool) -> float | None:
        settings, state = self.settings, self.health.state
        if state is ABSENT:
            return None
        if urgent or (state is PathState.SUSPECT and self.health.doubted):
            usual = min(settings.interval, settings.standby_interval)
            return min(usual, max(CONFIRM_FASTEST, min(CONFIRM_SLOWEST, usual / 2.0)))
        if role is Role.BUSY and state is UP:
            return min(settings.interval, CONFIRM_SLOWEST)
        if not self.known or role in (Role.BUSY, Role.CHOSEN, Role.TRIED) or state in (PathState.SUSPECT, RECOVERING):
            return settings.interval
        if role is Role.SCOUT:
            return max(scout_interval, settings.standby_interval)
        return settings.standby_interval

    def _begin(self, settings: PathSettings, now: float) -> None:
        """Nothing is known of what these settings have probed."""
        self.settings = settings
        self.legs = [Estimate(self._half_life) for _ in range(settings.legs)]
        self.asked = Asked(self.legs)
        self._last_answer = -inf
        self._fresh = settings.timeout + 2.0 * max(settings.interval, settings.standby_interval)
        self.health = Health(legs=settings.legs, down_after=settings.down_after, now=now, draw=self._draw)
        self.single = settings.legs == 1
        self.up = False
        self.missing = False

    def _missed(self, sent_at: float) -> None:
        """The newest probe counts as missing, once."""
        if not self.missing or sent_at > self._news_at:
            self.missing = True
            self._learned(sent_at)

    def _learned(self, sent_at: float) -> None:
        self.news += 1
        self.news_after = sent_at - self._news_at
        self._news_at = sent_at

    def _heard(self, leg: int, now: float) -> bool:
        """A path that is not up answered."""
        changed = self.health.answered(leg, now)
        if changed:
            state = self.health.state
            self.up = state is UP
            if state is RECOVERING:
                self.forget()  # the old belief was of another time
        return changed
