"""What a reflector has done, in words for the log."""

import logging
from ipaddress import ip_address
from typing import Final

from steerd.reflect.allowance import SHARED
from steerd.reflect.reflector import Reflector
from steerd.text.seldom import Seldom

LOOK: Final = 5.0
"""Seconds between two looks whether there is something to say."""
_REPORT: Final = 60.0  # seconds between two lines of a kind
_NAMED: Final = 3
"""Sources that ask too often and are named; of more the rest is counted."""

_log = logging.getLogger("steerd.reflect")


class Told:
    """Logs who asks too often, once a minute at most. ``raised`` names what raises the limit."""

    def __init__(self, reflector: Reflector, raised: str) -> None:
        self._reflector = reflector
        self._raised = raised
        self._seldom = Seldom(_REPORT)

    def look(self) -> None:
        """To be called each `LOOK` seconds."""
        if self._reflector.allowance.refused and self._seldom.said("limits") is not None:
            self._limited()
            self._reflector.allowance.forget()
        if self._seldom.said("counts") is not None:
            _log.debug("%s", counts(self._reflector))

    def end(self) -> None:
        """The reflector answers no more."""
        if self._reflector.allowance.refused:
            self._limited()
        _log.info("%s", counts(self._reflector))

    def _limited(self) -> None:
        """Who asks more often than is answered, and by which limit."""
        refused = self._reflector.allowance.refused
        said = [
            f"{ip_address(source)} asks more than {limit:g} times a second: {count} packets not answered"
            for (source, limit), count in refused.most_common(_NAMED)
        ]
        if len(refused) > _NAMED:
            said.append(f"{len(refused) - _NAMED} more sources")
        of_what = f"(of a session; {SHARED} times as much for its address)"
        _log.warning("%s. %s raises the limit %s", "; ".join(said), self._raised, of_what)


def counts(reflector: Reflector) -> str:
    """How many packets became what."""
    dropped = sorted((reason.value, count) for reason, count in reflector.dropped.items())
    reasons = f" ({', '.join(f'{reason} {count}' for reason, count in dropped)})" if dropped else ""
    total = sum(reflector.dropped.values())
    return (
        f"received {reflector.received}, reflected {reflector.reflected}, dropped {total}{reasons};"
        f" {reflector.sessions} sessions"
    )
