"""What fuzzing found stays mended, and some seconds of its kind in each run. `make fuzz` looks for more."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fuzz.mutate import mutations
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

COUNT = 300
LONGEST = 20
"""Seconds for one input, on a machine that has much else to do: far more than any should take."""


@contextmanager
def bounded(data: bytes) -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError(f"longer than {LONGEST} s: {data.hex()}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_nothing_but_a_refusal_comes_of_what_is_nearly_right(target: Target) -> None:
    known = [*target.seeds(), *target.corpus()]
    for data in (*known, *mutations(known, COUNT, target.name)):
        with bounded(data):
            target.try_(data)
