"""Does a target answer only so many probes a second? Pure.

A limiter of answers (a token bucket, or so many for each second) lets answers pass in a regular beat. Loss on the
way does not: runs of answers and of losses have the lengths of a random walk, or come in bursts, which are less
regular still. So what is compared is how much the beat, the time from one run of answers to the next, varies: its
coefficient of variation against that of independent losses of the same share, ``q`` of probes answered. A run of
answers is then geometric with mean ``1/(1-q)``, one of losses with mean ``1/q``, which gives a beat of mean
``1/(q*(1-q))`` and variance ``q/(1-q)^2 + (1-q)/q^2``.
"""

from collections import deque
from itertools import pairwise
from math import sqrt
from typing import Final

WINDOW: Final = 512
"""Probes remembered of each kind."""
QUIET: Final = 128
"""Answers on end after which losses are past."""
BEATS: Final = 8
"""Beats that must be seen before anything is said."""
LOSS: Final = 0.2
"""A smaller share of loss is not worth a word."""
REGULAR: Final = 0.4
"""How much of the variation of random loss there may be."""
ECHOES: Final = 16
"""Echoes that must have been sent by the same path, and so many times rarer must they be lost: `FEWER`."""
FEWER: Final = 4


class Limit:
    """The last probes of one leg that loses some. ``answered`` and ``lost`` take times of sending, in seconds, and
    ``echoed`` whether an echo to the same target was answered."""

    def __init__(self) -> None:
        self._answered: deque[float] = deque(maxlen=WINDOW)
        self._lost: deque[float] = deque(maxlen=WINDOW)

        self._echoed: deque[bool] = deque(maxlen=4 * ECHOES)

        self.answered, self.lost = self._answered.append, self._lost.append
        self.echoed = self._echoed.append

    @property
    def quiet(self) -> bool:
        """Whether its losses are past."""
        return bool(self._answered) and (not self._lost or sum(at > self._lost[-1] for at in self._answered) >= QUIET)

    def refuses(self) -> float | None:
        """The share of probes that are lost, if it is much and echoes to the same target are lost hardly ever."""
        if len(self._answered) < BEATS or len(self._echoed) < ECHOES:
            return None
        began = max((times[0] for times in (self._answered, self._lost) if len(times) == WINDOW), default=0.0)
        answers, losses = (sum(at >= began for at in times) for times in (self._answered, self._lost))
        lost, unechoed = losses / (answers + losses), 1.0 - sum(self._echoed) / len(self._echoed)
        return lost if lost >= LOSS and unechoed * FEWER <= lost else None

    def looks_limited(self) -> float | None:
        """How many answers a second the target seems to give, or None if it does not look so."""
        if len(self._answered) < BEATS or len(self._lost) < BEATS:
            return None
        kinds = (self._answered, True), (self._lost, False)
        began = max((times[0] for times, _ in kinds if len(times) == WINDOW), default=0.0)
        probes = sorted((at, answered) for times, answered in kinds for at in times if at >= began)
        answers = sum(answered for _, answered in probes)
        if not probes or not answers or 1.0 - answers / len(probes) < LOSS:
            return None
        starts = [at for (_, before), (at, answered) in pairwise(probes) if answered and not before]
        beats = [after - at for at, after in pairwise(starts)]
        if len(beats) < BEATS:
            return None
        mean = sum(beats) / len(beats)
        variation = sqrt(sum((beat - mean) ** 2 for beat in beats) / len(beats)) / mean
        q = answers / len(probes)
        random = sqrt(q / (1.0 - q) ** 2 + (1.0 - q) / q**2) * q * (1.0 - q)
        return None if variation > REGULAR * random else answers / (probes[-1][0] - probes[0][0])
