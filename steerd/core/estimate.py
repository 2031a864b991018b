"""Outcomes to belief: what we think of one leg of a path now. O(1) per sample, mutable, owned by its path.

All RTTs here are in milliseconds, all times in seconds on the engine's clock. Times are *send* times: an
answer that is handled late, or out of order, weighs as if it had been handled at once.

How a belief starts. The first reply sets the mean to itself and the standard deviation to an eighth of
itself (at least the floor), a prior that is worth one sample. While fewer samples are in memory than the
half-life would keep, each new one weighs ``1/(n+1)``, so the mean of the first few is their plain mean.
Loss starts at 0, jitter at 0. The *level* is a mean with the long half-life of loss: what a path is used to.
"""

from math import exp2, inf, nan, sqrt
from typing import Final

SD_FLOOR_MS: Final = 0.5
SD_FLOOR_RATIO: Final = 0.02
"""No path is steadier than this, whatever its last samples say: clocks and queues are not."""

CLIP_SDS: Final = 3.0
"""A sample moves the mean by as much as one at three standard deviations would, at most."""

CLIP2: Final = CLIP_SDS * CLIP_SDS
SD_FLOOR2: Final = SD_FLOOR_MS * SD_FLOOR_MS
RATIO2: Final = SD_FLOOR_RATIO * SD_FLOOR_RATIO

CLIP_OPENS_AFTER: Final = 1
"""So many clipped samples in a row on one side are outliers: the next is a step, and counts in full."""

VARIANCE_WEIGHT_MAX: Final = 0.25
DT_MIN: Final = 1e-3
"""Answers nearer to each other than this, in seconds, weigh as if they were so far apart."""

YOUNG: Final = 3.0
"""With fewer independent samples than this the variance, too, is a plain mean."""

STEP_WEIGHT: Final = 0.5
"""At a step the mean starts anew, halfway to the sample that told of it, and single samples are taken to vary about it
as they did about the old one."""

SLOW: Final = 5.0
"""Loss is rarer news than RTT, and what a path is used to changes slowly: their half-life is so many times as long."""

LEVEL_ERRORS: Final = 3.0
"""The level stays within so many standard errors of the mean: a path that surely became another is used to that."""

LEVEL_ERRORS2: Final = LEVEL_ERRORS * LEVEL_ERRORS

JITTER_SHORT: Final = 2.0
JITTER_LONG: Final = 60.0
"""Jitter is remembered with these many times the RTT's half-life. At one probe a second and the default half-life of
2 s the short memory moves by 1/6 per sample (RFC 3550 has 1/16), the long one by 1/174."""

JITTER_ERRORS: Final = 1.5
"""The long memory is believed as far as the short one, within so many of its standard errors, does not belie it."""

JITTER_CV: Final = 0.9
"""The standard error of a mean of n absolute differences of normal samples is this over sqrt(n), of itself: they vary
by sqrt(pi/2 - 1) = .76, and those that share a sample are correlated."""

JUMP_MAX: Final = 1.75
"""A difference of two samples counts as jitter up to this many times the usual one: what is more is a spike, or a
step, and the mean's to tell."""

UNCUT: Final = 0.8593
"""So much is left of the mean absolute difference of normal samples where each is cut at `JUMP_MAX` times that mean:
the fixed point of m = E min(|d|, 1.75 m), with E |d| = 1."""

WHOLE: Final = 1.0 / UNCUT

HELD: Final = 1.0 - 1e-6
"""Within so many seconds the very same RTT is no second measurement but the first one, held: by what recorded it, or by
a clock too coarse to tell. It is no evidence at all; the next one weighs for all the time since the first."""

NOISE_FLOOR_MS: Final = 0.5
GAUSSIAN: Final = 1.128
"""The mean difference of two normal samples, in standard deviations: 2/sqrt(pi)."""

PENDING_MAX: Final = 64


class Estimate:
    """The belief about one leg."""

    __slots__ = (
        "_clipped",
        "_dt",
        "_fast",
        "_gaps",
        "_half_life",
        "_jitter_error",
        "_kept",
        "_last_overdue",
        "_long",
        "_long_weight",
        "_loss_at",
        "_news_at",
        "_short",
        "_short_weight",
        "_slow",
        "_slow_half_life",
        "_spread",
        "jitter",
        "last_reply",
        "last_rtt",
        "level",
        "loss",
        "mean",
        "n",
        "samples",
        "variance",
    )

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._slow_half_life = SLOW * half_life
        self._fast = self._slow = self._spread = self._kept = 0.0
        self._short_weight = self._long_weight = self._jitter_error = 0.0
        self.forget()

    def forget(self) -> None:
        """Start anew: after a path was down or absent nothing of the old belief holds."""
        self._dt = nan  # the step that the weights were computed for; NaN: none, so that the next is looked at
        self.mean = 0.0
        self.variance = 0.0
        self.n = 0.0
        self.samples = 0
        self.jitter = self._short = self._long = 0.0
        self.level = 0.0
        self.loss = 0.0
        self.last_rtt = 0.0
        self.last_reply = self._news_at = -inf
        self._clipped = 0
        self._last_overdue = -inf
        self._loss_at = 0.0
        self._gaps: dict[float, float] = {}

    def reply(self, rtt: float, sent_at: float) -> None:
        """An answer after ``rtt`` ms to the probe sent at ``sent_at``. This is the hot line of the core."""
        if sent_at <= self.last_reply:
            return  # an older probe, answered late: the newer answer has spoken for its time
        self.last_reply = sent_at
        if self.loss:
            self._fade(sent_at)
        dt = sent_at - self._news_at
        jump = rtt - self.last_rtt
        if not jump and dt < HELD:
            return
        if dt != self._dt:
            if not self.samples:
                self._first(rtt, sent_at)
                return
            self._weigh(dt)
        self._news_at, self.last_rtt = sent_at, rtt
        self.samples = samples = self.samples + 1
        weight, spread = self._fast, self._spread
        n, kept = self.n, self._kept
        if n != kept:
            if n < kept:
                young = 1.0 / (n + 1.0)
                if young > weight:
                    weight = young
                if young > spread and n < YOUNG:
                    spread = young
            n += 1.0
            self.n = n if n < kept else kept
        mean, variance = self.mean, self.variance
        d = rtt - mean
        d2 = d * d
        if d2 > CLIP2 * variance and d2 > CLIP2 * SD_FLOOR2 and d2 > CLIP2 * RATIO2 * mean * mean:
            clipped = self._clip(d)
            if clipped == d:
                weight, self.n = STEP_WEIGHT, 1.0
                variance = d2 = self.scatter**2
            else:
                d = clipped
                d2 = d * d
        elif self._clipped:
            self._clipped = 0
        self.mean = mean = mean + weight * d
        self.variance = variance = variance + spread * (d2 - variance)

        # Jitter: how far samples that follow each other are apart, into both memories.
        short, long = self._short, self._long
        usual = short if short > NOISE_FLOOR_MS else NOISE_FLOOR_MS
        short_weight, long_weight, slow = self._short_weight, self._long_weight, self._slow
        if long_weight * samples < 1.0:
            young = long_weight = 1.0 / samples
            if young > slow:
                slow = young
            if young > short_weight:
                short_weight = young
                usual = max(usual, self.level / 8.0)  # as much as is believed before there is anything to compare
        if jump < 0.0:
            jump = -jump
        if jump > JUMP_MAX * usual:
            jump = JUMP_MAX * usual
        self._short = short = short + short_weight * (jump - short)
        self._long = long = long + long_weight * (jump - long)
        off = long - short
        error = self._jitter_error * short
        if off > error:
            long = short + error
        elif off < -error:
            long = short - error
        self.jitter = long * WHOLE

        self.level = level = self.level + slow * (rtt - self.level)
        off = level - mean
        if off * off * self.n > LEVEL_ERRORS2 * variance:
            self.level = self._held_to_mean(level)

    def _held_to_mean(self, level: float) -> float:
        """The level, as far as the mean lets it."""
        mean, most = self.mean, LEVEL_ERRORS * sqrt(self.error2)
        return min(max(level, mean - most), mean + most)

    def overdue(self, sent_at: float) -> None:
        """Remember how much time this probe stands for, should it be settled as lost."""
        seen = self._last_overdue
        if self.last_reply > seen:
            seen = self.last_reply
        if sent_at <= seen:
            return
        if len(self._gaps) >= PENDING_MAX:
            del self._gaps[next(iter(self._gaps))]
        self._gaps[sent_at] = sent_at - seen if seen > -inf else 0.0
        self._last_overdue = sent_at

    def lost(self, sent_at: float) -> None:
        """The probe is settled as lost: it adds the weight of the time it stands for."""
        self._fade(sent_at)
        self.loss += self._loss_weight(sent_at)

    def undo_loss(self, sent_at: float) -> None:
        """The probe that was counted as lost was answered after all: its loss is undone exactly."""
        self.loss = max(0.0, self.loss - self._loss_weight(sent_at))
        self._gaps.pop(sent_at, None)

    @property
    def sd(self) -> float:
        """Standard deviation of the RTT, in ms, not below its floor."""
        return sqrt(self._variance_at_least())

    @property
    def error2(self) -> float:
        """The squared standard error of the mean, in ms^2: the variance over the independent samples in
        memory."""
        return self._variance_at_least() / (self.n if self.n > 1.0 else 1.0)

    @property
    def scatter(self) -> float:
        """Standard deviation of single samples about their present level, in ms, from the differences of those that
        follow each other: steps and slow swings are no part of it."""
        scatter = self.jitter / GAUSSIAN
        return scatter if scatter > NOISE_FLOOR_MS else NOISE_FLOOR_MS

    @property
    def level_error2(self) -> float:
        """The squared standard error of the level, in ms^2."""
        scatter, slow, samples = self.scatter, self._slow, self.samples
        kept = (2.0 - slow) / slow if slow > 0.0 else inf
        return scatter * scatter / max(1.0, min(samples, kept))

    def _first(self, rtt: float, sent_at: float) -> None:
        self.mean = self.level = self.last_rtt = rtt
        self.variance = max(SD_FLOOR_MS, rtt / 8.0) ** 2
        self.n = 1.0
        self.samples = 1
        self.last_reply = self._news_at = sent_at

    def _weigh(self, dt: float) -> None:
        """The weights of a sample that stands for ``dt``. With live clocks every step differs, so this is hot too."""
        self._dt = dt
        if dt < DT_MIN:
            dt = DT_MIN
        self._fast = fast = 1.0 - exp2(-dt / self._half_life)
        self._spread = fast if fast < VARIANCE_WEIGHT_MAX else VARIANCE_WEIGHT_MAX
        self._kept = 2.0 / fast - 1.0
        self._slow = 1.0 - exp2(-dt / self._slow_half_life)
        self._short_weight = short = 1.0 - exp2(-dt / (JITTER_SHORT * self._half_life))
        self._long_weight = 1.0 - exp2(-dt / (JITTER_LONG * self._half_life))
        self._jitter_error = JITTER_ERRORS * JITTER_CV / sqrt((2.0 - short) / short)

    def _variance_at_least(self) -> float:
        variance, floor = self.variance, RATIO2 * self.mean * self.mean
        if variance < floor:
            variance = floor
        return variance if variance > SD_FLOOR2 else SD_FLOOR2

    def _clip(self, d: float) -> float:
        side = 1 if d > 0.0 else -1
        self._clipped = self._clipped + side if self._clipped * side > 0 else side
        if abs(self._clipped) > CLIP_OPENS_AFTER:
            return d
        return CLIP_SDS * self.sd * side

    def _fade(self, at: float) -> None:
        """Loss as of ``at``: older losses weigh less."""
        dt = at - self._loss_at
        if dt <= 0.0:
            return
        self.loss *= exp2(-dt / self._slow_half_life)
        self._loss_at = at

    def _loss_weight(self, sent_at: float) -> float:
        gap = self._gaps.get(sent_at, 0.0)
        age = self._loss_at - sent_at
        return (1.0 - exp2(-gap / self._slow_half_life)) * exp2(-age / self._slow_half_life)
