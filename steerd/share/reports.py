"""What PoPs say of themselves: only known PoPs, and only what is newer than what each said before."""

from collections.abc import Callable, Collection
from typing import Final

from steerd.core.cost.pop_load import FRESH
from steerd.core.events import PopState
from steerd.share.messages import RefusedError, decode
from steerd.share.topics import Topics

REASONS: Final = (
    "another PoP's topic", "content type", "malformed", "stale epoch", "stale seq", "too large", "unknown PoP",
)  # fmt: skip
"""All that a report is refused for."""


class Reports:
    """Turns messages into `PopState` events. `refuse` gets the source, `pop`, a reason, and the topic."""

    def __init__(
        self,
        topics: Topics,
        pops: Collection[str],
        on_pop_state: Callable[[PopState], None],
        refuse: Callable[[str, str, str], None],
    ) -> None:
        self.pops = frozenset(pops)
        self._topics = topics
        self._on_pop_state = on_pop_state
        self._refuse = refuse
        self._heard: dict[str, tuple[int, int]] = {}

    def take(self, topic: str, payload: bytes, content_type: str | None, *, retained: bool = False) -> None:
        """One message. An empty one, which clears a retained one, says nothing. `retained`: the broker may have kept it
        for any time, so its load counts as `FRESH` seconds older."""
        if not payload:
            return
        try:
            report = self._newer(topic, payload, content_type, FRESH if retained else 0.0)
        except RefusedError as refused:
            self._refuse("pop", refused.reason, topic)
        else:
            if report is not None:
                self._on_pop_state(report)

    def _newer(self, topic: str, payload: bytes, content_type: str | None, lain: float) -> PopState | None:
        pop = self._topics.pop(topic)
        if pop is None or pop not in self.pops:
            raise RefusedError("unknown PoP")
        report = decode(payload, content_type)
        if report.pop != pop:
            raise RefusedError("another PoP's topic")
        place, heard = (report.epoch, report.seq), self._heard.get(pop, (-1, -1))
        if place < heard:
            raise RefusedError("stale epoch" if place[0] < heard[0] else "stale seq")
        if place == heard:
            return None  # retained, and delivered again after a reconnect
        self._heard[pop] = place
        load = None if report.load_ppm is None else report.load_ppm / 1_000_000
        return PopState(pop, report.accepting, load, 0.0 if load is None else report.age_ms / 1000 + lain)
