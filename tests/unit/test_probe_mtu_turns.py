"""How often path MTUs are searched, while legs are probed at one cadence and then at another."""

from collections.abc import Iterable, Iterator
from itertools import count, pairwise
from random import Random

import pytest

from steerd.config.probe_settings import ProbePath, Target, probe_bytes
from steerd.core.settings import PathId
from steerd.probe.carrier import Leg
from steerd.probe.findings import Findings
from steerd.probe.mtu.turns import Turns
from steerd.probe.pace import Pace

START = 1_000_000.0  # a machine that is up for days: grids of two periods alike lie anyhow there
LARGE = 1584


def leg(name: str, index: int = 0) -> Leg:
    targets = (Target(4, "192.0.2.1"), Target(6, "2001:db8::1"))
    path = ProbePath(PathId(name), name, "lte0", 1, targets, 1.0, 1.0)
    return Leg(path, index, None)  # type: ignore[arg-type]


def turns(legs: list[Leg], cadences: Iterable[float], every: float, rate: float | None = None) -> Iterator[list[float]]:
    """Each leg's within an hour, as `MtuProber` takes them; all are probed at the next cadence ``every`` so often."""
    pace = Pace(1, Findings())
    for one in legs:
        pace.keep(one)
    pace.budget({"lte0": rate} if rate else {}, START)
    found, coming = Turns(1, pace), iter(cadences)
    found.interval = 60.0
    came: dict[Leg, list[float]] = {one: [] for one in legs}
    due = dict.fromkeys(legs, START)
    for tick in range(36_000):
        now = START + tick * 0.1
        if tick % round(every * 10) == 0:
            for one, cadence in zip(legs, coming, strict=False):
                pace.every(one, cadence, now)
            due |= {one: min(due[one], found.next(one, now)) for one in legs}
        for one in legs:
            if due[one] <= now:
                came[one].append(now)
                found.came(one, now)
                due[one] = found.next(one, now)
                pace.beside(one, LARGE, found.period(one), now)
    yield from came.values()


def drawn(*cadences: float) -> Iterator[float]:
    random = Random(3)
    return (random.choice(cadences) for _ in count())


@pytest.mark.parametrize("every", [1.0, 5.0, 70.0])
@pytest.mark.parametrize(
    ("cadences", "rate"),
    [
        ((0.2,), None),
        ((0.2, 30.0), None),
        (tuple(5.0 + 0.5 * step for step in range(60)), None),
        ((0.2, 1.0, 5.0, 30.0), 20.0 * probe_bytes(leg("p").settings, 4)),
    ],
)
def test_no_cadence_makes_searches_a_burst(cadences, rate, every):
    legs = [leg(f"p{number}", index) for number in range(3) for index in range(2)]  # of both families
    for came in turns(legs, drawn(*cadences), every, rate):
        assert min(later - sooner for sooner, later in pairwise(came)) >= 30.0 - 0.2
        assert 5 <= len(came) <= 3600 / 30


def test_a_path_that_is_rarely_looked_at_is_searched_at_each_tenth_probe_only():
    rarely, often = (next(turns([leg("p")], drawn(cadence), 3600.0)) for cadence in (30.0, 1.0))
    assert len(rarely) == pytest.approx(12, abs=2)
    assert len(often) == pytest.approx(60, abs=2)


def test_who_is_probed_more_often_is_searched_sooner():
    came = next(turns([leg("p")], [30.0, 0.2, *[0.2] * 100], 400.0))
    after = [at - START for at in came if at - START > 400.0]
    assert after[0] <= 400.0 + 150.0 + 60.0
    assert len(after) >= 45
