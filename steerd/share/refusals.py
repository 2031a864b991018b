"""What is refused: counted each time, logged once a minute for each reason."""

import logging
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

SAID_EVERY: Final = 60.0
"""Seconds between two lines of the log about the same reason, so that no sender fills the disk."""


class Refusals:
    """`on_refused` gets source (`pop`, `order`, `broker`) and reason, each time; `clock` is monotonic, in seconds."""

    def __init__(self, on_refused: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_refused = on_refused
        self._clock = clock
        self._silent_until: dict[tuple[str, str], float] = {}
        self._unsaid: dict[tuple[str, str], int] = {}

    def __call__(self, source: str, reason: str, what: str) -> None:
        """`what` was refused; the log shows it with control characters escaped."""
        self._on_refused(source, reason)
        which, now = (source, reason), self._clock()
        if now < self._silent_until.get(which, 0.0):
            self._unsaid[which] = self._unsaid.get(which, 0) + 1
            return
        self._silent_until[which] = now + SAID_EVERY
        more = self._unsaid.pop(which, 0)
        shown = what.encode("unicode_escape").decode()
        _log.warning(
            "MQTT: refused from %s, %s: %.200s%s", source, reason, shown, f" (and {more} more)" if more else ""
        )
