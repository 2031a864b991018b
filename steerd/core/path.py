"""One path: its belief, its health, its cost, and how it wants to be probed."""

from collections.abc import Callable
from math import inf
from typing import Final

from steerd.core.cost import JITTER_MAX, RTT_MAX, Beside, Pricing
from steerd.core.estimate import Estimate
from steerd.core.health import Health
from steerd.core.model import Cadence, Outcome, PathMtu, PathState, Probed
from steerd.core.settings import PathId, PathSettings

UP, ABSENT, RECOVERING = PathState.UP, PathState.ABSENT, PathState.RECOVERING
REPLY, OVERDUE, LOST, LATE = Outcome.REPLY, Outcome.OVERDUE, Outcome.LOST, Outcome.LATE
# Names of their own for what every probe compares with: to look a member up costs a call each time.

PATIENCE_SDS: Final = 4.0
PATIENCE_SLACK: Final = 0.020
"""A probe is overdue after ``mean + 4*sd + 20 ms``: RFC 6298's timeout with a slack for our own timers."""

PATIENCE_DRIFT: Final = 0.1
"""The prober is told of a new patience only when it moved by this share: it is news, not noise."""

BOUNDED_ABOVE: Final = min(RTT_MAX, JITTER_MAX) / 2.0
"""With a mean RTT below this, in ms, no term of the cost can be at its bound."""

CONFIRM_FASTEST: Final = 0.1
CONFIRM_SLOWEST: Final = 0.25
"""Bounds of the period while a failure is being confirmed, in seconds."""


class Path:
    """The mutable state of one path. ``cost`` and ``spot``, in ms, are kept current by each sample, so that a
    round only reads them."""

    __slots__ = (
        "_beside",
        "_draw",
        "_first",
        "_half_life",
        "_jitter_weight",
        "_load",
        "_loss_penalty",
        "beside",
        "cadence",
        "cost",
        "health",
        "id",
        "legs",
        "level",
        "missed",
        "missing",
        "pricing",
        "settings",
        "size",
        "spot",
        "steady",
        "up",
        "urgent",
    )

    def __init__(
        self, settings: PathSettings, pricing: Pricing, *, half_life: float, now: float, draw: Callable[[], float]
    ) -> None:
        self.id: PathId = settings.path
        self.settings = settings
        self.legs = [Estimate(half_life) for _ in range(settings.legs)]
        self.health = Health(legs=settings.legs, down_after=settings.down_after, now=now, draw=draw)
        self._first = self.legs[0]
        self.up = False
        self.steady = False  # up, with one leg: an answer can not change its health
        self.cost = inf  # until every leg has answered
        self.spot = inf  # what the last probe paid: the cost with its RTT, or what a loss costs, for what is believed
        self.level = inf  # the cost with the level in place of the mean
        self.missing = False  # whether the newest probe is overdue
        self.cadence: Cadence | None = None  # the last one asked for
        self.missed = False  # whether any probe was ever overdue
        self.urgent = False  # a rival of a choice that is under suspicion
        self.size: PathMtu | None = None  # how large packets may be, when that was found out last
        self.pricing = pricing
        self._jitter_weight = pricing.jitter_weight
        self._loss_penalty = pricing.loss_penalty
        self._load = 0.0  # the share of the penalty for load that counts
        self.beside = Beside()  # what it costs whatever its probes bring
        self._beside = settings.bias  # the same, with its bias
        self._half_life = half_life
        self._draw = draw

    def configure(self, settings: PathSettings, pricing: Pricing, *, half_life: float, now: float) -> None:
        """Take new settings; belief and health stay, unless what is probed changed."""
        if settings.legs != self.settings.legs or half_life != self._half_life:
            fresh = Path(settings, pricing, half_life=half_life, now=now, draw=self._draw)
            self.legs, self.health, self._first = fresh.legs, fresh.health, fresh.legs[0]
            self._changed()
            self._half_life = half_life
        self.settings = settings
        self.health.down_after = settings.down_after
        self.pricing = pricing
        self._jitter_weight = pricing.jitter_weight
        self._loss_penalty = pricing.loss_penalty
        self._price_beside()

    def probed(self, event: Probed, now: float) -> bool:
        """Take the outcome of one probe. True if the path's health changed."""
        outcome = event.outcome
        if outcome is REPLY:
            if self.steady:
                self.steadily(event.rtt * 1e3, event.sent_at)
                return False
            return self.answered(event.rtt * 1e3, event.sent_at, event.leg, now)
        if outcome is OVERDUE:
            return self.overdue(event.leg, event.sent_at, now)
        if outcome is LOST:
            self.lost(event.leg, event.sent_at)
        elif outcome is LATE:
            self.legs[event.leg].undo_loss(event.sent_at)
            return self.answered(event.rtt * 1e3, event.sent_at, event.leg, now)
        return False

    def overdue(self, leg: int, sent_at: float, now: float) -> bool:
        """A probe is overdue. True if the path's health changed."""
        self.missed = True
        belief = self.legs[leg]
        belief.overdue(sent_at)
        if belief.samples and sent_at < belief.last_reply:
            return False  # a newer probe was answered: this one alone went missing
        if not self.missing:
            self.missing = True
            self._price()
        changed = self.health.overdue(leg, sent_at, now)
        if changed:
            self._changed()
        return changed

    def lost(self, leg: int, sent_at: float) -> None:
        """A probe is lost for good."""
        if not self.health.gone:  # going down freezes belief
            self.legs[leg].lost(sent_at)
            self._price()

    def answered(self, rtt: float, sent_at: float, leg: int, now: float) -> bool:
        """A probe was answered after ``rtt`` ms. True if the path's health changed."""
        health = self.health
        if health.state is ABSENT:
            return False
        changed = health.answered(leg, now)
        if changed and self._changed() is RECOVERING:
            self.forget()  # the old belief was of another time
        self.legs[leg].reply(rtt, sent_at)
        self.missing = False
        self._price()
        return changed

    def steadily(self, rtt: float, sent_at: float) -> None:
        """`answered`, for a ``steady`` path: its health can not change by an answer. This runs for nearly every
        probe, so the cost is summed here, without the calls."""
        leg = self._first
        leg.reply(rtt, sent_at)
        self.missing = False
        mean = leg.mean
        if mean > BOUNDED_ABOVE:
            self._price()
            return
        beside = self._jitter_weight * leg.jitter + self._beside
        self.spot = leg.last_rtt + beside
        if leg.loss:
            beside += self._loss_penalty * leg.loss
        self.cost = mean + beside
        self.level = leg.level + beside

    def link(self, up: bool, now: float) -> bool:
        """The path's device came or went. True if the path's health changed."""
        if not self.health.link(up, now):
            return False
        self._changed()
        self.forget()
        return True

    def tunnel(self, stale: str, now: float) -> bool:
        """The path's tunnel seems dead, and why; or (empty) no longer. True if the path's health changed."""
        changed = self.health.tunnel(stale, now)
        if changed:
            self._changed()
        return changed

    def sized(self, event: PathMtu) -> None:
        """It was found how large packets may be. What is believed of delay and loss does not depend on it."""
        self.size = event
        self._price_beside()

    def forget(self) -> None:
        for leg in self.legs:
            leg.forget()
        self.cost = self.spot = self.level = inf
        self.missing = False

    @property
    def pop(self) -> str:
        return self.settings.pop

    def loaded(self, share: float) -> None:
        """Its PoP is loaded: so much of the penalty counts, 0 to 1."""
        if share != self._load:
            self._load = share
            self._price_beside()

    @property
    def samples(self) -> int:
        legs = self.legs
        return legs[0].samples if len(legs) == 1 else min(leg.samples for leg in legs)

    @property
    def answered_at(self) -> float:
        """When the newest probe that was answered had been sent; -inf: none was."""
        return min(leg.last_reply if leg.samples else -inf for leg in self.legs)

    @property
    def n(self) -> float:
        legs = self.legs
        return legs[0].n if len(legs) == 1 else min(leg.n for leg in legs)

    @property
    def error2(self) -> float:
        legs = self.legs
        return legs[0].error2 if len(legs) == 1 else max(leg.error2 for leg in legs)

    @property
    def scatter(self) -> float:
        legs = self.legs
        return legs[0].scatter if len(legs) == 1 else max(leg.scatter for leg in legs)

    @property
    def level_error2(self) -> float:
        legs = self.legs
        return legs[0].level_error2 if len(legs) == 1 else max(leg.level_error2 for leg in legs)

    @property
    def patience(self) -> float:
        """After how many seconds a probe is overdue."""
        timeout = self.settings.timeout
        if not self.samples:
            return timeout
        worst = max(leg.mean + PATIENCE_SDS * leg.sd for leg in self.legs)
        return min(timeout, worst * 1e-3 + PATIENCE_SLACK)

    def wants(self, *, chosen: bool) -> Cadence | None:
        """The cadence to ask for now, or None if the one asked for last still serves."""
        every = self._every(chosen=chosen)
        patience = self.patience
        last = self.cadence
        if last is not None and last.every == every and abs(patience - last.patience) <= PATIENCE_DRIFT * last.patience:
            return None
        self.cadence = Cadence(self.id, every, patience)
        return self.cadence

    def terms(self) -> dict[str, float]:
        """The cost, term by term, in ms; empty before every leg has answered."""
        return dict(self.pricing.terms(self.legs, self.settings.bias, self.beside)) if self.samples else {}

    def _every(self, *, chosen: bool) -> float | None:
        settings, state = self.settings, self.health.state
        if state is PathState.ABSENT:
            return None
        if self.urgent or (state is PathState.SUSPECT and self.health.doubted):
            usual = min(settings.interval, settings.standby_interval)
            return min(usual, max(CONFIRM_FASTEST, min(CONFIRM_SLOWEST, usual / 2.0)))
        if chosen or state in (PathState.SUSPECT, PathState.RECOVERING):
            return settings.interval
        return settings.standby_interval

    def _changed(self) -> PathState:
        state = self.health.state
        self.up = state is UP
        self.steady = self.up and len(self.legs) == 1
        return state

    def _price_beside(self) -> None:
        hole = self.size is not None and self.size.black_hole
        self.beside = Beside(self.pricing.mtu_penalty if hole else 0.0, self.pricing.load_penalty * self._load)
        self._beside = self.settings.bias + sum(self.beside)
        self._price()

    def _price(self) -> None:
        if not self.samples:
            self.cost = self.spot = self.level = inf
            return
        worst = self._first if len(self.legs) == 1 else max(self.legs, key=self.pricing.leg)
        self.cost = self.pricing.leg(worst) + self._beside
        beside = self.cost - min(worst.mean, RTT_MAX)
        self.level = min(worst.level, RTT_MAX) + beside
        paid = worst.mean + self._loss_penalty if self.missing else worst.last_rtt
        self.spot = min(paid, RTT_MAX) + beside - self._loss_penalty * worst.loss
