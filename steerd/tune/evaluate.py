"""What candidates cost on the part that is searched: each a replay of every trace, on all processors."""

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import active_children, connection, get_context, parent_process
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from steerd.core.settings import Settings
from steerd.replay.run import choices
from steerd.tune.knobs import Knobs
from steerd.tune.rows import Kept
from steerd.tune.settle import Settled

Blocks = Sequence[float]
"""What each block of time costs, in ms; of several parts one after the other."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts that candidates are tried on, priced, and the settings that their knobs are put into."""

    parts: Sequence[Kept]
    settled: Sequence[Settled]
    settings: Settings
    price: float

    def blocks(self, knobs: Knobs, part: int) -> Blocks:
        """What each block of a part costs with these knobs."""
        chosen = choices(self.parts[part].replayed(), knobs.settings(self.settings, self.price))
        return self.settled[part].blocks(chosen)


class Evaluator(AbstractContextManager["Evaluator"], Protocol):
    """Replays candidates."""

    def evaluate(self, candidates: Sequence[Knobs], deadline: float) -> Iterator[tuple[Knobs, Blocks]]:
        """Each candidate with what the blocks of all parts cost, in the order given. Ends early at the ``deadline`` (of
        `monotonic`)."""
        ...


class Alone:
    """In this process, where there is but one processor."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        pass

    def evaluate(self, candidates: Sequence[Knobs], deadline: float) -> Iterator[tuple[Knobs, Blocks]]:
        for knobs in candidates:
            blocks: list[float] = []
            for part in range(len(self._bench.parts)):
                if monotonic() >= deadline:
                    return
                blocks += self._bench.blocks(knobs, part)
            yield knobs, blocks


_bench: Bench | None = None  # in a worker: what it took over when it was forked


def _begin(bench: Bench) -> None:
    global _bench  # noqa: PLW0603
    _bench = bench
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """However the parent ends: a worker that waits for work would stay."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)


def _blocks(knobs: Knobs, part: int) -> Blocks:
    assert _bench is not None  # noqa: S101 (set before any work comes)
    return _bench.blocks(knobs, part)


class Together:
    """In one process a processor, forked: they share the traces, which are there once."""

    def __init__(self, bench: Bench, processes: int) -> None:
        self._parts = range(len(bench.parts))
        self._pool = ProcessPoolExecutor(processes, get_context("fork"), _begin, (bench,))

    def __enter__(self) -> Self:
        try:
            self._fork()
        except BaseException:  # also a Ctrl-C that came while it was blocked
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end()

    def _fork(self) -> None:
        # A Ctrl-C goes to all processes of the terminal, and is the parent's to answer: workers begin with it
        # blocked, and stay so.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._pool.submit(os.getpid)  # forks all of them
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _end(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():  # what they are at is of no use to anybody now
            process.terminate()
        self._pool.shutdown(wait=True)

    def evaluate(self, candidates: Sequence[Knobs], deadline: float) -> Iterator[tuple[Knobs, Blocks]]:
        tasks = {knobs: [self._pool.submit(_blocks, knobs, part) for part in self._parts] for knobs in candidates}
        for knobs, parts in tasks.items():
            if not _done(parts, deadline):
                for future in (future for others in tasks.values() for future in others):
                    future.cancel()
                return
            yield knobs, [cost for part in parts for cost in part.result()]


def _done(futures: Sequence[Future[Blocks]], deadline: float) -> bool:
    waiting = set(futures)
    while waiting:
        left = deadline - monotonic()
        if left <= 0.0:
            return all(future.done() for future in waiting)
        waiting = wait(waiting, left, FIRST_COMPLETED).not_done
    return True


def evaluator(bench: Bench) -> Evaluator:
    """What suits this machine."""
    processes = len(os.sched_getaffinity(0))
    return Together(bench, processes) if processes > 1 else Alone(bench)
