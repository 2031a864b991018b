"""What is refused: counted each time, logged once a minute for each reason."""

import logging
import time
from collections.abc import Callable
from typing import Final

from steerd.text.seldom import Seldom, more

_log = logging.getLogger(__name__)

SAID_EVERY: Final = 60.0
"""Seconds between two lines of the log about the same reason, so that no sender fills the disk."""


class Refusals:
    """`on_refused` gets source (`pop`, `order`, `broker`) and reason, each time; `clock` is monotonic, in seconds."""

    def __init__(self, on_refused: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_refused = on_refused
        self._seldom = Seldom(SAID_EVERY, clock)

    def __call__(self, source: str, reason: str, what: str) -> None:
        """`what` was refused; the log shows it with control characters escaped."""
        self._on_refused(source, reason)
        unsaid = self._seldom.said((source, reason))
        if unsaid is not None:
            shown = what.encode("unicode_escape").decode()
            _log.warning("MQTT: refused from %s, %s: %.200s%s", source, reason, shown, more(unsaid))
