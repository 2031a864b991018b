"""What a trace is judged by: samples, where paths have their rows when they like, end, or the clock jumps."""

from random import Random

import pytest

from steerd.core.settings import Settings
from steerd.replay.account.price import Ledger
from steerd.replay.run import run
from steerd.replay.shown import table
from tests.unit.test_replay import write

STEP = {"a": lambda n: 20.0 + n % 3 if n < 150 else 60.0 + n % 3, "b": lambda n: 30.0 + n % 2}


def spread(seconds, late=(0.0, 0.4), jitter=0.0, start=0.0):
    """The rows of `STEP`, each path's at its own moments of the second."""
    random = Random(1)
    rows = [
        (start + n + offset + random.uniform(0.0, jitter), path, rtt(n))
        for n in range(seconds)
        for (path, rtt), offset in zip(STEP.items(), late, strict=True)
    ]
    return [f"{time:.4f},{path},{rtt:g}" for time, path, rtt in sorted(rows)]


def replayed(tmp_path, rows):
    return run(write(tmp_path / "t.csv", rows), Settings(), baselines=True)


def test_rows_at_moments_of_their_own_are_judged_as_if_they_were_at_the_same(tmp_path):
    together = replayed(tmp_path, spread(300, late=(0.0, 0.0)))
    apart = replayed(tmp_path, spread(300))
    assert (together.samples.step, apart.samples.step) == (None, 1.0)
    assert apart.account.columns == together.account.columns
    assert apart.baselines == together.baselines
    assert "a sample is a step of 1 s" in table.one(apart)
    assert "a sample is a step" not in table.one(together)
    instant = apart.figures(apart.baselines["instant best"])
    assert instant["switches"] < 3


@pytest.mark.parametrize("start", [0.0, 1_795_980_000.0])
def test_rows_that_come_a_little_early_or_late_stay_in_their_steps(tmp_path, start):
    together = replayed(tmp_path, spread(300, late=(0.0, 0.0)))
    apart = replayed(tmp_path, spread(300, jitter=0.3, start=start))
    for path, column in together.account.columns.items():
        found = apart.account.columns[path]
        assert sum(one != other for one, other in zip(column, found, strict=False)) < 6
        assert abs(len(found) - len(column)) < 2


def test_the_first_step_has_every_path(tmp_path):
    random = Random(2)
    rows = [(n + late + random.uniform(0.0, 0.02), p, rtt) for n in range(100)
            for p, late, rtt in (("a", 0.0, 50), ("b", 0.33, 20), ("c", 0.66, 30))]  # fmt: skip
    outcome = replayed(tmp_path, [f"{time:.4f},{path},{rtt}" for time, path, rtt in sorted(rows)])
    assert outcome.account.start() == "b"
    assert [column[0] for column in outcome.account.columns.values()] == [50.0, 20.0, 30.0]


def test_a_choice_within_a_step_pays_from_the_next_one_on(tmp_path):
    outcome = replayed(tmp_path, spread(300))
    assert [path for _, path in outcome.choices] == [None, "a", "b"]
    at = outcome.switches[1]["time_s"]
    assert at % 1 in (pytest.approx(0.0), pytest.approx(0.4))
    assert outcome.choices[2][0] == int(at) + 1


def test_the_engine_sees_rows_at_moments_of_their_own_as_they_are(tmp_path):
    """The contract: replaying the first rows gives exactly the switches that fall in them."""
    rows = spread(300)
    whole = replayed(tmp_path, rows).switches
    at = whole[-1]["time_s"]
    cut = [row for row in rows if float(row.split(",")[0]) <= at]
    assert replayed(tmp_path, cut).switches == whole
    assert replayed(tmp_path, cut[:-1]).switches == whole[:-1]


def test_a_lost_probe_that_is_known_when_the_next_one_answers_stays_lost(tmp_path):
    rows = []
    for n in range(100):
        rows.append((n + 0.02, "a", "" if n == 50 else "20"))
        rows.append((n + 0.53, "b", "30"))
    rows = [(51.01, path, rtt) if not rtt else (time, path, rtt) for time, path, rtt in rows]
    outcome = replayed(tmp_path, [f"{time:.2f},{path},{rtt}" for time, path, rtt in sorted(rows)])
    assert outcome.samples.step == pytest.approx(1.0)
    assert [n for n, rtt in enumerate(outcome.account.columns["a"]) if rtt is None] == [50]


def test_a_path_that_is_looked_at_less_often_leaves_the_times_as_they_are(tmp_path):
    rows = [row for n in range(100) for row in [f"{n},a,20"] + [f"{n},b,30"] * (n % 10 == 0)]
    outcome = replayed(tmp_path, rows)
    assert outcome.samples.step is None
    assert outcome.account.columns["b"] == [30.0] * 100


def test_a_path_whose_rows_end_is_lost_after_five_of_its_periods(tmp_path):
    """The faster one goes: staying on it is dear, and hindsight is not on it either."""
    rows = [row for n in range(200) for row in [f"{n},a,10"] * (n < 100) + [f"{n},b,30"]]
    outcome = replayed(tmp_path, rows)
    column = outcome.account.columns["a"]
    assert column[:105] == [10.0] * 105
    assert column[105:] == [None] * 95
    stay = outcome.account.score(outcome.baselines["stay at start"], 100.0)
    assert stay.j == pytest.approx((85 * 10 + 95 * 210) / 180)
    assert stay.j_optimum == pytest.approx((85 * 10 + 100 + 95 * 30) / 180)
    assert outcome.baselines["mwan3"][-1] == (110, "b")


def test_a_path_that_is_gone_for_a_while_is_lost_for_that_while(tmp_path):
    rows = [row for n in range(200) for row in [f"{n},a,10"] * (not 100 <= n < 150) + [f"{n},b,30"]]
    outcome = replayed(tmp_path, rows)
    assert outcome.account.columns["a"] == [10.0] * 105 + [None] * 45 + [10.0] * 50
    assert outcome.baselines["instant best"][-2:] == [(101, "b"), (151, "a")]


def test_a_path_that_is_looked_at_more_seldom_since_a_while_is_not_gone(tmp_path):
    rows = [row for n in range(400) for row in [f"{n},a,30"] + [f"{n},b,10"] * (n < 200 or n % 30 == 0)]
    column = replayed(tmp_path, rows).account.columns["b"]
    assert sum(rtt is None for rtt in column[:200]) == 0
    assert sum(rtt is None for rtt in column[240:]) == 0


def test_hours_are_those_that_were_sampled(tmp_path):
    """In the middle the clock jumps by 54 years."""
    jump = 54 * 365.25 * 86_400
    rows = [
        f"{n + (jump if n >= 150 else 0):.1f},{p},{20 if (n // 60) % 2 == (p == 'a') else 90}"
        for n in range(3600)
        for p in "ab"
    ]
    plain = [f"{n},{p},{20 if (n // 60) % 2 == (p == 'a') else 90}" for n in range(3600) for p in "ab"]
    jumped, steady = replayed(tmp_path, rows), replayed(tmp_path, plain)
    assert jumped.samples.seconds == pytest.approx(3599.0)
    assert (jumped.samples.pauses, steady.samples.pauses) == (1, 0)
    assert jumped.report()["summary"]["switches_per_hour"] > 40
    assert "not counted: 1 pause without any row, 54 years in all" in table.one(jumped)
    assert "not counted" not in table.one(steady)
    minute = replayed(tmp_path, [f"{n + 60 * (n >= 150)},a,20" for n in range(300)])
    assert minute.samples.seconds == 359.0 - 60.0
    assert replayed(tmp_path, [f"{n + 59 * (n >= 150)},a,20" for n in range(300)]).samples.seconds == 358.0


def test_without_times_samples_are_a_second_apart():
    book = Ledger()
    for _ in range(30):
        book.add(["a"], [10.0])
    assert book.samples().seconds == 29.0
