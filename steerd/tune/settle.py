"""What choices cost on a part, block of time by block of time: `steerd.replay.price`, settled again and again."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from steerd.replay.price import FREE, RTT_MAX, Account, Choices, spans
from steerd.tune.rows import Kept

BLOCKS: Final = 24
"""Into about so many blocks each side is cut: what happens in one block is taken to be independent of the others."""

BLOCK: Final = 25
"""Samples that a block has at least."""


def block_length(parts: Sequence[Kept]) -> int:
    """How many samples of one side make a block."""
    return max(BLOCK, round(sum(part.counted for part in parts) / BLOCKS))


class Settled:
    """The account of one part with all sums made: choices are settled in no time, in 8 bytes a path and sample."""

    def __init__(self, account: Account, price: float, length: int) -> None:
        """``price`` is in ms per switch; a block has about ``length`` samples."""
        self._sums = {path: array("d", accumulate(costs, initial=0.0)) for path, costs in account.costs.items()}
        self._samples = account.samples
        self._price = price
        counted = account.samples - FREE
        blocks = max(1, round(counted / length))
        self.edges = [FREE + counted * n // blocks for n in range(blocks + 1)]

    def blocks(self, choices: Choices) -> list[float]:
        """What each block costs in all, in ms: J is their sum by the number of counted samples."""
        paid = [0.0] * (len(self.edges) - 1)
        last = None
        for choice, begin, end in spans(choices, self._samples):
            sums = self._sums.get(choice) if choice is not None else None
            block = bisect_right(self.edges, begin) - 1
            if choice != last and last is not None:
                paid[block] += self._price
            last = choice
            at = begin
            while at < end:
                until = min(end, self.edges[block + 1])
                paid[block] += RTT_MAX * (until - at) if sums is None else sums[until] - sums[at]
                at = until
                block += 1
        return paid
