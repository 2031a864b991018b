"""What PoPs say of themselves: only known PoPs, and only what is newer than what each said before."""

import time
from collections.abc import Callable, Collection
from typing import Final

from steerd.core.cost.backbone import FULL
from steerd.core.cost.pop_load import FRESH
from steerd.core.events import BackboneLink, BackboneLinks, PopState
from steerd.share.messages import PopReport, RefusedError, decode
from steerd.share.topics import Topics

EPOCH_AHEAD: Final = 86_400.0
"""Seconds that a PoP's epoch, its start, may be ahead of our clock: with a greater one no later word would be heard."""

REASONS: Final = (
    "another PoP's topic", "content type", "duplicate link", "future epoch", "link to itself", "malformed",
    "stale epoch", "stale seq", "too large", "unknown PoP",
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
        may have kept it for any time, so its load counts as `FRESH` seconds older, and its links as `FULL` intervals.
        """
        if not payload:
            return self._cleared(self._topics.pop(topic))
        try:
            report = self._newer(topic, payload, content_type, retained=retained)
        except RefusedError as refused:
            self._refuse("pop", refused.reason, topic)
        else:
            if report is not None:
                self._on_pop_state(report)
        return None

    def look(self) -> None:
        """Our clock may have been set: take what was ahead of it and no longer is, but for load and links: they are too
        old by now."""
        for pop, (place, report) in list(self._ahead.items()):
            if pop not in self.pops or not self._future(place):
                del self._ahead[pop]
                if pop in self.pops and place > self._heard.get(pop, (-1, -1)):
                    self._heard[pop] = place
                    self._on_pop_state(report._replace(load=None, age=0.0, backbone=None))

    def _cleared(self, pop: str | None) -> None:
        if pop is not None and pop in self._heard:
            self._on_pop_state(PopState(pop, accepting=True))

    def _future(self, place: tuple[int, int]) -> bool:
        return place[0] > self._wall() + EPOCH_AHEAD

    def _newer(self, topic: str, payload: bytes, content_type: str | None, *, retained: bool) -> PopState | None:
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
        age = 0.0 if load is None else report.age_ms / 1000 + (FRESH if retained else 0.0)
        state = PopState(pop, report.accepting, load, age, self._links(report, topic, retained=retained))
        if self._future(place):
            self._ahead[pop] = place, state
            raise RefusedError("future epoch")
        self._ahead.pop(pop, None)  # it was the epoch that was wrong, not our clock
        self._heard[pop] = place
        return state

    def _links(self, report: PopReport, topic: str, *, retained: bool) -> BackboneLinks | None:
        """Of a PoP that contradicts itself none is taken, and the rest of its word is: that it accepts, or not."""
        if report.links is None:
            return None
        ends = {link.to for link in report.links}
        if len(ends) < len(report.links) or report.pop in ends:
            self._refuse("pop", "link to itself" if report.pop in ends else "duplicate link", topic)
            return None
        interval = report.interval_ms / 1000
        links = tuple(BackboneLink(one.to, one.rtt_us / 1000, one.loss_ppm / 1_000_000) for one in report.links)
        return BackboneLinks(links, interval, FULL * interval if retained else 0.0)
