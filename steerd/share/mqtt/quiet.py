"""What libraries log of MQTT, one line a minute of a kind: a hostile broker would have them fill the disk."""

import logging
import time
from collections.abc import Callable
from typing import Final

from steerd.share.refusals import SAID_EVERY

LIBRARIES: Final = logging.getLogger("steerd.share.libraries")
"""What aiomqtt and paho are given to log to."""


class OncePerKind(logging.Filter):
    """Lets the first record of each kind (its text before values are put in) through in `SAID_EVERY` seconds, without a
    traceback. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._silent_until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = str(record.msg), self._clock()
        if now < self._silent_until.get(kind, 0.0):
            return False
        self._silent_until[kind] = now + SAID_EVERY
        record.exc_info = None
        return True


LIBRARIES.setLevel(logging.WARNING)
LIBRARIES.addFilter(OncePerKind())
