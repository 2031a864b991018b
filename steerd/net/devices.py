"""Names of network devices to their indexes, which change when a device is deleted and made again."""

import socket
import time
from typing import Final

RESOLVED_FOR: Final = 1.0
"""Seconds that an index is believed: the name may have passed to another device."""


class Devices:
    """The indexes of devices by name, asked of the kernel once a second at most."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, float]] = {}

    def index(self, name: str) -> int:
        """The device's index; 0 if there is no such device."""
        found = self._found.get(name)
        now = time.monotonic()
        if found is not None and now < found[1]:
            return found[0]
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            self._found.pop(name, None)  # so that it is found as soon as it is there
            return 0
        self._found[name] = index, now + RESOLVED_FOR
        return index

    def forget(self, name: str) -> None:
        """The index proved wrong: ask again."""
        self._found.pop(name, None)
