"""What PoPs say of themselves: only known PoPs, and only what is newer than what each said before."""

import time
from collections.abc import Callable, Collection
from typing import Final

from steerd.core.cost.pop_load import FRESH
from steerd.core.events import PopState
from steerd.share.messages import PopReport, RefusedError, decode
from steerd.share.topics import Topics

EPOCH_AHEAD: Final = 86_400.0
"""Seconds that a PoP's epoch, its start, may be ahead of our clock: with a greater one no later word would be heard."""

REASONS: Final = (
    "another PoP's topic", "content type", "future epoch", "malformed", "stale epoch", "stale seq", "too large",
    "unknown PoP",
)  # fmt: skip
"""All that a report is refused for."""


class Reports:
    """Turns messages into `PopState` events. `refuse` gets the source, `pop`, a reason, and the topic. `wall` is the
    time since 1970, in seconds."""

    def __init__(
        self,
        topics: Topics,
        pops: Collection[str],
        on_pop_state: Callable[[PopState], None],
        refuse: Callable[[str, str, str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.pops = frozenset(pops)
        self._topics = topics
        self._on_pop_state = on_pop_state
        self._refuse = refuse
        self._wall = wall
        self._heard: dict[str, tuple[int, int]] = {}
        self._ahead: dict[str, tuple[tuple[int, int], PopState]] = {}

    def take(self, topic: str, payload: bytes, content_type: str | None, *, retained: bool = False) -> None:
        """One message. An empty one, which clears a retained one, takes back what the PoP said. `retained`: the broker
        may have kept it for any time, so its load counts as `FRESH` seconds older."""
        if not payload:
            return self._cleared(self._topics.pop(topic))
        try:
            report = self._newer(topic, payload, content_type, FRESH if retained else 0.0)
        except RefusedError as refused:
            self._refuse("pop", refused.reason, topic)
        else:
            if report is not None:
                self._on_pop_state(report)
        return None

    def look(self) -> None:
        """Our clock may have been set: take what was ahead of it and no longer is. Its load is too old by now."""
        for pop, (place, report) in list(self._ahead.items()):
            if pop not in self.pops or not self._future(place):
                del self._ahead[pop]
                if pop in self.pops and place > self._heard.get(pop, (-1, -1)):
                    self._heard[pop] = place
                    self._on_pop_state(report._replace(load=None, age=0.0))

    def _cleared(self, pop: str | None) -> None:
        if pop is not None and pop in self._heard:
            self._on_pop_state(PopState(pop, accepting=True))

    def _future(self, place: tuple[int, int]) -> bool:
        return place[0] > self._wall() + EPOCH_AHEAD

    def _newer(self, topic: str, payload: bytes, content_type: str | None, lain: float) -> PopState | None:
        pop = self._topics.pop(topic)
        if pop is None or pop not in self.pops:
            raise RefusedError("unknown PoP")
        report = decode(PopReport, payload, content_type)
        if report.pop != pop:
            raise RefusedError("another PoP's topic")
        place, heard = (report.epoch, report.seq), self._heard.get(pop, (-1, -1))
        if place < heard:
            raise RefusedError("stale epoch" if place[0] < heard[0] else "stale seq")
        if place == heard:
            return None  # retained, and delivered again after a reconnect
        load = None if report.load_ppm is None else report.load_ppm / 1_000_000
        state = PopState(pop, report.accepting, load, 0.0 if load is None else report.age_ms / 1000 + lain)
        if self._future(place):
            self._ahead[pop] = place, state
            raise RefusedError("future epoch")
        self._ahead.pop(pop, None)  # it was the epoch that was wrong, not our clock
        self._heard[pop] = place
        return state
