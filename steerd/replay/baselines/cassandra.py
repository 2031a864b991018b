"""Cassandra's dynamic snitch: which replica to read from.

Sources: Apache Cassandra, locator/DynamicEndpointSnitch.java for the scores and the comparison; config/Config.java and
cassandra.yaml for the defaults (since 4.0); Dropwizard Metrics, ExponentiallyDecayingReservoir.java and
WeightedSnapshot.java for the median.

Not shown: the reservoir keeps 100 samples, chosen at random with a strong preference for the newest; here the newest
100 of the last 20 s are kept, and what that leaves out weighs less than a millionth at 5 samples a second or fewer.
The order that the snitch below gives (racks, data centers) is the operator's, see `Preference`. No replica compacts.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from itertools import accumulate
from math import exp, floor, inf
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.baselines.preference import Preference

ALPHA: Final = 0.75  # a sample that is a second older weighs exp(-0.75) times as much
WINDOW_SIZE: Final = 100  # samples of a replica that are kept
WEIGHTS: Final = tuple(exp(-ALPHA * age) for age in range(21))  # by age in seconds
UPDATE_INTERVAL: Final = 0.1  # seconds from one look at the scores to the next (dynamic_snitch_update_interval)
RESET_INTERVAL: Final = 600.0  # seconds after which all samples are forgotten (dynamic_snitch_reset_interval)
BADNESS_THRESHOLD: Final = 1.0
"""Up to this much worse, as a ratio, than the best of its rank a replica stays preferred. 0.1 before 4.0."""

TIMEOUT: Final = 5000.0  # ms. A read that is not answered counts as one of this latency (read_request_timeout).


class Reservoir:
    """The samples of one replica: whole ms, with the whole second that each came in."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=WINDOW_SIZE)

    def add(self, time: float, rtt: float) -> None:
        """In seconds, and in ms."""
        self._samples.append((floor(time), floor(rtt)))

    def median(self) -> int:
        """The value up to which the weights of all lower ones make at most a half."""
        newest = self._samples[-1][0]
        oldest = newest - len(WEIGHTS) + 1
        ordered = sorted((value, WEIGHTS[newest - second]) for second, value in self._samples if second >= oldest)
        weights = [weight for _, weight in ordered]
        before = [0.0, *accumulate(weights)]
        return ordered[bisect_right(before, before[-1] / 2.0, hi=len(ordered)) - 1][0]


class Cassandra:
    """The preferred replica; if scores (medians) in that order are too bad against the sorted ones, the best."""

    def __init__(self, badness_threshold: float = BADNESS_THRESHOLD) -> None:
        self._badness = 1.0 + badness_threshold
        self._preference = Preference()
        self._samples: dict[PathId, Reservoir] = {}
        self._scores: dict[PathId, float] = {}
        self._updated_at = -inf
        self._reset_at: float | None = None

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        if self._reset_at is None:
            self._reset_at = time
        if time - self._reset_at >= RESET_INTERVAL:
            self._reset_at = time
            self._samples.clear()
        self._preference.meet(rtts)
        for path, rtt in rtts.items():
            self._samples.setdefault(path, Reservoir()).add(time, TIMEOUT if rtt is None else rtt)
        if time - self._updated_at >= UPDATE_INTERVAL:
            self._updated_at = time
            medians = {path: reservoir.median() for path, reservoir in self._samples.items()}
            worst = max(1, *medians.values())
            self._scores = {path: median / worst for path, median in medians.items()}
        return self._choose()

    def _choose(self) -> PathId | None:
        order = self._preference.order
        if not order:
            return None
        scores = [self._scores.get(path, 0.0) for path in order]
        if any(score > best * self._badness for score, best in zip(scores, sorted(scores), strict=True)):
            return order[scores.index(min(scores))]
        return order[0]
