"""What happens, told in the log; and kept for `steerctl history`, where that is worth it."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from steerd.core.effects import Declined, PathChanged, PolicyChanged, Shared, Switched
from steerd.core.events import Order
from steerd.core.settings import PathId
from steerd.core.states import Reason
from steerd.daemon.driver import Driver
from steerd.net.peer import PEER
from steerd.status.notes import CHATTER, Kind, Note, Notes

log: Final = logging.getLogger("steerd")


class Journal:
    """Listens to ``driver``. ``keep`` takes what is kept, at a Unix time in ms; ``observing``: what is decided is on
    paper."""

    def __init__(self, driver: Driver, keep: Callable[[int, Note], None], *, observing: bool) -> None:
        self._keep = keep
        self._observing = observing
        self._notes = notes = Notes(self._noted, on_paper=observing)
        self._declined: object = None
        driver.facts.listen(Switched, self._switched)
        driver.facts.listen(PolicyChanged, notes.policy)
        driver.facts.listen(PathChanged, self._path_changed)
        driver.facts.listen(Shared, notes.shared)
        driver.facts.listen(Declined, self._was_declined)
        driver.events.listen(Order, self._ordered)

    def found(self, path: PathId, level: int, text: str) -> None:
        """Something of how a path is probed has begun, or is over."""
        self._notes.found(path, level, text)

    def reloaded(self, problems: Sequence[str], changed: Sequence[str]) -> None:
        """The configuration was read again: what is wrong with it, or what it changed."""
        self._notes.reloaded(problems, changed, by=PEER.get())

    def _noted(self, note: Note) -> None:
        if note.kind is not Kind.RELOAD:  # `Reload` tells what is wrong, and what it changed, line by line
            log.log(note.level, "%s", note.text)
        self._keep(int(time.time() * 1000), note)

    def _path_changed(self, fact: PathChanged) -> None:
        if {fact.old, fact.new} <= CHATTER:
            log.debug("%s is %s: %s", fact.path, fact.new, fact.reason)
        else:
            self._notes.path(fact)

    def _switched(self, fact: Switched) -> None:
        log.info("%s%s", "would move " if self._observing else "", sentence(fact))

    def _was_declined(self, fact: Declined) -> None:
        self._declined = fact.event
        log.warning("declined: %s (%s)", fact.reason, type(fact.event).__name__)

    def _ordered(self, order: Order) -> None:
        if order is not self._declined:
            peer = PEER.get()
            self._notes.order(order, time.monotonic(), by=f"{order.origin} {peer}" if peer else order.origin)


def sentence(switched: Switched) -> str:
    """The journal's line of a switch: from where, to where, and why."""
    where = f"{switched.old or 'nothing'} -> {switched.new or 'blocked'}"
    return f"{switched.policy}: {where}: {_because(switched)}, event {switched.event_id}"


def _because(switched: Switched) -> str:
    gain = switched.margin.get("gain")
    if gain is not None:
        # What was paid decides for some rules: what is believed by now may be level again.
        said = f"{gain:.1f} ms cheaper" if gain > 0.0 else "cheaper lately"
        return f"{said} (rule: {switched.rule})"
    by = f" ({switched.by})" if switched.by else ""
    old, why = switched.old, None if switched.old is None else switched.excluded.get(switched.old)
    match switched.reason:
        case Reason.START:
            return "the first choice"
        case Reason.KERNEL:
            return "the kernel has it so"
        case Reason.PIN:
            return f"pinned{by}"
        case Reason.UNDRAIN:
            return "a drain ended"
        case Reason.BETTER:
            return "it is usable again"
        case Reason.DRAIN:
            return why or f"drained{by}"
        case Reason.DOWN | Reason.ABSENT:
            return f"{old} is {why or switched.reason}"
        case Reason.POLICY:
            return f"{old} may not be used" + (f": {why}" if why else "")
        case _:
            assert_never(switched.reason)
