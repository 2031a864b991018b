"""How often a leg is probed: what is asked for, and what the device's budget allows."""

import pytest

from steerd.config.probe_settings import ProbePath, Target, probe_bytes
from steerd.core.settings import PathId
from steerd.core.views import Finding
from steerd.probe.carrier import Leg
from steerd.probe.findings import Findings
from steerd.probe.pace import Pace


def leg(name: str, device: str = "lte0", interval: float = 1.0) -> Leg:
    target = Target(4, "192.0.2.1")
    path = ProbePath(PathId(f"{name}/{device}"), name, device, 1, (target,), interval, 1.0)
    return Leg(path, 0, None)  # type: ignore[arg-type]


def paced(legs: list[Leg], rate: float | None, period: float = 1.0) -> tuple[Pace, Findings]:
    findings = Findings()
    pace = Pace(1, findings)
    for one in legs:
        pace.keep(one)
    pace.budget({"lte0": rate} if rate else {}, 0.0)
    for one in legs:
        pace.every(one, period, 0.0)
    return pace, findings


def sent(pace: Pace, seconds: float) -> int:
    """Probes taken in `seconds` once the periods hold."""
    count = 0
    for tick in range(1, int((seconds + 20) / 0.05)):
        taken = pace.schedule.take(tick * 0.05)
        count += len(taken) if tick * 0.05 > 20 else 0
    return count


def test_a_budget_stretches_every_period_of_its_device_alike():
    legs = [leg(f"pop{n}") for n in range(10)]
    size = probe_bytes(legs[0].settings, 4)
    pace, findings = paced(legs, size * 4.0)
    assert pace.period(legs[0]) == pytest.approx(2.5)
    assert sent(pace, 100) == pytest.approx(400, abs=10)
    assert "allows a probe every 2.5 s where 1 s is wanted" in findings.of(legs[0].settings.path)[Finding.BUDGET]


def test_a_faster_path_stays_faster_and_a_resting_one_leaves_its_share():
    legs = [leg("a"), leg("b"), leg("c")]
    size = probe_bytes(legs[0].settings, 4)
    pace, findings = paced(legs, size * 2.0)
    pace.every(legs[0], 0.5, 0.0)
    assert pace.period(legs[0]) == pytest.approx(1.0)
    assert pace.period(legs[1]) == pytest.approx(2.0)
    pace.every(legs[0], None, 0.0)
    assert pace.period(legs[0]) is None
    assert pace.period(legs[1]) == pytest.approx(1.0)
    assert not findings.of(legs[1].settings.path)


def test_other_devices_and_ample_budgets_are_left_alone():
    here, there = leg("a"), leg("b", "eth0")
    pace, findings = paced([here, there], 1e6)
    assert (pace.period(here), pace.period(there)) == (1.0, 1.0)
    pace.budget({"lte0": 10.0}, 1.0)
    assert pace.period(here) == pytest.approx(probe_bytes(here.settings, 4) / 10.0)
    assert pace.period(there) == 1.0
    assert findings.of(here.settings.path)
    pace.budget({}, 2.0)
    assert pace.period(here) == 1.0
    assert not findings.of(here.settings.path)


def test_a_leg_that_is_removed_leaves_its_share():
    legs = [leg("a"), leg("b")]
    pace, _ = paced(legs, float(probe_bytes(legs[0].settings, 4)))
    assert pace.period(legs[1]) == pytest.approx(2.0)
    pace.remove(legs[0])
    pace.budget({"lte0": float(probe_bytes(legs[0].settings, 4))}, 1.0)
    assert pace.period(legs[1]) == pytest.approx(1.0)


def test_what_is_sent_beside_the_probes_counts_for_the_same_budget():
    one, other = leg("a"), leg("b")
    size = float(probe_bytes(one.settings, 4))
    pace, findings = paced([one, other], 2.0 * size)
    pace.beside(one, int(60 * size), 60.0, 0.0)  # as much as its probes take
    assert pace.stretch(one) == pace.stretch(other) == pytest.approx(1.5)
    assert (pace.period(one), pace.period(other)) == pytest.approx((1.5, 1.5))
    assert findings.of(one.settings.path)
    pace.budget({"lte0": 3.0 * size}, 1.0)
    assert pace.stretch(one) == pytest.approx(1.0)
    pace.budget({"lte0": 2.0 * size}, 2.0)
    assert pace.stretch(one) == pytest.approx(1.5)
    pace.alone(one, 3.0)
    assert pace.period(other) == pytest.approx(1.0)
    assert not findings.of(one.settings.path)
