"""Outcomes to belief: what we think of one leg of a path now. O(1) per sample, mutable, owned by its path.

All RTTs here are in milliseconds, all times in seconds on the engine's clock. Times are *send* times: an
answer that is handled late, or out of order, weighs as if it had been handled at once.

How a belief starts. The first reply sets the mean to itself and the standard deviation to an eighth of
itself (at least the floor), a prior that is worth one sample. While fewer samples are in memory than the
half-life would keep, each new one weighs ``1/(n+1)``, so the mean of the first few is their plain mean.
Loss starts at 0, jitter at 0.
"""

from math import sqrt
from typing import Final

SD_FLOOR_MS: Final = 0.5
SD_FLOOR_RATIO: Final = 0.02
"""No path is steadier than this, whatever its last samples say: clocks and queues are not."""

CLIP_SDS: Final = 3.0
"""A sample moves the mean by as much as one at three standard deviations would, at most."""

CLIP_OPENS_AFTER: Final = 2
"""So many clipped samples in a row on one side are a step, not outliers: the next counts in full."""

VARIANCE_WEIGHT_MAX: Final = 0.25
SLOW: Final = 5.0
"""Loss and jitter are rarer news than RTT: their half-life is this many times the RTT's. At one probe a
second and the default half-life of 2 s, jitter then moves by 1/15 per sample, as RFC 3550 has it (1/16)."""

PENDING_MAX: Final = 64


class Estimate:
    """The belief about one leg."""

    __slots__ = (
        "_clipped",
        "_decay",
        "_dt",
        "_fast",
        "_gaps",
        "_half_life",
        "_last_seen",
        "_loss_at",
        "_slow",
        "jitter",
        "last_reply",
        "last_rtt",
        "loss",
        "mean",
        "n",
        "samples",
        "variance",
    )

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._dt = -1.0  # the step that the three weights below were computed for
        self._fast = self._slow = self._decay = 0.0
        self.forget()

    def forget(self) -> None:
        """Start anew: after a path was down or absent nothing of the old belief holds."""
        self.mean = 0.0
        self.variance = 0.0
        self.n = 0.0
        self.samples = 0
        self.jitter = 0.0
        self.loss = 0.0
        self.last_rtt = 0.0
        self.last_reply = 0.0
        self._clipped = 0
        self._last_seen: float | None = None
        self._loss_at = 0.0
        self._gaps: dict[float, float] = {}

    def reply(self, rtt: float, sent_at: float) -> None:
        """An answer after ``rtt`` ms to the probe sent at ``sent_at``."""
        last_seen = self._last_seen
        if last_seen is None or sent_at > last_seen:
            self._last_seen = sent_at
        if not self.samples:
            self._first(rtt, sent_at)
            return
        dt = sent_at - self.last_reply
        if dt <= 0.0:
            return  # an older probe, answered late: the newer answer has spoken for its time
        if dt != self._dt:
            self._weigh(dt)
        self.last_reply = sent_at
        n = self.n
        fast = self._fast
        w = 1.0 / (n + 1.0)
        w = max(w, fast)
        d = rtt - self.mean
        variance = self.variance
        floor = self.mean * SD_FLOOR_RATIO
        floor = floor * floor
        floor = max(floor, SD_FLOOR_MS * SD_FLOOR_MS)
        bound = CLIP_SDS * CLIP_SDS * (max(floor, variance))
        if d * d > bound:
            d = self._clip(d, sqrt(bound))
        else:
            self._clipped = 0
        self.mean += w * d
        fast = min(fast, VARIANCE_WEIGHT_MAX)
        if n < 3.0:
            fast = max(fast, 1.0 / (n + 1.0))
        self.variance = variance + fast * (d * d - variance)
        kept = 2.0 / self._fast - 1.0
        self.n = min(kept, n + 1.0)
        self.samples += 1
        change = rtt - self.last_rtt
        self.last_rtt = rtt
        self.jitter += self._slow * ((change if change > 0.0 else -change) - self.jitter)
        if self.loss:
            self._settle(sent_at)

    def overdue(self, sent_at: float) -> None:
        """Remember how much time this probe stands for, should it be settled as lost."""
        last_seen = self._last_seen
        if last_seen is not None and sent_at > last_seen:
            if len(self._gaps) >= PENDING_MAX:
                del self._gaps[next(iter(self._gaps))]
            self._gaps[sent_at] = sent_at - last_seen
        if last_seen is None or sent_at > last_seen:
            self._last_seen = sent_at

    def lost(self, sent_at: float) -> None:
        """The probe is settled as lost: it adds the weight of the time it stands for."""
        self._settle(sent_at)
        self.loss += self._loss_weight(sent_at)

    def late(self, rtt: float, sent_at: float) -> None:
        """The answer to a probe that was counted as lost: its loss is undone exactly, its RTT counts."""
        self.loss = max(0.0, self.loss - self._loss_weight(sent_at))
        self._gaps.pop(sent_at, None)
        self.reply(rtt, sent_at)

    @property
    def sd(self) -> float:
        """Standard deviation of the RTT, in ms, not below its floor."""
        return max(sqrt(self.variance), SD_FLOOR_MS, SD_FLOOR_RATIO * self.mean)

    @property
    def error2(self) -> float:
        """The squared standard error of the mean, in ms^2: the variance over the independent samples in
        memory."""
        sd = self.sd
        return sd * sd / max(self.n, 1.0)

    def _first(self, rtt: float, sent_at: float) -> None:
        self.mean = self.last_rtt = rtt
        self.variance = max(SD_FLOOR_MS, rtt / 8.0) ** 2
        self.n = 1.0
        self.samples = 1
        self.last_reply = sent_at

    def _weigh(self, dt: float) -> None:
        self._dt = dt
        self._fast = 1.0 - 2.0 ** (-dt / self._half_life)
        self._slow = 1.0 - 2.0 ** (-dt / (SLOW * self._half_life))

    def _clip(self, d: float, bound: float) -> float:
        side = 1 if d > 0.0 else -1
        self._clipped = self._clipped + side if self._clipped * side > 0 else side
        if abs(self._clipped) > CLIP_OPENS_AFTER:
            return d
        return bound * side

    def _settle(self, at: float) -> None:
        if at > self._loss_at:
            self.loss *= 2.0 ** ((self._loss_at - at) / (SLOW * self._half_life))
            self._loss_at = at

    def _loss_weight(self, sent_at: float) -> float:
        gap = self._gaps.get(sent_at, 0.0)
        age = self._loss_at - sent_at
        slow = SLOW * self._half_life
        return float((1.0 - 2.0 ** (-gap / slow)) * 2.0 ** (-age / slow))
