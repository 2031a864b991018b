"""What choices brought, in figures and tables."""

import random
from math import isnan

import pytest

from steerd.core.settings import Settings
from steerd.replay.account import price
from steerd.replay.account.figures import figures, moves, nearest_rank
from steerd.replay.account.price import Ledger
from steerd.replay.run import run
from steerd.replay.shown import table
from tests.unit.test_replay import step, write


def account(columns, choices=()):
    """The account of 20 free samples and those given, and the choices made: (before which sample, path)."""
    book = Ledger()
    at = dict(choices)
    length = len(next(iter(columns.values())))
    for n in range(-20, length):
        if n in at:
            book.choose(at[n])
        book.add(list(columns), [column[max(n, 0)] for column in columns.values()])
    return price.account(book.samples(), book.choices), book.choices


def test_the_figures_by_hand():
    """The worked example of docs/replay.md."""
    columns = {"a": [20.0, 20.0, 40.0, None], "b": [30.0, 30.0, 30.0, 30.0]}
    found = figures(*account(columns, [(-20, "a"), (2, "b"), (3, "a")]), 7200.0)
    lost = 20.0 + 200.0  # a's median (the free samples are 20 too)
    assert found.rtt_mean_ms == pytest.approx((20 + 20 + 30) / 3)
    assert found.rtt_p95_ms == 30.0
    assert found.lost_ratio == 0.25
    assert found.excess_ms == pytest.approx((0 + 0 + 0 + lost - 30) / 4)
    assert found.slow_ratio == 0.25
    assert found.switches_per_hour == 1.0
    score = account(columns)[0].score([(0, "a"), (22, "b"), (23, "a")], 100.0)
    assert score[1:4] == (122.5, 75.0, 30.0)
    assert score.gap_left == pytest.approx((122.5 - 30) / (75 - 30))
    stayed = figures(*account(columns, [(-20, "a")]), 7200.0)
    assert stayed.slow_ratio == 0.5  # 40 is more than 1.2 times 30
    assert stayed.excess_ms == pytest.approx((10 + lost - 30) / 4)


def test_thirty_six_is_not_more_than_1_2_times_thirty():
    found = figures(*account({"a": [36.0], "b": [30.0]}, [(-20, "a")]), 1.0)
    assert (found.slow_ratio, found.excess_ms) == (0.0, 6.0)


def test_figures_of_nothing():
    found = figures(*account({"a": [None] * 5, "b": [None] * 5}, [(-20, "a")]), 0.0)
    assert isnan(found.rtt_mean_ms)
    assert isnan(found.rtt_p95_ms)
    assert isnan(found.switches_per_hour)
    assert (found.lost_ratio, found.excess_ms, found.slow_ratio) == (1.0, 0.0, 0.0)
    book = Ledger()
    book.choose("a")
    book.add(["a"], [1.0])
    assert all(isnan(value) for value in figures(price.account(book.samples(), book.choices), book.choices, 0.0))


def test_no_choice_yet_pays_the_most_and_has_no_rtt():
    found = figures(*account({"a": [20.0, 20.0], "b": [30.0, 30.0]}, [(1, "a")]), 1.0)
    assert found.rtt_mean_ms == 20.0
    assert found.excess_ms == pytest.approx((2000 - 20) / 2)
    assert found.lost_ratio == 0.0


@pytest.mark.parametrize("length", [1, 2, 19, 20, 21, 399, 400, 401, 5000, 20_011])
@pytest.mark.parametrize("shape", ["random", "rising", "falling", "same", "late burst"])
def test_the_nearest_rank_is_that_of_the_whole_sorted(length, shape):
    draw = random.Random(length)
    values = {
        "random": [draw.expovariate(1.0) for _ in range(length)],
        "rising": [float(n) for n in range(length)],
        "falling": [float(-n) for n in range(length)],
        "same": [7.0] * length,
        "late burst": [100.0 * (n % 200 == 0) + 0.01 * n for n in range(length)],
    }[shape]
    rank = -(-length * 95 // 100)
    assert nearest_rank(values, 0.95) == sorted(values)[rank - 1]


def test_moves():
    assert moves([(0, None), (1, "a"), (3, "a"), (5, "b"), (6, None), (8, "a")]) == 2


def test_a_table_for_one_trace_and_one_for_all(tmp_path):
    first = run(write(tmp_path / "t.csv", step()), Settings())
    again = run(write(tmp_path / "u.csv", step(until=100)), Settings(), prices=(500.0,))
    assert table.one(first).splitlines()[1].split() == [
        *("RULE", "MEAN", "RTT", "P95", "RTT", "LOST", "EXCESS", "SLOW"),
        *("SWITCHES/H", "J", "at", "100", "GAP", "LEFT"),
    ]
    assert "J at 500" in table.one(again)
    total = table.Total()
    total.add(first)
    total.add(first)
    head, _, row, best = str(total).splitlines()
    assert head == "all 2 traces together: 120 samples"
    assert row == table.one(first).splitlines()[2]  # twice the same is the same on average
    assert best.split()[-2:] == [f"{first.account.score(first.choices, 100.0).j_optimum:.1f}", "0.000"]


def test_a_short_trace_says_so(tmp_path):
    outcome = run(write(tmp_path / "t.csv", ["0,a,20"]), Settings())
    assert "too short" in table.one(outcome)
    total = table.Total()
    total.add(outcome)
    assert "too short" in str(total)


def test_many_switches_are_not_all_listed(tmp_path):
    rows = [f"{n},{p},{20 if (n // 40) % 2 == (p == 'a') else 90}" for n in range(1600) for p in "ab"]
    outcome = run(write(tmp_path / "t.csv", rows), Settings())
    lines = table.switches(outcome).splitlines()
    assert len(lines) == 21
    assert lines[-1] == f"  and {len(outcome.switches) - 20} more: --json has all"
