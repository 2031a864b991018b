"""What one gateway's probes bring: base RTT, the PoP's queue at this moment, noise, and now and then a loss.

Noise is the square of a normal number: 1 ms in the mean, now and then ten. It is drawn beforehand, since each gateway
needs thousands; where in the list it reads is its own draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

DRAWN: Final = 1 << 16


@dataclass(frozen=True)
class Moment:
    """One second as the gateways see it. ``queue`` in ms of each PoP, inf: it is dead; ``told`` and ``carried``: the
    utilisation and traffic that PoPs say they have, as old as reports are; ``capacity``: what nobody sees."""

    second: int
    queue: Sequence[float]
    told: Sequence[float]
    carried: Sequence[float]
    capacity: Sequence[float]


def noises(seed: int, mean: float) -> list[float]:
    """ms, for all gateways to read in."""
    draw = Random(f"{seed}/noise")
    return [mean * draw.gauss(0.0, 1.0) ** 2 for _ in range(DRAWN)]


class Probes:
    """Of the gateway with this ``number``. ``base`` in ms to each PoP; ``loss``: the share of probes that are lost."""

    def __init__(self, number: int, base: Sequence[float], noise: Sequence[float], loss: float, seed: int) -> None:
        self.base = base
        self.draw = Random(f"{seed}/{number}")
        self._noise = noise
        self._loss = loss
        self._until_lost = self._gap()

    def rtts(self, places: Sequence[int], queue: Sequence[float]) -> list[float]:
        """In ms, of a probe to each of these PoPs; inf: it is not answered."""
        base, noise = self.base, self._noise
        first = int(self.draw.random() * (DRAWN - len(base)))
        found = [base[place] + queue[place] + noise[first + place] for place in places]
        self._until_lost -= len(places)
        if self._until_lost < 0:
            found[self._until_lost % len(places)] = inf
            self._until_lost = self._gap()
        return found

    def _gap(self) -> int:
        return int(self.draw.expovariate(self._loss)) if self._loss else 1 << 60
