"""What a region's rollup hints at: which PoPs are near. A hint has a scout looked at sooner, and is no evidence."""

from collections.abc import Callable
from typing import Final

from steerd.core.events import Hints
from steerd.share.messages import RefusedError, Rollup, decode
from steerd.share.topics import Topics

LOSSY: Final = 50_000
"""A PoP of which the region loses more than this share of probes, in millionths, is not hinted at."""

LASTS: Final = 600.0
"""Seconds after which hints end if no other rollup has come."""

REASONS: Final = ("another region's topic", "content type", "malformed", "stale", "too large")
"""All that a rollup is refused for."""


class Rollups:
    """Turns the rollups of one region into `Hints`. `refuse` gets the source, `region`, a reason, and the topic.
    `clock` is monotonic, in seconds."""

    def __init__(
        self,
        topics: Topics,
        region: str,
        on_hints: Callable[[Hints], None],
        refuse: Callable[[str, str, str], None],
        clock: Callable[[], float],
    ) -> None:
        self.topic = topics.rollup
        self._region = region
        self._on_hints = on_hints
        self._refuse = refuse
        self._clock = clock
        self._heard_at = 0.0
        self._place = (-1, -1)
        self._told = Hints()

    def take(self, payload: bytes, kind: str | None) -> None:
        """One message of the topic. An empty one takes all hints back."""
        try:
            hints = self._hints(payload, kind) if payload else Hints()
        except RefusedError as refused:
            self._refuse("region", refused.reason, self.topic)
            return
        self._heard_at = self._clock()
        self._tell(hints)

    def look(self) -> None:
        """Time goes by: what nobody says any more is not true for ever."""
        if self._clock() - self._heard_at > LASTS:
            self._tell(Hints())

    def _tell(self, hints: Hints) -> None:
        if hints != self._told:
            self._told = hints
            self._on_hints(hints)

    def _hints(self, payload: bytes, kind: str | None) -> Hints:
        rollup = decode(Rollup, payload, kind)
        if rollup.region != self._region:
            raise RefusedError("another region's topic")
        place = rollup.epoch, rollup.seq
        if place < self._place:
            raise RefusedError("stale")
        self._place = place
        near = sorted((one.median_rtt_us, one.pop) for one in rollup.paths if one.loss_ppm <= LOSSY)
        return Hints(tuple(pop for _, pop in near))
