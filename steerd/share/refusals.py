"""What is not taken: counted each time, told in the log now and then."""

import logging
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

SAID_EVERY: Final = 60.0
"""Seconds between two lines of the log about what is refused for the same reason."""


class Refusals:
    """Who sends nonsense shall be found, and shall not fill the disk with it.

    `on_refused` gets source (`pop`, `order`, `broker`) and reason, each time; `clock` is monotonic, in seconds.
    """

    def __init__(self, on_refused: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_refused = on_refused
        self._clock = clock
        self._silent_until: dict[tuple[str, str], float] = {}
        self._unsaid: dict[tuple[str, str], int] = {}

    def __call__(self, source: str, reason: str, what: str) -> None:
        """`what` was refused; it is shown as it came, but for what a terminal would obey."""
        self._on_refused(source, reason)
        which, now = (source, reason), self._clock()
        if now < self._silent_until.get(which, 0.0):
            self._unsaid[which] = self._unsaid.get(which, 0) + 1
            return
        self._silent_until[which] = now + SAID_EVERY
        more = self._unsaid.pop(which, 0)
        shown = what.encode("unicode_escape").decode()
        _log.warning("MQTT: refused of %s, %s: %.200s%s", source, reason, shown, f" (and {more} more)" if more else "")
