"""The gate: where many gateways use the same PoPs, a move that nothing forces is not made at once, but at random.

All of them see the same better path at the same moment. If all went there, it would be the worst, and all would go
back. With a gate g each moves with probability ``min(1/2, gain / (g * cost))`` in each second: the more there is to
gain, the sooner; and the less there is, the fewer, so that the load comes to rest where nobody gains (S. Fischer,
H. Raecke, B. Voecking, "Fast convergence to Wardrop equilibria by adaptive sampling methods", STOC 2006). Nobody has
to tell anybody anything for that. It is a matter of time, not of rounds: in rounds of any length as many move.
"""

from collections.abc import Callable
from typing import Final

from steerd.core.cost.price import Price

MOST: Final = 0.5
"""In no second is the chance to move higher, whatever there is to gain: half of a herd stays, and looks again."""

COST_MIN: Final = 5.0
"""ms: what costs less counts as this, or a millisecond of noise would be a large share of it."""

CURRENT: Final = 1.5
"""So many rounds after a move was held back it is told of: then the rule has not asked for it again."""


class Gate:
    """Of one policy. ``draw`` gives numbers from 0 to 1."""

    __slots__ = ("_draw", "_gain", "_held_until", "_share", "_to", "_width")

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._width = self._gain = self._share = self._held_until = 0.0
        self._to = ""

    def configure(self, width: float) -> None:
        """The g above. 0: there is no gate, and nothing is drawn."""
        self._width = width

    def opens(self, here: Price, there: Price, dt: float, now: float) -> bool:
        """Whether to move now, at the end of a round of ``dt`` seconds."""
        if not self._width:
            return True
        cost, gain = here.cost, here.cost - there.cost
        self._share = chance(gain, cost, self._width)
        opened: bool = self._draw() < 1.0 - (1.0 - self._share) ** dt
        self._to, self._gain = there.id, gain
        self._held_until = 0.0 if opened else now + CURRENT * dt
        return opened

    def outlook(self, now: float) -> str:
        """In words, which move is held back now. Empty: none is."""
        if now >= self._held_until:
            return ""
        gain = f"{self._to} is {max(0.0, self._gain):.1f} ms cheaper"
        return f"held back by the gate: {gain}; drawn each second with probability {100.0 * self._share:.1f} %"


def chance(gain: float, cost: float, width: float) -> float:
    """The probability of a move in a second that gains ``gain`` of ``cost``, both in ms, by a gate of this width."""
    return min(MOST, max(0.0, gain) / (width * max(COST_MIN, cost)))
