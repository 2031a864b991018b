"""Outcomes to belief: what we think of one leg of a path now. O(1) per sample, mutable, owned by its path.

All RTTs here are in milliseconds, all times in seconds on the engine's clock. Times are *send* times: an
answer that is handled late, or out of order, weighs as if it had been handled at once.

How a belief starts. The first reply sets the mean to itself and the standard deviation to an eighth of
itself (at least the floor), a prior that is worth one sample. While fewer samples are in memory than the
half-life would keep, each new one weighs ``1/(n+1)``, so the mean of the first few is their plain mean.
Loss starts at 0, jitter at 0.
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
"""Loss and jitter are rarer news than RTT: their half-life is so many times as long."""

JITTER_WEIGHT_MAX: Final = 1.0 / 16.0
"""RFC 3550, section 6.4.1: no difference weighs more, however far apart the probes are. At one probe a second and the
default half-life of 2 s a difference weighs 1/15 by time: so nearly the same."""

JUMP_MAX: Final = 2.0
"""A difference of two samples counts as jitter up to this many times the usual one: what is more is a spike, or a
step, and the mean's to tell. Without it a lone spike costs as much jitter for 10 s as lasting noise would: gap left
.121 instead of .078 on atlas-raw, .244 instead of .203 on seattle (docs/development/decisions/core-rule.md)."""

HELD: Final = 1.0 - 1e-6
"""Within so many seconds the very same RTT is no second measurement but the first one, held: by what recorded it, or by
a clock too coarse to tell: it is no evidence at all, and the next one weighs for all the time since the first."""

FLAT: Final = 3
"""Unless the RTT is, or before its last change was, the very same for so many seconds: then the path is like that."""

NOISE_FLOOR_MS: Final = 0.5
GAUSSIAN: Final = 1.128
"""The mean difference of two normal samples, in standard deviations: 2/sqrt(pi)."""

PENDING_MAX: Final = 64


class Estimate:
    """The belief about one leg.

    ``mean``, ``jitter`` and ``last_rtt`` in ms, ``variance`` in ms^2. ``n`` is the number of
    independent samples in memory, ``samples`` that of all since it last began anew. ``last_reply`` is when the newest
    probe that was answered had been sent, ``news_at`` the newest whose RTT was news.
    """

    __slots__ = (
        "_clipped",
        "_dt",
        "_fast",
        "_gaps",
        "_half_life",
        "_jitter_weight",
        "_kept",
        "_last_overdue",
        "_loss",
        "_loss_at",
        "_same_since",
        "_slow_half_life",
        "_spread",
        "_still",
        "jitter",
        "last_reply",
        "last_rtt",
        "mean",
        "n",
        "news_at",
        "samples",
        "variance",
    )

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._slow_half_life = SLOW * half_life
        self._fast = self._spread = self._kept = self._jitter_weight = 0.0
        self.forget()

    def forget(self) -> None:
        """Start anew: after a path was down or absent nothing of the old belief holds."""
        self._dt = nan  # the step that the weights were computed for; NaN: none, so that the next is looked at
        self.mean = 0.0
        self.variance = 0.0
        self.n = 0.0
        self.samples = 0
        self.jitter = 0.0
        self._loss = 0.0
        self.last_rtt = 0.0
        self.last_reply = self.news_at = -inf
        self._clipped = 0
        self._still = 0  # how many seconds brought the very same RTT
        self._same_since = -inf
        self._last_overdue = -inf
        self._loss_at = 0.0
        self._gaps: dict[float, float] = {}

    def reply(self, rtt: float, sent_at: float) -> bool:
        """An answer after ``rtt`` ms to the probe sent at ``sent_at``. True if it was news: neither older than another
        answer nor the same measurement again. This is the hot line of the core."""
        before = self.last_reply
        if sent_at <= before:
            return False  # an older probe, answered late: the newer answer has spoken for its time
        self.last_reply = sent_at
        dt = sent_at - self.news_at
        jump = rtt - self.last_rtt
        if not jump:
            if self._held(dt):
                return False
        elif self._still:
            self._moved(before, sent_at)
        if dt != self._dt:
            if not self.samples:
                self._first(rtt, sent_at)
                return True
            self._weigh(dt)
        self.news_at, self.last_rtt = sent_at, rtt
        self.samples = samples = self.samples + 1
        if self.n == self._kept:
            weight, spread = self._fast, self._spread
        else:
            weight, spread = self._young()
        mean, variance, jitter = self.mean, self.variance, self.jitter
        d = rtt - mean
        d2 = d * d
        if d2 > CLIP2 * variance and d2 > CLIP2 * SD_FLOOR2 and d2 > CLIP2 * RATIO2 * mean * mean:
            d, d2, weight, variance = self._outlier(d, weight, variance)
        elif self._clipped:
            self._clipped = 0
        jump = jump if jump > 0.0 else -jump  # jitter: how far samples in a row are apart (RFC 3550)
        usual = jitter if jitter > NOISE_FLOOR_MS else NOISE_FLOOR_MS
        weight2 = self._jitter_weight
        if weight2 * samples < 1.0:
            weight2 = 1.0 / samples
            if samples < 3:  # nothing to compare with yet
                usual = max(usual, mean / 8.0)
        if jump > JUMP_MAX * usual:
            jump = JUMP_MAX * usual
        self.jitter = jitter + weight2 * (jump - jitter)
        self.mean = mean + weight * d
        self.variance = variance + spread * (d2 - variance)
        return True

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
        self._loss += self._loss_weight(sent_at)

    def undo_loss(self, sent_at: float) -> None:
        """The probe that was counted as lost was answered after all: its loss is undone exactly."""
        self._loss = max(0.0, self._loss - self._loss_weight(sent_at))
        self._gaps.pop(sent_at, None)

    @property
    def loss(self) -> float:
        """The share of probes that were lost, 0 to 1, as of the newest answer: older losses weigh less. It is worked
        out when somebody looks, so that answers need not know of it."""
        lost = self._loss
        if not lost:
            return 0.0
        since = self.last_reply - self._loss_at
        return lost * exp2(-since / self._slow_half_life) if since > 0.0 else lost

    @property
    def sd(self) -> float:
        """Standard deviation of the RTT, in ms, not below its floor."""
        variance, floor = self.variance, RATIO2 * self.mean * self.mean
        return sqrt(max(variance, floor, SD_FLOOR2))

    def _first(self, rtt: float, sent_at: float) -> None:
        self.mean = self.last_rtt = rtt
        self.variance = max(SD_FLOOR_MS, rtt / 8.0) ** 2
        self.n = 1.0
        self.samples = 1
        self.last_reply = self.news_at = sent_at

    def _weigh(self, dt: float) -> None:
        """The weights of a sample that stands for ``dt``. With live clocks every step differs, so this is hot too."""
        self._dt = dt
        if dt < DT_MIN:
            dt = DT_MIN
        self._fast = fast = 1.0 - exp2(-dt / self._half_life)
        self._spread = fast if fast < VARIANCE_WEIGHT_MAX else VARIANCE_WEIGHT_MAX
        self._kept = 2.0 / fast - 1.0
        slow = 1.0 - exp2(-dt / self._slow_half_life)
        self._jitter_weight = slow if slow < JITTER_WEIGHT_MAX else JITTER_WEIGHT_MAX

    def _noise2(self) -> float:
        """Variance of single samples about their present mean, in ms^2, from the differences of those that follow each
        other: steps and slow swings are no part of it."""
        noise = self.jitter / GAUSSIAN
        return noise * noise if noise > NOISE_FLOOR_MS else NOISE_FLOOR_MS * NOISE_FLOOR_MS

    def _young(self) -> tuple[float, float]:
        """The weights of a sample for mean and variance, while fewer are in memory than the half-life would keep."""
        weight, spread, n, kept = self._fast, self._spread, self.n, self._kept
        if n < kept:
            young = 1.0 / (n + 1.0)
            weight = max(weight, young)
            if n < YOUNG:
                spread = max(spread, young)
        self.n = min(n + 1.0, kept)
        return weight, spread

    def _held(self, dt: float) -> bool:
        """Whether the same RTT as before, ``dt`` seconds after the last news, is no measurement of its own."""
        if self._still >= FLAT:
            return False
        if dt < HELD:
            return True
        self._still += 1
        self._same_since = -inf
        return False

    def _moved(self, before: float, sent_at: float) -> None:
        """The RTT changed; until ``before`` it had been the same more than once. What stood for long was the path's
        way, and what comes may stand as well; what did not, was chance."""
        if self._still < FLAT or before - self._same_since < FLAT:
            self._still = 0
        self._same_since = sent_at

    def _outlier(self, d: float, weight: float, variance: float) -> tuple[float, float, float, float]:
        """A sample ``d`` ms off the mean, by far: the first on its side is clipped, the next ones tell of a step.
        Returns what counts of it, its square, its weight, and the variance before it."""
        side = 1 if d > 0.0 else -1
        self._clipped = self._clipped + side if self._clipped * side > 0 else side
        if abs(self._clipped) <= CLIP_OPENS_AFTER:
            d = CLIP_SDS * self.sd * side
            return d, d * d, weight, variance
        self.n = 1.0
        noise2 = self._noise2()
        return d, noise2, STEP_WEIGHT, noise2

    def _fade(self, at: float) -> None:
        """Loss as of ``at``."""
        since = at - self._loss_at
        if since > 0.0:
            self._loss *= exp2(-since / self._slow_half_life)
            self._loss_at = at

    def _loss_weight(self, sent_at: float) -> float:
        gap = self._gaps.get(sent_at)
        if gap is None:  # of before it began anew: nothing was counted that could have aged
            return 0.0
        age = max(0.0, self._loss_at - sent_at)
        return (1.0 - exp2(-gap / self._slow_half_life)) * exp2(-age / self._slow_half_life)
