"""The search and the verdict by themselves: planted costs, chance, and J as replay settles it."""

from random import Random

import pytest

from bench import shift_trace
from steerd.config.document import Document
from steerd.core.settings import Settings
from steerd.replay.run import choices, run
from steerd.tune.knobs import Knobs
from steerd.tune.rows import read
from steerd.tune.search import Limits, Search
from steerd.tune.settle import Settled
from steerd.tune.split import TooShortError, split
from steerd.tune.verdict import by_chance
from tests.unit.test_replay import write

DEFAULT = Knobs.of(Document())
BEST = DEFAULT.put({"half_life": 6.0, "jitter_weight": 0.25, "ignore_below": 8.0})


class Planted:
    """Costs that are known: the farther from the best, the more."""

    def __init__(self, best=BEST):
        self.best = best
        self.asked = []

    def evaluate(self, candidates, deadline):
        for knobs in candidates:
            self.asked.append(knobs)
            far = sum(abs(knobs.value(key) - self.best.value(key)) for key in self.best.numbers())
            yield knobs, [100.0 + far + 30.0 * (knobs.rule != self.best.rule)] * 10


@pytest.mark.parametrize("best", [BEST, DEFAULT.put({"rule": "threshold", "hold": 5.0, "margin_ms": 10.0})])
@pytest.mark.parametrize("start", [DEFAULT, DEFAULT.put({"jitter_weight": 5.0, "ignore_below": 50.0})])
def test_a_planted_optimum_is_found(best, start):
    found = Search(start, Planted(best), Limits(1000, 60.0)).run()
    assert found.stopped is None
    assert found.best.rule == best.rule
    # What is worth next to nothing (here a weight: a step of it costs as much as one of a millisecond) stays.
    assert {key for key in best.numbers() if found.best.value(key) != best.value(key)} <= {"jitter_weight"}
    assert found.tried < 400


def test_nothing_is_tried_twice_and_kept_keys_never_change():
    planted = Planted()
    Search(DEFAULT, planted, Limits(1000, 60.0), keep=["rule", "half_life"]).run()
    assert len(set(planted.asked)) == len(planted.asked)
    assert {(one.rule, one.half_life) for one in planted.asked} == {("regret", 2.0)}


def test_where_nothing_is_better_all_stays():
    assert Search(BEST, Planted(), Limits(1000, 60.0)).run().best == BEST


def test_signs_alone_bring_as_much_as_often_as_they_should():
    assert by_chance([]) == by_chance([0.0] * 9) == by_chance([-1.0]) == 1.0
    assert by_chance([1.0] * 4) == pytest.approx(1 / 16, abs=0.01)
    assert by_chance([1.0] * 10) < 0.005
    assert by_chance([100.0] + [0.0] * 20) == pytest.approx(0.5, abs=0.03)  # one great one proves nothing
    random = Random(4)
    rare = sum(by_chance([random.gauss(0, 1) for _ in range(24)]) <= 0.05 for _ in range(200))
    assert 2 <= rare <= 20


def test_a_part_is_settled_as_replay_settles_it(tmp_path):
    rows = list(shift_trace.rows(3, 700))[1:]
    rows[200] = rows[200].rpartition(",")[0] + ","
    rows = [row for n, row in enumerate(rows) if n % 31]  # some paths have no row at some times
    kept = read(write(tmp_path / "t.csv", rows), {})
    for begin, end in ((0, kept.samples), (150, 500)):
        part = kept.part(begin, end)
        of = {n: [] for n in range(begin, end)}
        times = sorted({float(row.split(",")[0]) for row in rows})
        for row in rows:
            place = times.index(float(row.split(",")[0]))
            if place in of:
                of[place].append(row)
        alone = run(write(tmp_path / "p.csv", [row for some in of.values() for row in some]), Settings())
        chosen = choices(part.replayed(), Settings())
        assert list(chosen) == list(alone.choices)
        score = alone.account.score(alone.choices, 100.0)
        paid = Settled(part.account(), 100.0, 25).blocks(chosen)
        assert sum(paid) / part.counted == pytest.approx(score.j)
        assert len(paid) == round(part.counted / 25)


def test_who_is_on_which_side_depends_on_nothing_measured(tmp_path):
    def kept(n, seconds, shift):
        rows = [f"{t},{p},{20 + (t * n + shift) % 9}" for t in range(seconds) for p in "ab"]
        return read(write(tmp_path / f"{n}.csv", rows), {})

    one, other = ([kept(n, 300, shift) for n in range(1, 8)] for shift in (0, 5))
    first, second = split(one), split(other)
    assert first.by == "files"
    assert [part.trace for part in first.seen] == [part.trace for part in second.seen]
    assert sorted(part.trace for part in [*first.seen, *first.unseen]) == sorted(part.trace for part in one)
    assert abs(len(first.seen) - len(first.unseen)) <= 1
    lopsided = split([*one[:3], kept(9, 5000, 0)])
    assert lopsided.by == "time"
    assert all(part.first == 0 for part in lopsided.seen)
    assert [part.first for part in lopsided.unseen] == [150, 150, 150, 2500]
    with pytest.raises(TooShortError, match="120 each"):
        split([kept(n, 110, 0) for n in range(1, 6)])
