"""Twenty of the simulated hours; `make test-sim` runs a thousand. And proof that a broken engine is caught."""

from collections import deque
from concurrent.futures import ProcessPoolExecutor

import pytest

from steerd.core.belief import health
from steerd.core.policy.eligibility import Eligibility
from steerd.core.policy.policy import Policy
from steerd.core.rules.panel import Panel
from steerd.core.rules.rule import Verdict
from tests.sim.__main__ import hour
from tests.sim.invariants import BrokenError, Hour


def test_twenty_hours_hold_the_invariants():
    with ProcessPoolExecutor() as pool:
        broken = [what for _, what in pool.map(hour, range(20), chunksize=2) if what is not None]
    assert not broken, "\n".join(broken)


def deaf(monkeypatch):
    """Failures are never confirmed."""
    monkeypatch.setattr(health, "CONFIRMATIONS", 10_000)


def lawless(monkeypatch):
    """Nothing is ever ruled out."""
    monkeypatch.setattr(Eligibility, "excluded", lambda *_: None)


def restless(monkeypatch):
    """The rule moves for any difference, and back."""

    def cheapest(_, candidates, here, *__):
        best = min(candidates, key=lambda one: one.belief.last_cost)
        return None if best is candidates[here] else Verdict(best.path, "quick", {})

    monkeypatch.setattr(Panel, "observe", cheapest)


def hasty(monkeypatch):
    """No policy keeps to its min_dwell."""
    monkeypatch.setattr(Policy, "dwell", lambda *_: 0.0)


@pytest.mark.parametrize("fault", [deaf, lawless, restless, hasty])
def test_a_broken_engine_is_caught(monkeypatch, fault):
    fault(monkeypatch)
    hours = [Hour(seed) for seed in range(31, 61)]
    with pytest.raises(BrokenError, match="seed"):
        deque((one.run() for one in hours), maxlen=0)
