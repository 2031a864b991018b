"""The bound that is proven for the work function, on sequences made to hurt it."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from steerd.core.rules.panel import Panel
from steerd.core.rules.work_function import WorkFunction
from tests.unit.beliefs import World

PRICE = 100.0
GREATEST = 5.0
"""The most that one round costs: the bound is that of continuous time, and so is the rule's grain."""


def optimum(rows: list[list[float]]) -> float:
    """The cheapest sequence in hindsight."""
    totals = [0.0] * len(rows[0])
    for row in rows:
        low = min(totals)
        totals = [min(total, low + PRICE) + cost for total, cost in zip(totals, row, strict=True)]
    return min(totals)


def paid(rows: list[list[float]], *, strike: bool = False) -> tuple[float, list[list[float]]]:
    """What the rule pays, and the rows. With `strike` they are made: each costs that path most that it is on."""
    names = "abcdef"[: len(rows[0])]
    world = World(Panel([WorkFunction(PRICE)], PRICE, 0.0), **dict.fromkeys(names, 0.0))
    total, seen = 0.0, []
    for given_row in rows:
        row = [GREATEST if name == world.here else 0.0 for name in names] if strike else given_row
        seen.append(row)
        total += row[world.place(world.here)]
        verdict = world.look(**dict(zip(names, row, strict=True)))
        if verdict is not None:
            world.here, total = verdict.to, total + PRICE
    return total, seen


def within_bound(total: float, rows: list[list[float]]) -> bool:
    paths = len(rows[0])
    bound = 2 * paths - 1
    grain = 1.0 + GREATEST / PRICE
    return total <= grain * bound * optimum(rows) + 2 * paths * PRICE


@st.composite
def weather(draw: st.DrawFn) -> list[list[float]]:
    """Stretches of any length in which each path costs something else."""
    paths = draw(st.integers(2, 5))
    costs = st.lists(st.sampled_from([0.0, 0.5, 2.0, GREATEST]), min_size=paths, max_size=paths)
    stretches = draw(st.lists(st.tuples(costs, st.integers(1, 80)), min_size=1, max_size=40))
    return [row for row, length in stretches for _ in range(length)]


@settings(deadline=None, max_examples=150)
@given(rows=weather())
def test_the_work_function_pays_at_most_2k_less_1_times_the_optimum(rows):
    total, seen = paid(rows)
    assert within_bound(total, seen)


@settings(deadline=None)
@given(paths=st.integers(2, 6))
def test_not_even_an_adversary_who_sees_the_choice_gets_more(paths):
    total, seen = paid([[0.0] * paths] * 4000, strike=True)
    assert within_bound(total, seen)
    assert total > 2 * optimum(seen)  # it does hurt
    assert any(one != two for one, two in pairwise(seen))
