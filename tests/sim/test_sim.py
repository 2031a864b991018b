"""Fifty of the simulated hours; `make test-sim` runs a thousand. And proof that a broken engine is caught."""

from collections import deque
from concurrent.futures import ProcessPoolExecutor

import pytest

from steerd.core.belief import health
from steerd.core.policy import Policy
from steerd.core.rules import Regret, Verdict
from tests.sim.__main__ import hour
from tests.sim.invariants import BrokenError, Hour


def test_fifty_hours_hold_the_invariants():
    with ProcessPoolExecutor() as pool:
        broken = [what for _, what in pool.map(hour, range(50), chunksize=5) if what is not None]
    assert not broken, "\n".join(broken)


def deaf(monkeypatch):
    """Failures are never confirmed."""
    monkeypatch.setattr(health, "CONFIRMATIONS", 10_000)


def lawless(monkeypatch):
    """Nothing is ever ruled out."""
    monkeypatch.setattr(Policy, "excluded", lambda *_: None)


def restless(monkeypatch):
    """The rule moves for any difference, and back."""

    def cheapest(_, field, current, *__):
        best = min(field, key=lambda one: one.belief.spot)
        return None if best is current else Verdict(best.path, "regret", {})

    monkeypatch.setattr(Regret, "observe", cheapest)


def hasty(monkeypatch):
    """No policy keeps to its min_dwell."""
    monkeypatch.setattr(Policy, "dwell", lambda *_: 0.0)


@pytest.mark.parametrize("fault", [deaf, lawless, restless, hasty])
def test_a_broken_engine_is_caught(monkeypatch, fault):
    fault(monkeypatch)
    hours = [Hour(seed) for seed in range(15, 45)]
    with pytest.raises(BrokenError, match="seed"):
        deque((one.run() for one in hours), maxlen=0)
