"""Some of the fleet's gateways, in one process: a second of theirs at a time."""

import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Protocol

from steerd.sim.fleet.probing import Moment

Move = tuple[int, int]
"""A gateway's number, and the PoP that it uses from now on."""


class Gateway(Protocol):
    """One of them, whatever decides for it."""

    at: int

    def probe(self, moment: Moment) -> None: ...

    def end(self, now: int) -> None: ...


Make = Callable[[int], Gateway]
"""The gateway with this number."""


class Shard:
    """The gateways with these numbers."""

    def __init__(self, numbers: Sequence[int], make: Make) -> None:
        self._gateways = [(number, make(number)) for number in numbers]

    def step(self, moment: Moment) -> list[Move]:
        """A second goes by. Returns who moved."""
        moves = []
        for number, gateway in self._gateways:
            before = gateway.at
            gateway.probe(moment)
            gateway.end(moment.second + 1)
            if gateway.at != before:
                moves.append((number, gateway.at))
        return moves


class Fleet:
    """All gateways, over so many ``jobs``. What happens is the same with any number of them."""

    def __init__(self, gateways: int, make: Make, jobs: int) -> None:
        self._here = Shard(range(0, gateways, jobs), make) if jobs == 1 else None
        self._workers: list[Connection] = []
        self._processes = []
        fork = get_context("fork")  # what the gateways are made of is there already
        for job in range(jobs if jobs > 1 else 0):
            ours, theirs = fork.Pipe()
            process = fork.Process(target=_work, args=(theirs, range(job, gateways, jobs), make), daemon=True)
            process.start()
            theirs.close()
            self._workers.append(ours)
            self._processes.append(process)

    def step(self, moment: Moment) -> list[Move]:
        """As `Shard.step`, in the order of gateways' numbers."""
        if self._here is not None:
            return self._here.step(moment)
        for worker in self._workers:
            worker.send(moment)
        return sorted(move for worker in self._workers for move in worker.recv())

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.send(None)
            worker.close()
        for process in self._processes:
            process.join()


def _work(orders: Connection, numbers: Sequence[int], make: Make) -> None:
    shard = Shard(numbers, make)
    gc.freeze()  # engines are for good; to look through millions of them for rubbish takes longer than all else
    gc.disable()
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while (moment := orders.recv()) is not None:
            orders.send(shard.step(moment))
