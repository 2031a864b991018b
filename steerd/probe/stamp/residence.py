"""How long a reflector may have held a probe: what it claims, as far as that is plausible. Pure: time is an argument.

A reflector that is busy now and then is quick at other times: its claims lead to round trips as short as were seen. One
that claims more makes its path look better than it is, and who signs its packets proves no more than who it is.
"""

from math import inf
from typing import Final

TRUSTED: Final = 0.001
"""Seconds that are believed always: what routers and reflectors need for an answer."""
SPAN: Final = 30.0
"""Seconds: the shortest round trip of the last one to two of these counts."""


class Residence:
    """The claims of one reflector."""

    def __init__(self) -> None:
        self._shortest = self._before = inf
        self._since = -inf

    def plausible(self, whole: float, claimed: float, now: float) -> bool:
        """Whether a round trip of ``whole`` seconds, seen at ``now``, may have had ``claimed`` of it at the reflector:
        without that it would be as long as the shortest whole one of late, or longer."""
        if now - self._since > SPAN:
            stale = now - self._since > 2 * SPAN
            self._before, self._shortest, self._since = inf if stale else self._shortest, inf, now
        self._shortest = min(self._shortest, whole)
        return whole - claimed >= min(self._shortest, self._before) - TRUSTED
