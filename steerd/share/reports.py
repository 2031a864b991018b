"""What PoPs say of themselves: only of known PoPs, only what is newer than what was heard before."""

from collections.abc import Callable, Collection

from steerd.core.model import PopState
from steerd.share.messages import RefusedError, decode
from steerd.share.topics import Topics


class Reports:
    """Turns messages into `PopState` events. `on_refused` gets the source, `pop`, and a reason."""

    def __init__(
        self,
        topics: Topics,
        pops: Collection[str],
        on_pop_state: Callable[[PopState], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self.pops = frozenset(pops)
        self._topics = topics
        self._on_pop_state = on_pop_state
        self._on_refused = on_refused
        self._heard: dict[str, tuple[int, int]] = {}

    def take(self, topic: str, payload: bytes, content_type: str | None) -> None:
        """One message. An empty one clears a retained one: it says nothing."""
        if not payload:
            return
        try:
            report = self._newer(topic, payload, content_type)
        except RefusedError as refused:
            self._on_refused("pop", refused.reason)
            return
        if report is not None:
            self._on_pop_state(report)

    def _newer(self, topic: str, payload: bytes, content_type: str | None) -> PopState | None:
        pop = self._topics.pop(topic)
        if pop is None or pop not in self.pops:
            raise RefusedError("unknown PoP")
        report = decode(payload, content_type)
        if report.pop != pop:
            raise RefusedError("another PoP's topic")
        place, heard = (report.epoch, report.seq), self._heard.get(pop, (-1, -1))
        if place < heard:
            raise RefusedError("stale")
        if place == heard:
            return None  # retained, and delivered again after a reconnect
        self._heard[pop] = place
        load = None if report.load_ppm is None else report.load_ppm / 1_000_000
        return PopState(pop, report.accepting, load)
